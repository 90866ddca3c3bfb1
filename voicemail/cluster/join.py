"""How a second node becomes a member: it shows the cluster's secret and gets a certificate.

The secret that `cluster init` prints is `<random>.<SHA-256 of the authority>`. The joining node first
gets the authority's certificate, checks it against the fingerprint and the server's certificate
against the authority, and only then shows the secret; so neither side trusts a stranger.
"""

import asyncio
import hmac
import json
import ssl
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from voicemail.cluster.certificates import (
    fingerprint,
    joining_context,
    make_authority,
    make_key,
    make_request,
    sign,
)
from voicemail.cluster.replaced import keep_proof, proofs
from voicemail.config import Config
from voicemail.errors import ClusterError
from voicemail.secrets import Member, Membership, NodeFiles, Secrets, member_of, write_private

log = structlog.get_logger()

PATIENCE = 10.0
"""Seconds one side waits for the other's line."""
SLOW = 1.0
"""Seconds before a refusal is told, so that guessing is slow."""


def initialise(config: Config) -> str:
    """Make this node the publisher of a new cluster: authority, certificate, secrets, membership.
    Gives the secret to join with. Raises ClusterError when the node belongs to a cluster already."""
    files = NodeFiles(config)
    if files.exists:
        raise ClusterError(f"{config.directory} belongs to a cluster already")
    now, me = datetime.now(UTC), member_of(config, 1)
    ca, ca_key = make_authority(config.node.name, now)
    key = make_key()
    write_private(files.ca_key, ca_key)
    _keep(files, ca, key, sign(ca, ca_key, make_request(key, me.name), 1, me.address, now))
    files.write_secrets(Secrets.make())
    files.write_membership(Membership(1, (me,)))
    return joining_secret(files)


def joining_secret(files: NodeFiles) -> str:
    """What `cluster join` needs: the cluster's secret and the authority's fingerprint."""
    return f"{files.secrets().cluster}.{fingerprint(files.ca.read_bytes())}"


def _keep(files: NodeFiles, ca: bytes, key: bytes, certificate: bytes) -> None:
    write_private(files.ca, ca)
    write_private(files.key, key)
    write_private(files.certificate, certificate)


def renew_trust(files: NodeFiles) -> str:
    """Make a new authority that has signed this node only, so that nobody trusts the other one any more.
    Gives the secret to join with. This node keeps its key; repeating it after a crash is harmless."""
    now, me = datetime.now(UTC), files.membership().me
    keep_proof(files)
    ca, ca_key = make_authority(me.name, now)
    key = files.key.read_bytes()
    certificate = sign(ca, ca_key, make_request(key, me.name), me.number, me.address, now)
    write_private(files.ca_key, ca_key)
    _keep(files, ca, key, certificate)
    files.write_secrets(replace(files.secrets(), cluster=Secrets.make().cluster))
    log.info("Made a new authority; the other node is trusted no longer.")
    return joining_secret(files)


