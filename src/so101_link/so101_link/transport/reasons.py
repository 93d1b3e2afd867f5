# SPDX-License-Identifier: Apache-2.0
"""What a failed connection means, in one line and as a cause. The words are for people; programs read the cause."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Final

from so101_link.core import causes
from so101_link.errors import SilenceError


@dataclass(frozen=True, slots=True)
class LinkFailure:
    """Why there is no connection: a cause of `core.causes`, and one line."""

    cause: str
    text: str

    @property
    def is_refusal(self) -> bool:
        """Whether one end has looked at the other and will not have it: trying at once again is of no use."""
        return self.cause in (causes.REFUSED, causes.CERTIFICATE_REFUSED, causes.CLOCK_WRONG)


# By OpenSSL's number of why a certificate does not stand.
_VERIFICATION: Final = {
    9: (causes.CLOCK_WRONG, "is not valid yet by this computer's clock"),
    10: (causes.CERTIFICATE_REFUSED, "has expired by this computer's clock"),
    18: (causes.CERTIFICATE_REFUSED, "is signed by itself, not by the authority of these keys"),
    19: (causes.CERTIFICATE_REFUSED, "is signed by another authority than these keys"),
    20: (causes.CERTIFICATE_REFUSED, "is signed by another authority than these keys"),
    21: (causes.CERTIFICATE_REFUSED, "is signed by another authority than these keys"),
    26: (causes.CERTIFICATE_REFUSED, "is for the other role: a robot's where a server's belongs, or the reverse"),
    62: (causes.CERTIFICATE_REFUSED, "has another name than the server's"),
    7: (causes.CERTIFICATE_REFUSED, "is signed by another authority than these keys"),
}

# By the alert with which the other end has ended the handshake.
_ALERTS: Final = {
    "UNKNOWN_CA": (causes.CERTIFICATE_REFUSED, "it is signed by another authority than the other end's keys"),
    "CERTIFICATE_REQUIRED": (causes.CERTIFICATE_REFUSED, "none was shown"),
    "CERTIFICATE_EXPIRED": (
        causes.CERTIFICATE_REFUSED,
        "it has expired, or is not valid yet, by the other end's clock",
    ),
    "UNSUPPORTED_CERTIFICATE": (causes.CERTIFICATE_REFUSED, "it is for the other role"),
    "CERTIFICATE_REVOKED": (causes.CERTIFICATE_REFUSED, "it is revoked"),
    "CERTIFICATE_UNKNOWN": (causes.CERTIFICATE_REFUSED, "it does not stand"),
    "BAD_CERTIFICATE": (causes.CERTIFICATE_REFUSED, "it does not stand, or is not valid yet by the other end's clock"),
    "DECRYPT_ERROR": (causes.CERTIFICATE_REFUSED, "it is signed by another authority of the same name"),
    "HANDSHAKE_FAILURE": (causes.CERTIFICATE_REFUSED, "the ends have nothing in common"),
}

# By OpenSSL's reason, for what is no link at all.
_NO_LINK: Final = {
    "HTTP_REQUEST": "it speaks HTTP",
    "HTTPS_PROXY_REQUEST": "it takes this for an HTTP proxy",
    "WRONG_VERSION_NUMBER": "it speaks no TLS",
    "UNSUPPORTED_PROTOCOL": "it speaks an old TLS",
    "NO_SHARED_CIPHER": "it has no cipher in common",
    "BAD_RECORD_TYPE": "it speaks no TLS",
    "RECORD_LAYER_FAILURE": "it speaks no TLS",
    "PACKET_LENGTH_TOO_LONG": "it speaks no TLS",
    "BAD_SSLV2_RECORD": "it speaks no TLS",
}

_SILENT: Final = (
    "link_server hangs, the port is another program's, or long packets are lost on the way "
    "(./so101 doctor network --link tells)"
)


def explain(error: Exception) -> LinkFailure:
    """Say what this error of a socket or of TLS means for who connects or is connected to."""
    if isinstance(error, ssl.SSLCertVerificationError):
        cause, words = _VERIFICATION.get(
            error.verify_code, (causes.CERTIFICATE_REFUSED, f"does not stand: {error.verify_message}")
        )
        return LinkFailure(cause, f"the other end's certificate {words}")
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return LinkFailure(causes.CLOSED_BETWEEN, "closed during the handshake")
    if isinstance(error, ssl.SSLError):
        return _of_tls(getattr(error, "reason", None) or str(error))
    if isinstance(error, socket.gaierror):
        return LinkFailure(causes.NAME_UNKNOWN, f"the name does not resolve: {error.strerror}")
    if isinstance(error, ConnectionRefusedError):
        return LinkFailure(causes.NO_LISTENER, "nothing listens there")
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return LinkFailure(causes.CLOSED_BETWEEN, "the connection was reset")
    if isinstance(error, SilenceError):
        return LinkFailure(causes.LOST, f"{error}: {_SILENT}")
    if isinstance(error, TimeoutError):
        return LinkFailure(causes.UNREACHABLE, "no reply in time")
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return LinkFailure(causes.UNREACHABLE, text or type(error).__name__)


def _of_tls(reason: str) -> LinkFailure:
    if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return LinkFailure(causes.CERTIFICATE_REFUSED, "the other end shows no certificate")
    if "ALERT_" in reason:
        name = reason.rpartition("ALERT_")[2]
        cause, words = _ALERTS.get(name, (causes.REFUSED, name.lower().replace("_", " ")))
        return LinkFailure(cause, f"the other end refuses this end's certificate: {words}")
    words = _NO_LINK.get(reason, reason.lower().replace("_", " "))
    return LinkFailure(causes.REFUSED, f"the other end is no link: {words}")
