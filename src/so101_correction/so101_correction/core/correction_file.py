# SPDX-License-Identifier: Apache-2.0
"""The file of a correction: a network, what it was trained for, and how far it may go. An .npz without pickle."""

import io
import re
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from so101_correction.core.network import CorrectionNetwork
from so101_correction.errors import CorrectionFileError, CorrectionInputError

FORMAT_VERSIONS: Final = (1, 2)
"""Version 2 has `earlier_steps`. What is shown no earlier frame is written as version 1, which older robots read."""
LARGEST_FILE_BYTES: Final = 64_000_000
"""Unpacked; the network of two cameras has 0.3 MB."""

_WEIGHT, _TRAINED = "weights/", "trained/"
_TEXTS, _NAMES = ("fingerprint", "units"), ("cameras", "joint_names")
_COUNTS = ("height", "width", "oldest_age_steps")
_NUMBERS = ("fps", "largest_delta_rad", "largest_change_rad")
_KEYS: Final = ("format_version", *_TEXTS, *_NAMES, *_COUNTS, *_NUMBERS)
_EARLIER: Final = "earlier_steps"
_LARGEST_SIDE, _OLDEST_AGE, _MOST_EARLIER, _LARGEST_FPS, _LARGEST_DELTA_RAD = 1024, 1000, 100, 1000.0, np.pi
_HEADS = {
    b"PK\x03\x04": "an .npz that is cut off or damaged",
    b"\x93NUMPY": "an .npy of one array",
    b"\x80": "pickled content, which is never read",
}


@dataclass(frozen=True, eq=False)
class CorrectionFile:
    """One trained network with what it was trained for.

    Attributes:
        weights: of `CorrectionNetwork`, by name, float32.
        fingerprint: SHA-256 of the base policy whose plans it corrects, 64 hexadecimal digits.
        cameras: in the order of the network's encoders; none = it is blind.
        height: of the thumbnails, pixels.
        width: the same.
        joint_names: in the order of the setpoint.
        fps: control rate, Hz.
        oldest_age_steps: control steps between request and tick up to which it was trained.
        largest_delta_rad: what is added to the setpoint of a joint, at most, rad.
        largest_change_rad: how far that may change in a tick, rad.
        earlier_steps: control steps between the newest frame and the earlier one that the network is shown beside it;
            0 = none.
        units: of joints, always "rad".
        trained: how it was trained, as text by name: tasks, episodes, steps, seed, ...

    Raises:
        CorrectionFileError: a value that cannot be; the message names its key.
    """

    weights: Mapping[str, NDArray[np.float32]]
    fingerprint: str
    cameras: tuple[str, ...]
    height: int
    width: int
    joint_names: tuple[str, ...]
    fps: float
    oldest_age_steps: int
    largest_delta_rad: float
    largest_change_rad: float
    earlier_steps: int = 0
    units: str = "rad"
    trained: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.fingerprint):
            raise CorrectionFileError(f"fingerprint: expected 64 hexadecimal digits, got '{self.fingerprint}'")
        if self.units != "rad":
            raise CorrectionFileError(f"units: expected rad, got '{self.units}'")
        for key, names in (("cameras", self.cameras), ("joint_names", self.joint_names)):
            if len(set(names)) != len(names) or not all(names):
                raise CorrectionFileError(f"{key}: expected different names, got {_listed(names)}")
        for key, highest in (("height", _LARGEST_SIDE), ("width", _LARGEST_SIDE), ("oldest_age_steps", _OLDEST_AGE)):
            if not 1 <= getattr(self, key) <= highest:
                raise CorrectionFileError(f"{key}: expected 1 to {highest}, got {getattr(self, key)}")
        if not 0 <= self.earlier_steps <= _MOST_EARLIER:
            raise CorrectionFileError(f"{_EARLIER}: expected 0 to {_MOST_EARLIER}, got {self.earlier_steps}")
        rates = (
            ("fps", _LARGEST_FPS),
            ("largest_delta_rad", _LARGEST_DELTA_RAD),
            ("largest_change_rad", _LARGEST_DELTA_RAD),
        )
        for key, most in rates:
            if not 0 < getattr(self, key) <= most:  # NaN neither
                raise CorrectionFileError(f"{key}: expected above 0 and at most {most:g}, got {getattr(self, key)}")
        try:
            network = self.network()
        except CorrectionInputError as error:
            raise CorrectionFileError(str(error)) from error
        for key, have, want in (
            ("cameras", network.cameras, len(self.cameras)),
            ("joint_names", network.joints, len(self.joint_names)),
        ):
            if have != want:
                raise CorrectionFileError(f"{key}: {want} named, but the weights are for {have}")
        if network.sees_earlier != (self.earlier_steps > 0):
            kind = "with" if network.sees_earlier else "without"
            raise CorrectionFileError(f"{_EARLIER}: got {self.earlier_steps}, but the weights are {kind} earlier frame")

    def network(self) -> CorrectionNetwork:
        """Return the network, a new one on each call."""
        return CorrectionNetwork(self.weights)


def check(
    file: CorrectionFile, *, fingerprint: str, cameras: Sequence[str], joint_names: Sequence[str], fps: float
) -> str:
    """Return "" where a correction fits a robot and its policy, else one line that says what differs.

    Args:
        file: the correction.
        fingerprint: of the policy that answers; "" = its library gives none.
        cameras: that the robot has, in any order; more than the correction reads do not matter.
        joint_names: of the robot, in order.
        fps: control rate of the queue, Hz.
    """
    if file.fingerprint != fingerprint:
        got = f"the policy's is {fingerprint[:12]}" if fingerprint else "the policy has none"
        return f"correction for another policy: expected fingerprint {file.fingerprint[:12]}, {got}"
    if missing := [camera for camera in file.cameras if camera not in cameras]:
        return f"correction reads cameras {_listed(file.cameras)}: no {_listed(missing)} among {_listed(cameras)}"
    if file.joint_names != tuple(joint_names):
        return f"correction for other joints: expected {_listed(file.joint_names)}, got {_listed(joint_names)}"
    if file.fps != fps:
        return f"correction for another rate: expected {file.fps:g} Hz, got {fps:g} Hz"
    return ""


