"""How a server that was given up learns of it, should its disk be started again: else it would hear nobody,
become Primary, and take messages that nobody ever gets.

It no longer trusts its peer's certificate, nor is it trusted. But the survivor kept its key, and has signed
with it, under the authority that both knew, that the other was replaced. Anybody may read that statement.
"""

import asyncio
import json
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from voicemail.cluster.certificates import fingerprint, joining_context, node_name
from voicemail.secrets import Member, NodeFiles, write_private

PATIENCE = 5.0
ALGORITHM = ec.ECDSA(hashes.SHA256())


def keep_proof(files: NodeFiles) -> None:
    """Before the authority is renewed: state, signed, that the other node of the present one is replaced.
    Statements of earlier replacements are kept."""
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    authority = fingerprint(files.ca.read_bytes())
    signature = key.sign(_statement(authority, 3 - files.membership().number), ALGORITHM)
    proof = {
        "authority": authority,
        "certificate": files.certificate.read_text(),
        "signature": signature.hex(),
    }
    write_private(files.replaced_peers, json.dumps([*proofs(files), proof]).encode())


def proofs(files: NodeFiles) -> list[dict[str, str]]:
    """What the cluster port shows to strangers."""
    if not files.replaced_peers.exists():
        return []
    kept: list[dict[str, str]] = json.loads(files.replaced_peers.read_text())
    return kept


async def was_replaced(files: NodeFiles, peer: Member) -> bool:
    """Whether whoever answers at the peer's address proves that this node was replaced by it."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await _told(files, peer)
    except (OSError, TimeoutError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


async def _told(files: NodeFiles, peer: Member) -> bool:
    reader, writer = await asyncio.open_connection(peer.address, peer.cluster_port, ssl=joining_context())
    try:
        shown: list[dict[str, Any]] = json.loads(await reader.readline())["replaced"]
        proven = any(_proves(proof, files, peer) for proof in shown)
        if proven:  # for the survivor's log
            me = files.membership().me.name
            writer.write(json.dumps({"was_replaced": me}).encode() + b"\n")
            await writer.drain()
        return proven
    finally:
        writer.close()


def _proves(proof: dict[str, Any], files: NodeFiles, peer: Member) -> bool:
    ca = files.ca.read_bytes()
    certificate = x509.load_pem_x509_certificate(str(proof["certificate"]).encode())
    [name] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    public = certificate.public_key()
    if name.value != node_name(peer.number) or not isinstance(public, ec.EllipticCurvePublicKey):
        return False
    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca))
        statement = _statement(fingerprint(ca), files.membership().number)
        public.verify(bytes.fromhex(proof["signature"]), statement, ALGORITHM)
    except (InvalidSignature, ValueError):
        return False
    return True


def _statement(authority: str, number: int) -> bytes:
    return f"tandem: node {number} of authority {authority} is replaced".encode()
