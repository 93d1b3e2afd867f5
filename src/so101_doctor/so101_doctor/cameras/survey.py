# SPDX-License-Identifier: Apache-2.0
"""One look at one camera."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from so101_camera.core.frame_source import SourceSettings, device_path, is_url
from so101_camera.errors import ImageCodecError, SourceError
from so101_camera.image_codec import jpeg_of, pixels_of
from so101_camera.sources.frame_sources import make_source

_BY_ID = Path("/dev/v4l/by-id")
_NAMES = Path("/sys/class/video4linux")


@dataclass(frozen=True, slots=True)
class Sight:
    """What a camera delivered. `fps`: measured over the look. `jpeg`: the image, as it would travel."""

    device: str
    name: str
    stable_path: str
    width: int
    height: int
    fps: float
    passes_jpeg: bool
    jpeg: bytes


def devices() -> list[str]:
    """Camera devices of this machine, in their order; each camera may have a second one, for metadata."""
    return [str(path) for path in sorted(Path("/dev").glob("video*"), key=lambda path: (len(path.name), path.name))]


def look(device: str, seconds: float, frame_source: str = "") -> Sight:
    """Read frames from `device` (also a file or folder, as the camera node takes them) for a while.

    frame_source: as the camera node's parameter; "" = by the device.

    Raises:
        SourceError: it cannot be opened or gives no frame.
        UnknownSourceError: frame_source names nothing that can be used.
    """
    source = make_source(SourceSettings(device=device), frame_source)
    try:
        source.open()
        frame = source.read()
        begin_ns, count = time.monotonic_ns(), 0
        while (elapsed_ns := time.monotonic_ns() - begin_ns) < seconds * 1e9:
            frame = source.read()
            count += 1
    finally:
        source.close()
    try:
        height, width = pixels_of(frame).shape[:2]
    except ImageCodecError as error:
        raise SourceError(f"{device}: {error}") from error
    path = device_path(device)
    return Sight(
        device=device,
        name=_name_of(path) if device else frame_source,
        stable_path=device if is_url(device) else _stable_path_of(path),  # a path would lose one of the slashes
        width=width,
        height=height,
        fps=count / (elapsed_ns / 1e9),
        passes_jpeg=frame.jpeg is not None,
        jpeg=jpeg_of(frame),
    )


def _name_of(path: Path) -> str:
    try:
        return (_NAMES / path.name / "name").read_text(encoding="utf-8").strip()
    except OSError:
        return path.name


def _stable_path_of(path: Path) -> str:
    """The name that stays when cameras are plugged in in another order; the path itself where there is none."""
    if _BY_ID.is_dir():
        for link in sorted(_BY_ID.iterdir()):
            if os.path.realpath(link) == os.path.realpath(path):
                return str(link)
    return str(path)
