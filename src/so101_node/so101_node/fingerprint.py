# SPDX-License-Identifier: Apache-2.0
"""Which policy it is, wherever its folder lies: what a server says of it and what a file made for one policy holds."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from so101_node.errors import So101NodeError

_BLOCK_BYTES = 1 << 20


class FingerprintError(So101NodeError):
    """A folder is no checkpoint, or cannot be read."""


def of_checkpoint(folder: Path, base: Path | None = None, statistics_from: Sequence[str] = ()) -> str:
    """Return the fingerprint of a LeRobot checkpoint: a SHA-256, 64 hex digits.

    It is taken over name, size and bytes of the configuration (config.json, or adapter_config.json) and of all files
    *.safetensors, weights and statistics, in the order of their names. Where the folder lies does not matter.

    Args:
        folder: holds these files itself; links are followed.
        base: for a PEFT adapter, the folder of the policy whose weights it changes; None for a policy of its own.
        statistics_from: which statistics it normalises with instead of its own, in order: keys, and files *.json, of
            which the bytes count and not the place.

    Raises:
        FingerprintError: a file cannot be read, or there is no configuration or no file of weights.
    """
    digest = hashlib.sha256()
    for place in (folder,) if base is None else (folder, base):
        _add(digest, place)
    for one in statistics_from:
        digest.update(b"statistics_from\0")
        if one.endswith(".json"):
            _add_file(digest, Path(one).expanduser(), "")
        else:
            digest.update(f"{one}\0".encode())
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", folder: Path) -> None:
    configurations = [folder / name for name in ("adapter_config.json", "config.json") if (folder / name).is_file()]
    weights = sorted(folder.glob("*.safetensors"))
    if not configurations or not weights:
        lacking = "*.safetensors" if configurations else "config.json"
        raise FingerprintError(f"{folder} has no {lacking}: expected the folder of a LeRobot checkpoint")
    for file in (*configurations, *weights):
        _add_file(digest, file, file.name)


def _add_file(digest: "hashlib._Hash", file: Path, name: str) -> None:
    try:
        digest.update(f"{name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as content:
            while block := content.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise FingerprintError(f"{file} cannot be read: {error.strerror}") from error
