# SPDX-License-Identifier: Apache-2.0
"""Writing a LeRobotDataset (v3) with the cameras as video, encoded while the frames come."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import datasets
from lerobot.configs.video import RGBEncoderConfig
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from so101_bag.dataset.episode_frames import DatasetFrame
from so101_bag.dataset.existing_dataset import (
    check_features,
    check_fit,
    exchange,
    linked_copy,
    read_info,
    undo_exchange,
    write_units,
)
from so101_bag.dataset.video_encoder import VideoEncoder
from so101_bag.errors import DatasetError

STATE, ACTION, IMAGES = "observation.state", "action", "observation.images."
ROBOT_TYPE = "so101_follower"
# Nothing is read back here. Left to itself LeRobot tries torchcodec, and where FFmpeg is not installed for that it
# prints 40 lines of tracebacks before it takes this one.
VIDEO_BACKEND = "pyav"
ENCODERS: Mapping[str, Mapping[str, Any]] = {
    # An image takes 7 ms of one core at 640x480; AV1, LeRobot's own choice, 20 ms, for files two thirds the size.
    "h264": {"vcodec": "h264", "preset": "superfast", "crf": 23},
    "av1": {"vcodec": "libsvtav1"},
}


class _Dataset(LeRobotDataset):  # type: ignore[misc]
    """A LeRobotDataset whose videos are encoded by our VideoEncoder."""

    @staticmethod
    def _build_streaming_encoder(
        fps: int, rgb_encoder: Any, depth_encoder: Any, encoder_queue_maxsize: int, encoder_threads: int | None
    ) -> VideoEncoder:
        del depth_encoder, encoder_queue_maxsize
        options = rgb_encoder.get_codec_options(encoder_threads, as_strings=True)
        return VideoEncoder(fps, rgb_encoder.vcodec, rgb_encoder.pix_fmt, options)


@dataclass(frozen=True, slots=True)
class Target:
    """The dataset that is written: its folder, whether it is there and goes on, and what it is made of."""

    folder: Path
    fps: int
    codec: str
    units: str
    robot_type: str = ROBOT_TYPE
    append: bool = False


class LeRobotWriter:
    """Writes episodes one after another; the folder appears, or gets them, when `finish` is called."""

    def __init__(self, target: Target) -> None:
        """Prepare a dataset; what it holds follows from the first frame.

        Raises:
            DatasetError: the folder exists, or, to be appended to, does not fit.
        """
        self._target = target
        folder = self._folder = target.folder.resolve()  # beside it there must be room, and a link stays one
        undo_exchange(folder)
        self._info: Mapping[str, Any] = {}
        if target.append:
            self._info = read_info(folder)
            check_fit(folder, self._info, target.fps, target.robot_type, target.units)
        elif folder.exists():
            raise DatasetError(
                f"--out {target.folder} exists: remove it, name another folder, or add to it with --append"
            )
        datasets.disable_progress_bars()  # one bar per episode otherwise
        av.logging.set_libav_level(av.logging.ERROR)  # 15 lines of statistics per video otherwise
        self._work = folder.with_name(f".{folder.name}.part")
        self._joints: list[str] = []
        self._dataset: Any = None
        self._shapes: dict[str, tuple[int, ...]] = {}
        self.episodes = 0
        self.frames = 0

    def begin(self, joint_names: Sequence[str]) -> None:
        """Say which joints the episodes have."""
        self._joints = [f"{name}.pos" for name in joint_names]

    def add(self, frames: Iterator[DatasetFrame], task: str) -> int:
        """Append one episode and return its number of frames. Where the frames end in an error nothing is appended.

        Raises:
            DatasetError: the images are not those of the episodes before, or the disk is full.
        """
        count = 0
        try:
            with _as_dataset_error(self._folder):
                for frame in frames:
                    self._check(frame)
                    images = {IMAGES + camera: pixels for camera, pixels in frame.images.items()}
                    self._dataset.add_frame({STATE: frame.state, ACTION: frame.action, "task": task, **images})
                    count += 1
                self._dataset.save_episode()
        except BaseException:
            if self._dataset is not None:
                self._dataset.clear_episode_buffer()
            raise
        self.episodes += 1
        self.frames += count
        return count

    def finish(self) -> None:
        """Complete the dataset and put it in its place.

        Raises:
            DatasetError: the disk is full.
        """
        with _as_dataset_error(self._folder):
            self._dataset.finalize()
            write_units(self._work, self._target.units)
            if self._target.append:
                exchange(self._work, self._folder)
            else:
                self._work.replace(self._folder)

    def discard(self) -> None:
        """Leave nothing behind; does nothing after `finish`."""
        dataset, self._dataset = self._dataset, None
        if dataset is None or not self._work.exists():
            return
        with suppress(Exception):  # whatever is wrong with it: left to itself it makes the folder again as it goes
            dataset.finalize()
        shutil.rmtree(self._work, ignore_errors=True)

    def _check(self, frame: DatasetFrame) -> None:
        shapes = {camera: pixels.shape for camera, pixels in frame.images.items()}
        if self._dataset is None:
            self._shapes = shapes
            self._create()
        elif shapes != self._shapes:
            raise DatasetError(f"images of {_text(shapes)} do not go with those before, {_text(self._shapes)}")

    def _create(self) -> None:
        joints = {"dtype": "float32", "shape": (len(self._joints),), "names": self._joints}
        features: dict[str, Any] = {STATE: dict(joints), ACTION: dict(joints)}
        for camera, shape in self._shapes.items():
            features[IMAGES + camera] = {"dtype": "video", "shape": shape, "names": ["height", "width", "channels"]}
        options: dict[str, Any] = {
            "root": self._work,
            "rgb_encoder": RGBEncoderConfig(**ENCODERS[self._target.codec]),
            "streaming_encoding": True,
            "encoder_threads": 1,
            "video_backend": VIDEO_BACKEND,
        }
        name = f"local/{self._folder.name}"
        if self._target.append:
            check_features(self._folder, self._info, features)
            linked_copy(self._folder, self._work)
            self._dataset = _resumed(name, options, self._folder)
            return
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.parent.mkdir(parents=True, exist_ok=True)
        self._dataset = _Dataset.create(
            name,
            fps=self._target.fps,
            features=features,
            robot_type=self._target.robot_type,
            use_videos=True,
            **options,
        )


def _resumed(name: str, options: Mapping[str, Any], folder: Path) -> Any:
    try:
        return _Dataset.resume(name, **options)
    except Exception as error:
        # LeRobot raises whatever its readers of JSON and Parquet do where a dataset was not completed.
        said = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(f"--append: LeRobot cannot resume {folder} ({said[:200]}): was it completed?") from error


@contextmanager
def _as_dataset_error(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatasetError(f"{folder} cannot be written: {error.strerror or error}") from error


def _text(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{camera} {shape[1]}x{shape[0]}" for camera, shape in shapes.items())
