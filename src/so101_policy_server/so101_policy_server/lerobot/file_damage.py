# SPDX-License-Identifier: Apache-2.0
"""Files that are there and are not what their name says: stubs, error pages, halves. Free of LeRobot and torch."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Final

_LFS: Final = b"version https://git-lfs"
_PICKLES: Final = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_HEADER_LIMIT: Final = 100_000_000
"""Bytes of a header that safetensors takes."""


def find_damage(file: Path) -> str:
    """Why a file cannot be used, and how to get a whole one; "" where nothing is seen.

    Args:
        file: any file of a checkpoint; of .safetensors the length is checked too. One that is missing is no damage,
            but a link to nothing is.
    """
    if file.is_symlink() and not file.exists():
        target = file.readlink()
        return f"is a link to {target}, which is not there: copy the checkpoint with what its links point to (cp -rL)"
    if not file.is_file():
        return ""
    with file.open("rb") as opened:
        begin = opened.read(64)
    size = file.stat().st_size
    if not begin:
        return "is empty: copy the checkpoint again"
    if begin.startswith(_LFS):
        return "is a stub of Git LFS, not the file itself: run `git lfs pull` where it was cloned, or copy it again"
    if begin.lstrip()[:1] == b"<":
        return "is a page of HTML, not the file itself: download it again"
    return _find_damage_of_safetensors(file, begin, size) if file.suffix == ".safetensors" else ""


def _find_damage_of_safetensors(file: Path, begin: bytes, size: int) -> str:
    if begin.startswith(_PICKLES):
        return "is a pickle under another name, which is never loaded: save the policy again with LeRobot"
    length = struct.unpack("<Q", begin[:8])[0] if len(begin) >= 8 else size
    if 8 + length > size:
        # A length that no header has is no safetensors file at all, whatever else it is.
        return "was only copied in part: copy it again" if length < _HEADER_LIMIT else "is no safetensors file"
    try:
        with file.open("rb") as opened:
            opened.seek(8)
            header = json.loads(opened.read(length))
        whole = (
            8
            + length
            + max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return "is no safetensors file: copy it again"
    if size > whole:  # git changes line ends in a file that it takes for text
        return f"has {size} bytes, {whole} by its own header: something changed it on its way, copy it again"
    return f"was only copied in part ({size} of {whole} bytes): copy it again" if size < whole else ""
