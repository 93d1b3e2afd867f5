# SPDX-License-Identifier: Apache-2.0
"""revoked.txt: serial numbers of certificates that the server refuses, one a line in hexadecimal; `#` comments."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from so101_link.errors import KeysError

HEADER = "# Serial numbers of the certificates that the server refuses, read again at each connection.\n"


def read_revoked(path: Path) -> frozenset[int]:
    """The serial numbers in the file. Raises KeysError: a file that is not there or not understood admits nobody."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not a text"
        raise KeysError(f"{path}: {why}: copy it again from the folder of the authority") from error
    serials = set()
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            serials.add(int(text, 16))
        except ValueError:
            raise KeysError(f"{path}, line {number}: {text!r} is no serial number in hexadecimal") from None
    return frozenset(serials)


def lines_of(revoked: Iterable[tuple[int, str]]) -> str:
    """Lines of the file for these serial numbers, each with its comment."""
    return "".join(f"{serial:x}  # {comment}\n" for serial, comment in revoked)
