# SPDX-License-Identifier: Apache-2.0
"""Videos of an episode, encoded while its frames come, in the place of LeRobot's StreamingVideoEncoder.

LeRobot's own is made for a live arm: where encoding falls behind it drops frames, which would put the images out of
step with the joints. Here the frames wait. It also takes statistics of every frame, 3.6 ms each at 640x480, as much as
half the encoding; its other ways of writing take a sample, and so does this one.
"""

import queue
import shutil
import tempfile
import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from lerobot.datasets.compute_stats import RunningQuantileStats, auto_downsample_height_width
from numpy.typing import NDArray
from so101_node.threads.priority import unraised

from so101_bag.errors import DatasetError

WAITING_FRAMES = 16  # of each camera; 0.9 MB each at 640x480
ALL_OF_THE_FIRST = 20  # frames that statistics are taken of; after these of every fifth
SAMPLED = 5


class VideoEncoder:
    """Encodes one episode after another, each camera on a thread of its own. The methods are those LeRobot calls."""

    def __init__(self, fps: int, codec: str, pixel_format: str, options: dict[str, str]) -> None:
        self._fps = fps
        self._codec, self._pixel_format, self._options = codec, pixel_format, options
        self._videos: dict[str, _Video] = {}

    def start_episode(
        self, video_keys: Sequence[str], temp_dir: Path, depth_video_keys: Sequence[str] | None = None
    ) -> None:
        """Begin one video for each key, in folders of their own below `temp_dir`."""
        del depth_video_keys
        self.cancel_episode()
        for key in video_keys:
            folder = Path(tempfile.mkdtemp(dir=temp_dir))
            self._videos[key] = _Video(folder / "video.mp4", self._fps, self._codec, self._pixel_format, self._options)

    def feed_frame(self, video_key: str, image: NDArray[np.uint8]) -> None:
        """Hand over one image, (height, width, 3) RGB, which must not be written to afterwards."""
        self._videos[video_key].feed(image)

    def finish_episode(self) -> dict[str, tuple[Path, dict[str, Any] | None]]:
        """Complete the videos, and return file and statistics of each."""
        for video in self._videos.values():
            video.end()
        found = {key: video.result() for key, video in self._videos.items()}
        self._videos = {}
        return found

    def cancel_episode(self) -> None:
        """Throw away the videos that were begun."""
        for video in self._videos.values():
            video.cancel()
        self._videos = {}

    def close(self) -> None:
        """Leave nothing running."""
        self.cancel_episode()


class _Video:
    """One video, written by a thread."""

    def __init__(self, path: Path, fps: int, codec: str, pixel_format: str, options: dict[str, str]) -> None:
        self._path, self._fps = path, fps
        self._codec, self._pixel_format, self._options = codec, pixel_format, options
        self._frames: queue.Queue[NDArray[np.uint8] | None] = queue.Queue(WAITING_FRAMES)
        self._cancelled = False
        self._error: Exception | None = None
        self._statistics = RunningQuantileStats()
        self._count = 0
        self._thread = threading.Thread(target=self._run, name=f"video {path.parent.name}", daemon=True)
        self._thread.start()

    def feed(self, image: NDArray[np.uint8] | None) -> None:
        """Wait for room, then hand over; raises DatasetError once encoding has failed."""
        while self._thread.is_alive():
            try:
                self._frames.put(image, timeout=0.5)
                return
            except queue.Full:
                continue
        if self._error is not None:
            raise DatasetError(f"encoding a video failed: {self._error}") from self._error

    def end(self) -> None:
        """Say that no frame follows."""
        self.feed(None)

    def result(self) -> tuple[Path, dict[str, Any] | None]:
        """Wait for the last frame."""
        self._thread.join()
        if self._error is not None:
            raise DatasetError(f"encoding a video failed: {self._error}") from self._error
        return self._path, self._statistics.get_statistics() if self._count > 1 else None

    def cancel(self) -> None:
        """End as soon as possible and remove the file."""
        self._cancelled = True
        self.end()
        self._thread.join()
        shutil.rmtree(self._path.parent, ignore_errors=True)

    def _run(self) -> None:
        try:
            with av.open(str(self._path), "w") as container:
                stream: Any = None
                while (image := self._frames.get()) is not None:
                    if self._cancelled:
                        continue
                    if stream is None:
                        stream = self._open_stream(container, image)
                    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                    frame.pts, frame.time_base = self._count, Fraction(1, self._fps)
                    container.mux(stream.encode(frame))
                    self._sample(image)
                    self._count += 1
                if stream is not None:
                    container.mux(stream.encode())
        except Exception as error:  # noqa: BLE001 (told by the next `feed` or by `result`)
            self._error = error

    def _open_stream(self, container: Any, image: NDArray[np.uint8]) -> Any:
        stream = container.add_stream(self._codec, self._fps, options=self._options)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = self._pixel_format
        stream.time_base = Fraction(1, self._fps)
        with unraised():
            container.start_encoding()
        return stream

    def _sample(self, image: NDArray[np.uint8]) -> None:
        if self._count < ALL_OF_THE_FIRST or self._count % SAMPLED == 0:
            small = auto_downsample_height_width(image.transpose(2, 0, 1))
            self._statistics.update(small.transpose(1, 2, 0).reshape(-1, 3))