def read(path: Path) -> CorrectionFile:
    """Read a correction.

    Raises:
        CorrectionFileError: no such file, or one that is no correction of this version; the message names both file
            and key.
    """
    try:
        entries = _entries(path)
        version = _single(entries, "format_version", "i")
        if version not in FORMAT_VERSIONS:
            known = " or ".join(map(str, FORMAT_VERSIONS))
            raise CorrectionFileError(f"format_version: expected {known}, got {version}")
        keys = _KEYS if version == 1 else (*_KEYS, _EARLIER)
        if unknown := [key for key in entries if key not in keys and not key.startswith((_WEIGHT, _TRAINED))]:
            raise CorrectionFileError(f"{unknown[0]}: no key of format version {version}")
        return CorrectionFile(
            weights={name.removeprefix(_WEIGHT): array for name, array in entries.items() if name.startswith(_WEIGHT)},
            trained={
                name.removeprefix(_TRAINED): str(_single(entries, name, "U"))
                for name in entries
                if name.startswith(_TRAINED)
            },
            fingerprint=str(_single(entries, "fingerprint", "U")),
            units=str(_single(entries, "units", "U")),
            cameras=_names(entries, "cameras"),
            joint_names=_names(entries, "joint_names"),
            height=int(_single(entries, "height", "i")),
            width=int(_single(entries, "width", "i")),
            oldest_age_steps=int(_single(entries, "oldest_age_steps", "i")),
            fps=float(_single(entries, "fps", "f")),
            largest_delta_rad=float(_single(entries, "largest_delta_rad", "f")),
            largest_change_rad=float(_single(entries, "largest_change_rad", "f")),
            earlier_steps=0 if version == 1 else int(_single(entries, _EARLIER, "i")),
        )
    except CorrectionFileError as error:
        raise CorrectionFileError(f"correction {path}: {error}") from error


def write(path: Path, file: CorrectionFile) -> None:
    """Write a correction; a file of that name is replaced only once the new one is complete.

    Equal corrections give equal bytes.

    Raises:
        CorrectionFileError: it cannot be written there.
    """
    entries: dict[str, NDArray[Any]] = {"format_version": np.array(2 if file.earlier_steps else 1)}
    if file.earlier_steps:
        entries[_EARLIER] = np.array(file.earlier_steps, np.int64)
    entries |= {key: np.array(getattr(file, key), np.str_) for key in (*_TEXTS, *_NAMES)}
    entries |= {key: np.array(getattr(file, key), np.int64) for key in _COUNTS}
    entries |= {key: np.array(getattr(file, key), np.float64) for key in _NUMBERS}
    entries |= {_WEIGHT + name: np.ascontiguousarray(weight) for name, weight in sorted(file.weights.items())}
    entries |= {_TRAINED + name: np.array(text, np.str_) for name, text in sorted(file.trained.items())}
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as unfinished:
            try:
                np.savez(unfinished, **entries)  # type: ignore[arg-type]
                unfinished.close()
                Path(unfinished.name).chmod(0o644)
                Path(unfinished.name).replace(path)
            except BaseException:
                Path(unfinished.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise CorrectionFileError(f"correction {path}: cannot be written: {error.strerror}") from error


def _entries(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz by name; the check sums of all of them are verified."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > LARGEST_FILE_BYTES:
                raise CorrectionFileError(f"expected at most {LARGEST_FILE_BYTES} bytes unpacked, got {size}")
            return {name.removesuffix(".npy"): _array(name, archive.read(name)) for name in archive.namelist()}
    except OSError as error:
        raise CorrectionFileError(f"cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        with path.open("rb") as stream:
            head = stream.read(8)
        what = next((what for start, what in _HEADS.items() if head.startswith(start)), "something else")
        raise CorrectionFileError(f"expected an .npz, got {what if head else 'an empty file'}") from error


def _array(name: str, data: bytes) -> NDArray[Any]:
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise CorrectionFileError(f"{name}: expected a plain array, got pickled or damaged content") from error
    return np.asarray(array)


def _single(entries: Mapping[str, NDArray[Any]], key: str, kind: str) -> str | int | float:
    """The value of an entry without dimensions; `kind`: one of numpy's, i, f or U."""
    array = _entry(entries, key)
    if array.shape != () or array.dtype.kind not in (kind, "i" if kind == "f" else kind):
        raise CorrectionFileError(f"{key}: expected a single {_KINDS[kind]}, got {array.dtype} of shape {array.shape}")
    value: str | int | float = array.item()
    return value


def _names(entries: Mapping[str, NDArray[Any]], key: str) -> tuple[str, ...]:
    array = _entry(entries, key)
    if array.ndim != 1 or array.dtype.kind != "U":
        raise CorrectionFileError(f"{key}: expected a list of texts, got {array.dtype} of shape {array.shape}")
    return tuple(str(name) for name in array)


def _entry(entries: Mapping[str, NDArray[Any]], key: str) -> NDArray[Any]:
    if key not in entries:
        raise CorrectionFileError(f"{key}: missing; expected {_listed(_KEYS)}, {_WEIGHT}... and {_TRAINED}...")
    return entries[key]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


_KINDS: Final = {"i": "whole number", "f": "number", "U": "text"}
