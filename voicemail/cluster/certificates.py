"""The cluster's own certificate authority and the TLS contexts of the links between nodes."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from voicemail.errors import ClusterError
from voicemail.secrets import NodeFiles

VALID = timedelta(days=3650)
BACKDATED = timedelta(days=1)
"""Nodes' clocks may differ; a certificate must not be from the future."""


def make_key() -> bytes:
    """A new private key, PEM."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def make_authority(name: str, now: datetime) -> tuple[bytes, bytes]:
    """A self-signed authority: (certificate, key), PEM."""
    key_pem = make_key()
    key = _key(key_pem)
    subject = _name(f"Tandem cluster {name}")
    certificate = (
        _builder(subject, subject, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key_pem


def make_request(key_pem: bytes, name: str) -> bytes:
    """A signing request for the node's key, PEM. Only its public key is used by the authority."""
    request = x509.CertificateSigningRequestBuilder().subject_name(_name(name))
    return request.sign(_key(key_pem), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def sign(
    ca_pem: bytes, ca_key_pem: bytes, request_pem: bytes, number: int, address: str, now: datetime
) -> bytes:
    """The certificate of node `number` at `address`, PEM. Raises ClusterError for a bad request."""
    try:
        request = x509.load_pem_x509_csr(request_pem)
    except ValueError as error:
        raise ClusterError(f"the certificate request cannot be read: {error}") from None
    if not request.is_signature_valid:
        raise ClusterError("the certificate request is not signed by its own key")
    authority = x509.load_pem_x509_certificate(ca_pem)
    public = request.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise ClusterError("the certificate request must carry an elliptic-curve key")
    certificate = (
        _builder(_name(node_name(number)), authority.subject, public, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_alternative(address)]), critical=False)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        .sign(_key(ca_key_pem), hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def fingerprint(ca_pem: bytes) -> str:
    """SHA-256 of the authority's certificate, hexadecimal."""
    return x509.load_pem_x509_certificate(ca_pem).fingerprint(hashes.SHA256()).hex()


def node_name(number: int) -> str:
    """The common name in a node's certificate."""
    return f"tandem node {number}"


def server_context(files: NodeFiles) -> ssl.SSLContext:
    """For the cluster port. A client without a certificate may connect, but only to join."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(files.certificate, files.key)
    context.load_verify_locations(files.ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(files: NodeFiles) -> ssl.SSLContext:
    """For keep-alives to the peer. The peer's number is checked by its common name, so no host name."""
    context = ssl.create_default_context(cafile=str(files.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.load_cert_chain(files.certificate, files.key)
    return context


def joining_context() -> ssl.SSLContext:
    """For `cluster join`: the authority is not known yet; its fingerprint in the secret is checked after."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def common_name(peer_certificate: dict[str, object] | None) -> str:
    """The common name in what `SSLObject.getpeercert()` gives; "" when there is no certificate."""
    if not peer_certificate:
        return ""
    subject = peer_certificate.get("subject", ())
    assert isinstance(subject, tuple)
    return next((value for part in subject for key, value in part if key == "commonName"), "")


def _key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    now = now.astimezone(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + VALID)
    )
