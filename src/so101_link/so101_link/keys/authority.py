# SPDX-License-Identifier: Apache-2.0
"""The folder of the authority, where keys are made, renewed and revoked. It stays on one computer.

DIR/authority/    ca.key, ca.pem, issued/NAME-SERIAL.pem, revoked.txt: stays here
DIR/server/       for the server's computer
DIR/robots/NAME/  for the computer of robot NAME
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from so101_link.errors import KeysError
from so101_link.keys.certificates import (
    KeyPair,
    Peer,
    belong_together,
    check_robot_name,
    describe,
    new_authority,
    new_certificate,
)
from so101_link.keys.expiry import date
from so101_link.keys.folder import AUTHORITY, CA, CA_KEY, CERTIFICATE, PRIVATE_KEY, REVOKED
from so101_link.keys.revoked import HEADER, lines_of, read_revoked

DEFAULT_DAYS = 730
SERVER = "server"
_ISSUED = "issued"
_README = (
    "Keys of the link between robots and their server. `authority` stays on this computer; ./so101 link show\n"
    "lists the others. Nothing here belongs into a repository.\n"
)


@dataclass(frozen=True, slots=True)
class MadeKeys:
    """One folder that was made: whose it is and where it must be copied. `not_after_s` is a unix time, s."""

    name: str
    folder: Path
    not_after_s: float


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """One certificate that the authority has signed."""

    peer: Peer
    revoked: bool


class Authority:
    """The authority in one folder: its key, what it has signed, what it has revoked."""

    def __init__(self, folder: Path, pair: KeyPair) -> None:
        self.folder = folder
        self._pair = pair

    @classmethod
    def exists(cls, folder: Path) -> bool:
        """Whether the folder is an authority's."""
        return (folder / AUTHORITY).exists()

    @classmethod
    def create(cls, folder: Path, now_s: float) -> Authority:
        """Make a new authority in a folder that is empty or not there. Raises KeysError."""
        pair = new_authority(now_s)
        files = {
            CA_KEY: pair.private_key_pem(),
            CA: pair.certificate_pem(),
            REVOKED: HEADER.encode(),
            f"{_ISSUED}/.keep": b"",
        }
        if folder.exists() and not folder.is_dir():
            raise KeysError(f"{folder} is a file: name a folder")
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise KeysError(f"{folder} is not empty and holds no keys, nothing was changed: name a new folder")
            (folder / ".gitignore").write_text("*\n", encoding="utf-8")
            (folder / "README.txt").write_text(_README, encoding="utf-8")
        except OSError as error:
            raise KeysError(f"{folder} cannot be written: {error.strerror}") from error
        _write_folder(folder / AUTHORITY, files)
        return cls(folder, pair)

    @classmethod
    def open(cls, folder: Path) -> Authority:
        """Read the authority of that folder. Raises KeysError."""
        place = folder / AUTHORITY
        if not place.is_dir():
            raise KeysError(f"{folder} holds no authority; ./so101 link keys {folder} makes one")
        try:
            certificate = x509.load_pem_x509_certificate((place / CA).read_bytes())
            key = serialization.load_pem_private_key((place / CA_KEY).read_bytes(), password=None)
        except OSError as error:
            raise KeysError(f"{error.filename}: {error.strerror}: without it no key can be made or revoked") from error
        except (ValueError, TypeError) as error:
            raise KeysError(f"{place}: {CA} or {CA_KEY} is damaged: restore them from a copy") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not belong_together(certificate, key):
            raise KeysError(f"{place}: {CA_KEY} is not that of {CA}: restore them from a copy")
        return cls(folder, KeyPair(certificate, key))

    def make(
        self, names: Sequence[str], days: int, now_s: float, *, renewed: Sequence[str] = ()
    ) -> tuple[MadeKeys, ...]:
        """Make the folders of these names (robots, or `server`), and those of `renewed` in place of the old ones.

        Everything is checked first: on an error nothing has changed.

        Raises:
            KeysError: a name cannot be one, its folder exists, one to renew was never made, or it cannot be written.
        """
        known = {one.peer.name for one in self.issued()}
        for name in (*names, *renewed):
            if name != SERVER:
                check_robot_name(name)
        for name in names:
            if self.place(name).exists() or name in known:
                raise KeysError(f"{name} has keys already, nothing was changed: --renew {name} makes new ones for it")
        for name in renewed:
            if name not in known:
                raise KeysError(f"--renew {name}: there are no keys for {name} yet; --robot {name} makes them")
        return tuple(self._make(name, days, now_s) for name in dict.fromkeys((*names, *renewed)))

    def revoke(self, name: str, now_s: float) -> tuple[int, ...]:
        """Enter all certificates of a robot into revoked.txt; return the serial numbers that are new there.

        Raises:
            KeysError: there are none for that name, or it is the server's: robots keep no list of what is revoked.
        """
        if name == SERVER:
            raise KeysError(
                "robots keep no list of what is revoked: if the server's key was stolen, make new keys for all "
                "computers in a new folder"
            )
        issued = self.issued()
        mine = [one for one in issued if one.peer.name == name]
        if not mine:
            names = sorted({one.peer.name for one in issued if one.peer.name != SERVER})
            raise KeysError(f"there are no keys for {name!r}; there are for {', '.join(names) or 'no robot'}")
        new = tuple(one.peer.serial for one in mine if not one.revoked)
        file = self.folder / AUTHORITY / REVOKED
        text = file.read_text(encoding="utf-8") + lines_of((serial, f"{name}, revoked {date(now_s)}") for serial in new)
        _replace(file, text.encode())
        if self.place(SERVER).is_dir():
            _replace(self.place(SERVER) / REVOKED, text.encode())
        return new

    def issued(self) -> tuple[IssuedCertificate, ...]:
        """All certificates that were signed here: the server's first, then by robot and date. Raises KeysError."""
        revoked = read_revoked(self.folder / AUTHORITY / REVOKED)
        found = []
        for file in sorted((self.folder / AUTHORITY / _ISSUED).glob("*.pem")):
            try:
                peer = describe(x509.load_pem_x509_certificate(file.read_bytes()))
            except (OSError, ValueError) as error:
                raise KeysError(f"{file}: not a certificate that can be read: restore it from a copy") from error
            found.append(IssuedCertificate(peer, peer.serial in revoked))
        return tuple(sorted(found, key=lambda one: (one.peer.role != SERVER, one.peer.name, one.peer.not_before_s)))

    def place(self, name: str) -> Path:
        """The folder of a robot, or of `server`."""
        return self.folder / SERVER if name == SERVER else self.folder / "robots" / name

    def _make(self, name: str, days: int, now_s: float) -> MadeKeys:
        role = SERVER if name == SERVER else "robot"
        pair = new_certificate(self._pair, role, name, days, now_s)
        peer = describe(pair.certificate)
        files = {
            CA: self._pair.certificate_pem(),
            CERTIFICATE: pair.certificate_pem(),
            PRIVATE_KEY: pair.private_key_pem(),
        }
        if role == SERVER:
            files[REVOKED] = (self.folder / AUTHORITY / REVOKED).read_bytes()
        # First into the list: what is not in it could never be revoked.
        _replace(self.folder / AUTHORITY / _ISSUED / f"{name}-{peer.serial:x}.pem", pair.certificate_pem())
        _write_folder(self.place(name), files)
        return MadeKeys(name, self.place(name), peer.not_after_s)


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the whole folder, readable by its owner alone, in place of one that may be there. Raises KeysError."""
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))  # mode 0700
        try:
            for name, content in files.items():
                file = new / name
                file.parent.mkdir(mode=0o700, exist_ok=True)
                with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                    stream.write(content)
            if folder.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
                folder.rename(old / folder.name)
                new.rename(folder)
                shutil.rmtree(old)
            else:
                new.rename(folder)
        except OSError:
            shutil.rmtree(new, ignore_errors=True)
            raise
    except OSError as error:
        raise KeysError(f"{error.filename or folder} cannot be written: {error.strerror}") from error


def _replace(file: Path, content: bytes) -> None:
    """Write a file whole or not at all: a server may read it at this moment. Raises KeysError."""
    new = file.with_name(f".{file.name}.new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(content)
        new.replace(file)
    except OSError as error:
        raise KeysError(f"{file} cannot be written: {error.strerror}") from error
