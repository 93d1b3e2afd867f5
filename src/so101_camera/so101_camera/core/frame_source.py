# SPDX-License-Identifier: Apache-2.0
"""What the camera node needs of a frame source, and what it tells it. docs/how-to/add_a_camera.md shows a whole one."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from so101_camera.core.frame import Frame


class FrameSource(Protocol):
    """Delivers frames one after another. Used by one thread only."""

    def open(self) -> None:
        """Open the device or file. May be called again after `close`.

        Raises:
            SourceError: it cannot be opened.
        """

    def read(self) -> Frame:
        """Block until the next frame and return it; `seq` goes on rising over `close` and `open`.

        Raises:
            SourceError: the device is gone or gave no frame.
            SourceEndedError: it gives none before it is opened again.
        """

    def close(self) -> None:
        """Release the device. Does nothing when it is not open."""

    def mismatch(self) -> str:
        """Return in words what the opened device gives otherwise than asked; empty when it is as asked."""


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """What is asked of a source.

    Attributes:
        device: path such as /dev/video0 or /dev/v4l/by-id/..., an index such as "0", a URL (rtsp://, http://), a
            video file, or a folder of JPEG files; for a source of another package whatever that makes of it.
        width, height: pixels, of the frames after rotation, as in LeRobot's camera configuration.
        fps: frames a second; files loop at this rate.
        fourcc: pixel format asked of a device; MJPG passes the camera's own bytes through.
        rotation: degrees by which frames are turned clockwise: 0, 90, 180, 270 or -90.
    """

    device: str
    width: int = 640
    height: int = 480
    fps: float = 30.0
    fourcc: str = "MJPG"
    rotation: int = 0

    @property
    def captured_size(self) -> tuple[int, int]:
        """Width and height asked of the device: those before rotation."""
        return (self.height, self.width) if self.rotation % 180 == 90 else (self.width, self.height)


def is_url(device: str) -> bool:
    """Whether the device is an address in the network and no path."""
    return re.match(r"[a-z][a-z0-9+.-]*://", device, re.IGNORECASE) is not None and not device.startswith("file://")


def without_password(url: str) -> str:
    """Return the URL as it may be shown: user and password left out."""
    return re.sub(r"(?<=://)[^/@]*@", "", url)


def device_path(device: str) -> Path:
    """Return the path that `device` names; an index n is /dev/video<n>."""
    return Path(f"/dev/video{device}") if device.isdecimal() else Path(device.removeprefix("file://")).expanduser()


MakeSource = Callable[[SourceSettings], FrameSource]
"""What an entry point of the group `so101.frame_sources` is. It opens nothing.

Raises:
    SourceMissingError: there is no such device, file or folder.
"""