class Admission:
    """The publisher's side. `admitted` is called with the new membership."""

    def __init__(self, files: NodeFiles, admitted: Callable[[Membership], None]) -> None:
        self.files, self.admitted = files, admitted

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source = writer.get_extra_info("peername")[0]
        writer.write(_line({"ca": self.files.ca.read_text(), "replaced": proofs(self.files)}))
        try:
            asked = json.loads(await asyncio.wait_for(reader.readline(), PATIENCE) or b"{}")
            answer = self.admit(asked, source) if asked and not self._was_replaced(asked, source) else {}
        except (ClusterError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            log.warning("Refused a node that wants to join.", source=source, why=str(error))
            await asyncio.sleep(SLOW)
            answer = {"error": str(error)}
        writer.write(_line(answer))
        await writer.drain()

    def _was_replaced(self, asked: dict[str, Any], source: str) -> bool:
        """A server that was given up was started all the same, has read the proof, and stops."""
        if name := asked.get("was_replaced"):
            log.warning("A server that was replaced was started again; it stops.", node=name, source=source)
        return bool(name)

    def admit(self, asked: dict[str, Any], source: str) -> dict[str, Any]:
        """What the joining node gets. Raises ClusterError with the reason of a refusal."""
        secrets, membership = self.files.secrets(), self.files.membership()
        if not hmac.compare_digest(str(asked.get("secret", "")).encode(), secrets.cluster.encode()):
            raise ClusterError("wrong cluster secret")
        if not self.files.ca_key.exists():
            raise ClusterError(f"this node is not the publisher; join at {membership.members[0].address}")
        member = Member(**{**asked["member"], "number": 3 - membership.number})
        if member.name == membership.me.name:
            raise ClusterError(f"the publisher is named {member.name} itself")
        if membership.peer and asked.get("replace"):
            other, me = membership.peer.name, membership.me.name
            raise ClusterError(
                f"{other} is still a member: run `voicemail cluster replace-node` on {me} first"
            )
        if membership.peer and membership.peer.name != member.name:
            raise ClusterError(f"the cluster has two nodes already; the other is {membership.peer.name}")
        ca, now = self.files.ca.read_bytes(), datetime.now(UTC)
        key = self.files.ca_key.read_bytes()
        certificate = sign(ca, key, asked["request"].encode(), member.number, member.address, now)
        membership = membership.with_member(member)
        self.files.write_membership(membership)
        log.info("A node joined the cluster.", node=member.name, address=member.address, source=source)
        self.admitted(membership)
        return {
            "certificate": certificate.decode(),
            "secrets": asdict(secrets),
            "members": [asdict(m) for m in membership.members],
            "number": member.number,
            "publisher_number": membership.publisher_number,
        }


async def join(
    config: Config, publisher: str, port: int, secret: str, *, replacing: bool = False
) -> Membership:
    """Make this node a member of the publisher's cluster; with `replacing` only where the dead node has been
    given up. Raises ClusterError with the reason."""
    files = NodeFiles(config)
    if files.exists:
        raise ClusterError(f"{config.directory} belongs to a cluster already")
    cluster_secret, _, mark = secret.strip().partition(".")
    key, where = make_key(), f"{publisher}:{port}"
    try:
        async with asyncio.timeout(PATIENCE * 2):
            ca, answer = await _ask(config, publisher, port, cluster_secret, mark, key, replacing)
        if "error" in answer:
            raise ClusterError(f"{where} refused: {answer['error']}")
        members = tuple(Member(**m) for m in answer["members"])
        membership = Membership(answer.get("number", 2), members, answer.get("publisher_number", 1))
        certificate, secrets = answer["certificate"].encode(), Secrets(**answer["secrets"])
    except TimeoutError:
        raise ClusterError(f"{where} does not answer as a publisher: it keeps silent") from None
    except (OSError, ssl.SSLError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ClusterError(f"{where} does not answer as a publisher: {error}") from None
    _keep(files, ca, key, certificate)
    files.write_secrets(secrets)
    if not config.store.dsn:
        write_private(files.empty, b"")
    files.write_membership(membership)
    return membership


async def _ask(
    config: Config, publisher: str, port: int, secret: str, mark: str, key: bytes, replacing: bool
) -> tuple[bytes, dict[str, Any]]:
    reader, writer = await asyncio.open_connection(publisher, port, ssl=joining_context())
    try:
        ca = json.loads(await reader.readline())["ca"].encode()
        _check(ca, mark, writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
        me = asdict(member_of(config, 2))
        request = make_request(key, config.node.name).decode()
        writer.write(_line({"secret": secret, "member": me, "request": request, "replace": replacing}))
        return ca, json.loads(await reader.readline() or b'{"error": "it closed the connection"}')
    except (KeyError, json.JSONDecodeError):
        raise ClusterError(f"{publisher}:{port} is no cluster port") from None
    finally:
        writer.close()


def _check(ca: bytes, mark: str, server: bytes) -> None:
    """Raises ClusterError unless the authority is the one of the secret and signed the server."""
    if not hmac.compare_digest(fingerprint(ca), mark):
        raise ClusterError("wrong cluster secret: it is of another cluster")
    try:
        x509.load_der_x509_certificate(server).verify_directly_issued_by(x509.load_pem_x509_certificate(ca))
    except (ValueError, TypeError, InvalidSignature):
        raise ClusterError("the server's certificate is not of its cluster") from None


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"
