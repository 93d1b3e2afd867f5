# SPDX-License-Identifier: Apache-2.0
"""A video file or a folder of JPEG files played in a loop at a fixed rate: a camera for tests and trials.

A video is read through PyAV, as a network camera is: OpenCV fits each frame of a video that changes its size to the
first one's, distorted and without a word.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from so101_camera.core.frame import Frame
from so101_camera.core.frame_source import SourceSettings, device_path
from so101_camera.errors import SourceError

JPEG_ENDINGS = (".jpg", ".jpeg")


class FileSource:
    """Loops over a folder's *.jpg and *.jpeg in name order, passing their bytes through, or over a video's pixels.

    A single JPEG file is a folder of one.
    """

    def __init__(self, path: Path, fps: float) -> None:
        """Keep path and rate; nothing is opened yet. `fps` is frames a second."""
        self._path = path
        self._period_ns = round(1e9 / fps)
        self._files: list[Path] = []
        self._video: Any = None  # av's InputContainer
        self._packets: Iterator[Any] = iter(())
        self._decoded: deque[Any] = deque()
        self._is_open = False
        self._next = 0
        self._due_ns = 0
        self._seq = 0

    @classmethod
    def of(cls, settings: SourceSettings) -> FileSource:
        """Play what `settings.device` names at `settings.fps`."""
        return cls(device_path(settings.device), settings.fps)

    def open(self) -> None:
        """Open the file or list the folder; see FrameSource."""
        self.close()
        if self._path.suffix.lower() in JPEG_ENDINGS and self._path.is_file():
            self._files = [self._path]
        elif self._path.is_dir():
            self._files = sorted(p for p in self._path.iterdir() if p.suffix.lower() in JPEG_ENDINGS)
            if not self._files:
                raise SourceError(f"folder {self._path} holds no .jpg file")
        else:
            self._open_video()
        self._is_open = True
        self._due_ns = time.monotonic_ns()

    def read(self) -> Frame:
        """Wait for the next frame's time and return it; see FrameSource."""
        if not self._is_open:
            raise SourceError(f"{self._path} is not open")
        self._wait()
        self._seq += 1
        if self._video is not None:
            pixels = self._read_video()
            return Frame(self._seq, time.monotonic_ns(), bgr=pixels)
        file = self._files[self._next % len(self._files)]
        self._next += 1
        try:
            return Frame(self._seq, time.monotonic_ns(), jpeg=file.read_bytes())
        except OSError as error:
            raise SourceError(f"cannot read {file}: {error.strerror}") from error

    def close(self) -> None:
        """Release the file."""
        self._packets = iter(())
        self._decoded.clear()
        if self._video is not None:
            self._video.close()
            self._video = None
        self._is_open = False

    def mismatch(self) -> str:
        """Files are played as they are; see FrameSource."""
        return ""

    def _wait(self) -> None:
        """Sleep until the next frame is due; a reader that fell behind starts a new grid instead of hurrying."""
        now_ns = time.monotonic_ns()
        if self._due_ns > now_ns:
            time.sleep((self._due_ns - now_ns) / 1e9)
        elif now_ns - self._due_ns > self._period_ns:
            self._due_ns = now_ns
        self._due_ns += self._period_ns

    def _open_video(self) -> None:
        """Open the video at its beginning. Raises SourceError."""
        self.close()
        try:
            self._video = av.open(str(self._path))
            self._packets = self._video.demux(self._video.streams.video[0])
        except (av.FFmpegError, IndexError) as error:
            self.close()
            raise SourceError(f"{self._path} is no video that FFmpeg can read") from error

    def _read_video(self) -> np.typing.NDArray[np.uint8]:
        """Return the next frame in its own size, upright; after the last one the first."""
        frame = self._next_decoded()
        if frame is None:  # the end: once more from the beginning; not every format can be set back
            self._open_video()
            self._is_open = True
            frame = self._next_decoded()
        if frame is None:
            raise SourceError(f"{self._path} gives no frame")
        pixels = frame.to_ndarray(format="bgr24")
        quarters = round(frame.rotation / 90)  # counterclockwise; a phone writes how it was held
        return np.ascontiguousarray(np.rot90(pixels, quarters), np.uint8)

    def _next_decoded(self) -> Any:
        """Return the next frame, or None at the end of the file."""
        while not self._decoded:
            try:
                packet = next(self._packets)
            except (av.FFmpegError, StopIteration):
                return None
            with contextlib.suppress(av.FFmpegError):  # a damaged frame is left out
                self._decoded.extend(packet.decode())
        return self._decoded.popleft()
