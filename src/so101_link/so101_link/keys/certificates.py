# SPDX-License-Identifier: Apache-2.0
"""X.509 certificates of the link: an authority signs one for the server and one for each robot.

P-256 keys. The role is in the extended key usage, so that a robot's certificate cannot stand for the server's; the name
is the certificate's common name and its only DNS name.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from so101_link.errors import KeysError

NAME_OF_SERVER = "so101-server"  # which every robot demands of the certificate that it meets
ROBOT_WITHOUT_NAMESPACE = "root"
AUTHORITY_DAYS = 3650
_ROBOT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")  # a ROS namespace of one token, and a DNS label's length
_EARLIER = datetime.timedelta(days=1)  # valid from then on: clocks and time zones of robots are off by hours
_ROLES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "robot": ExtendedKeyUsageOID.CLIENT_AUTH}


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and the private key that belongs to it."""

    certificate: x509.Certificate
    private_key: ec.EllipticCurvePrivateKey

    def certificate_pem(self) -> bytes:
        """The certificate, PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def private_key_pem(self) -> bytes:
        """The private key, PEM (PKCS 8), without a password: nodes start without a person."""
        return self.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


@dataclass(frozen=True, slots=True)
class Peer:
    """Who a certificate stands for. `role` is robot or server, `name` the robot's or `server`; times are unix, s."""

    name: str
    role: str
    serial: int
    not_before_s: float
    not_after_s: float


def check_robot_name(name: str) -> str:
    """Return `name` if it can be a robot's. Raises KeysError."""
    if not _ROBOT_NAME.fullmatch(name) or name == "server":
        raise KeysError(
            f"{name!r} is no name for a robot: it is the robot's namespace, a letter, then letters, digits and _; "
            f"{ROBOT_WITHOUT_NAMESPACE} for a robot without a namespace"
        )
    return name


def new_authority(now_s: float) -> KeyPair:
    """Make the key pair that signs all others of one lab; valid for ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    # The number tells one authority from another: where both had one name, TLS would only say "bad signature".
    name = _common_name(f"so101 link authority {serial:x}"[:32])
    builder = _builder(name, name, key.public_key(), serial, now_s, AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return KeyPair(builder.sign(key, hashes.SHA256()), key)


def new_certificate(authority: KeyPair, role: str, name: str, days: int, now_s: float) -> KeyPair:
    """Make the key pair of the server (role `server`) or of robot `name`, valid for `days`, never beyond the authority.

    Raises:
        KeysError: the name cannot be a robot's, or the authority has expired.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    shown = NAME_OF_SERVER if role == "server" else check_robot_name(name)
    left = (_not_after_s(authority.certificate) - now_s) / 86400
    if left <= 0:
        raise KeysError("the authority itself has expired: make new keys for all computers in a new folder")
    signer = authority.certificate
    builder = _builder(
        _common_name(shown), signer.subject, key.public_key(), x509.random_serial_number(), now_s, min(days, left)
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([_ROLES[role]]), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(shown)]), critical=False)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.private_key.public_key()), critical=False
    )
    return KeyPair(builder.sign(authority.private_key, hashes.SHA256()), key)


def peer_of(der: bytes) -> Peer:
    """Who a certificate in DER form stands for, as `ssl.SSLSocket.getpeercert(True)` gives it. Raises KeysError."""
    try:
        return describe(x509.load_der_x509_certificate(der))
    except ValueError as error:
        raise KeysError(f"the peer's certificate cannot be read: {error}") from error


def describe(certificate: x509.Certificate) -> Peer:
    """Who a certificate stands for; that the authority signed it is not looked at. Raises KeysError."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else ""
    try:
        usages = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except (x509.ExtensionNotFound, ValueError):
        usages = set()
    roles = [role for role, usage in _ROLES.items() if usages == {usage}]
    if not roles:
        raise KeysError(f"the certificate of {name!r} is neither a robot's nor a server's of a link")
    if roles == ["robot"]:
        check_robot_name(name)
    elif name != NAME_OF_SERVER:
        raise KeysError(f"the certificate of {name!r} is a server's, but not of a link ({NAME_OF_SERVER})")
    return Peer(
        name if roles == ["robot"] else "server",
        roles[0],
        certificate.serial_number,
        _not_before_s(certificate),
        _not_after_s(certificate),
    )


def is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether `authority` signed `certificate`."""
    key = authority.public_key()
    hashed = certificate.signature_hash_algorithm
    if not isinstance(key, ec.EllipticCurvePublicKey) or hashed is None:
        return False
    try:
        key.verify(certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(hashed))
    except InvalidSignature:
        return False
    return certificate.issuer == authority.subject


def belong_together(certificate: x509.Certificate, private_key: object) -> bool:
    """Whether `private_key` is that of `certificate`."""
    return isinstance(private_key, ec.EllipticCurvePrivateKey) and private_key.public_key() == certificate.public_key()


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    serial: int,
    now_s: float,
    days: float,
) -> x509.CertificateBuilder:
    now = datetime.datetime.fromtimestamp(now_s, datetime.UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
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


def _not_before_s(certificate: x509.Certificate) -> float:
    return _unix_s(certificate, "not_valid_before")


def _not_after_s(certificate: x509.Certificate) -> float:
    return _unix_s(certificate, "not_valid_after")


def _unix_s(certificate: x509.Certificate, name: str) -> float:
    """The library of Ubuntu 24.04 (41) has only the attributes without a time zone, which later ones warn of."""
    moment: datetime.datetime = getattr(certificate, f"{name}_utc", None) or getattr(certificate, name)
    return moment.replace(tzinfo=datetime.UTC).timestamp()
