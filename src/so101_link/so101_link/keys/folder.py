# SPDX-License-Identifier: Apache-2.0
"""The folder of keys on one computer, robot's or server's: `./so101 link keys` makes it, `link_keys` names it."""

from __future__ import annotations

import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from so101_link.errors import KeysError, KeysTimeError
from so101_link.keys.certificates import NAME_OF_SERVER, Peer, belong_together, describe, is_signed_by, peer_of
from so101_link.keys.expiry import expiry
from so101_link.keys.revoked import read_revoked

__all__ = ["NAME_OF_SERVER", "KeyCaution", "KeyFolder", "Peer", "cautions", "peer_of"]

CA, CERTIFICATE, PRIVATE_KEY, REVOKED = "ca.pem", "certificate.pem", "private.key", "revoked.txt"
AUTHORITY, CA_KEY = "authority", "ca.key"
_OTHERS_MAY_READ = stat.S_IRGRP | stat.S_IROTH


@dataclass(frozen=True, slots=True)
class KeyFolder:
    """The keys of one computer, checked.

    `name` is the robot's or `server`, `role` robot or server, `serial` the certificate's; times are unix times, s.
    """

    name: str
    role: str
    ca: Path
    certificate: Path
    private_key: Path
    not_before_s: float
    not_after_s: float
    serial: int

    @classmethod
    def read(cls, path: str | Path, *, now_s: float | None = None) -> KeyFolder:
        """Read and check the folder: all files are there, belong together, and are valid at `now_s` (default: now).

        Raises:
            KeysTimeError: one line: it has expired, or is not yet valid, with both dates.
            KeysError: one line: what is missing, unreadable or of somebody else.
        """
        folder = cls.read_whatever_its_age(path)
        state = expiry(folder.name, folder.not_before_s, folder.not_after_s, time.time() if now_s is None else now_s)
        if not state.validity.usable:
            raise KeysTimeError(f"{folder.certificate}: {state.text} -> {state.remedy}")
        return folder

    @classmethod
    def read_whatever_its_age(cls, path: str | Path) -> KeyFolder:
        """Like `read`, also where the certificate has expired or is not yet valid. Raises KeysError."""
        try:
            path = Path(path).expanduser()  # a shell leaves ~ alone behind :=
        except RuntimeError as error:  # ~USER, and there is no such user
            raise KeysError(f"{path}: {error}: name the folder without ~") from error
        try:
            _check_is_key_folder(path)
        except OSError as error:
            raise KeysError(f"{path}: {error.strerror}: its owner must be the user that runs this") from error
        ca, certificate = (_certificate(path / name) for name in (CA, CERTIFICATE))
        key = _private_key(path / PRIVATE_KEY)
        try:
            peer = describe(certificate)
        except KeysError as error:
            raise KeysError(f"{path / CERTIFICATE}: {error}") from error
        if not belong_together(certificate, key):
            raise KeysError(f"{path}: {PRIVATE_KEY} is not that of {CERTIFICATE}: copy the whole folder again")
        if not is_signed_by(certificate, ca):
            raise KeysError(f"{path}: {CA} has not signed {CERTIFICATE}: copy the whole folder again")
        folder = cls(
            peer.name,
            peer.role,
            path / CA,
            path / CERTIFICATE,
            path / PRIVATE_KEY,
            peer.not_before_s,
            peer.not_after_s,
            peer.serial,
        )
        folder.revoked_serials()
        return folder

    def revoked_serials(self) -> frozenset[int]:
        """Serial numbers that the server refuses, read from the file again at each call; a robot has no such file.

        Raises:
            KeysError: revoked.txt is missing or cannot be understood; a server must then refuse everybody.
        """
        return read_revoked(self.ca.with_name(REVOKED)) if self.role == "server" else frozenset()


@dataclass(frozen=True, slots=True)
class KeyCaution:
    """What lies open, and what to do: `about` is keys (this computer's own) or authority (its key, of no use here)."""

    about: str
    text: str
    remedy: str


def cautions(keys: KeyFolder) -> tuple[KeyCaution, ...]:
    """Say what of these keys, or beside them, lies open; the link works all the same."""
    found = []
    with suppress(OSError):
        if keys.private_key.stat().st_mode & _OTHERS_MAY_READ:
            text = f"{keys.private_key}: other users of this computer can read it"
            found.append(KeyCaution("keys", text, f"chmod 600 {keys.private_key}"))
    folder = keys.private_key.absolute().parent
    for place in (folder, folder.parent / AUTHORITY, folder.parent.parent / AUTHORITY):
        with suppress(OSError):
            if (place / CA_KEY).exists():
                text = f"{place / CA_KEY} makes keys for any robot and server, and nothing here needs it"
                found.append(KeyCaution("authority", text, "keep it on a computer that is neither robot nor server"))
    return tuple(found)


def _check_is_key_folder(path: Path) -> None:
    if not path.is_dir():
        raise KeysError(f"{path}: no such folder of keys; ./so101 link keys makes them, and says what to copy where")
    if (path / AUTHORITY).is_dir():
        raise KeysError(
            f"{path} is the folder of the authority: name {path}/server on the server, {path}/robots/NAME on a robot"
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise KeysError(f"{path}: no such file: copy the whole folder that ./so101 link keys made") from None
    except OSError as error:
        raise KeysError(f"{path}: {error.strerror}: its owner must be the user that runs this") from error


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except ValueError as error:
        raise KeysError(f"{path}: not a certificate in PEM form: copy the whole folder again") from error


def _private_key(path: Path) -> object:
    try:
        return serialization.load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError) as error:  # TypeError: it has a password
        raise KeysError(f"{path}: not a private key in PEM form without a password: copy the folder again") from error
