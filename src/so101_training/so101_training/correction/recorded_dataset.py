# SPDX-License-Identifier: Apache-2.0
"""Demonstrations out of any LeRobotDataset, episode by episode: joints as recorded, images of their full size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from so101_node.protocol.units import Units

from so101_training.policy.dataset import ACTION, IMAGES, REPO_ID, STATE, TrainingDataError

_DECODED_AT_ONCE = 64
_VIDEO_BACKEND = "pyav"
_LARGEST_DEGREES, _LARGEST_NORMALIZED = 185.0, 105.0
_RADIANS_END = 3.3
"""Just above pi: with all of the arm within it, the numbers are radians."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordedEpisode:
    """T frames as the dataset has them.

    Attributes:
        state: (T, J) float64, the dataset's units.
        action: (T, J) float64, the dataset's units.
        images: camera -> (T, height, width, 3) uint8 RGB.
        task: the instruction.
    """

    state: NDArray[np.float64]
    action: NDArray[np.float64]
    images: dict[str, NDArray[np.uint8]]
    task: str


class RecordedDataset:
    """A LeRobotDataset on disk."""

    def __init__(self, root: Path) -> None:
        """Open it.

        Raises:
            TrainingDataError: there is none at `root`, or LeRobot cannot read it.
        """
        from lerobot.datasets.lerobot_dataset import LeRobotDataset

        if not (root / "meta" / "info.json").is_file():
            raise TrainingDataError(f"no dataset at {root}: expected a folder with meta/info.json")
        try:
            # The backend is named, or LeRobot tries torchcodec, whose failure fills a page.
            self._dataset = LeRobotDataset(REPO_ID, root=root, video_backend=_VIDEO_BACKEND)
        except Exception as error:  # LeRobot, datasets and the hub's client raise dozens of types here
            raise TrainingDataError(
                f"{root} cannot be read by LeRobot: {' '.join(str(error).split())[:300]}"
            ) from error
        self.root = root
        self._table = self._dataset.hf_dataset.with_format(None)
        index = np.array(self._table["episode_index"], np.int64)
        self._ends = np.flatnonzero(np.diff(index, append=-1)) + 1

    @property
    def fps(self) -> float:
        """Frames per second."""
        return float(self._dataset.meta.fps)

    @property
    def episodes(self) -> int:
        """How many episodes."""
        return len(self._ends)

    @property
    def frames(self) -> int:
        """Of all episodes."""
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras, without LeRobot's prefix."""
        return tuple(key.removeprefix(IMAGES) for key in self._dataset.meta.camera_keys)

    @property
    def identity(self) -> dict[str, Any]:
        """What tells this dataset from another, for the key of a cache."""
        info = self.root / "meta" / "info.json"
        stats = [float(np.sum(self._dataset.meta.stats[key]["mean"])) for key in (STATE, ACTION)]
        return {"root": str(self.root.resolve()), "info": info.read_text(encoding="utf-8"), "means": stats}

    def check(self, joint_names: Sequence[str], cameras: Sequence[str], fps: float, units: Units) -> None:
        """Hold it against the robot.

        Raises:
            TrainingDataError: one line that names what was expected and what the dataset has.
        """
        features = self._dataset.meta.features
        for key in (STATE, ACTION):
            if key not in features:
                raise TrainingDataError(f"{self.root} has no {key}: expected a dataset of a robot's joints")
            names = _joint_names(features[key])
            if names != list(joint_names):
                raise TrainingDataError(
                    f"{self.root}: {key} is of {_listed(names)}; expected the joints {_listed(joint_names)}"
                )
        if not self.cameras:
            raise TrainingDataError(f"{self.root} has no frames: expected those of {_listed(cameras)}")
        if missing := [camera for camera in cameras if camera not in self.cameras]:
            raise TrainingDataError(f"{self.root} has cameras {_listed(self.cameras)}: expected {_listed(missing)} too")
        if self.fps != fps:
            raise TrainingDataError(
                f"{self.root} has {self.fps:g} frames per second: expected {fps:g}, as the queue has"
            )
        if not self.episodes:
            raise TrainingDataError(f"{self.root} has no episode")
        self._check_units(units)

    def read(self, index: int, cameras: Sequence[str]) -> RecordedEpisode:
        """One episode, whole: a minute of 640x480 from two cameras takes 3 GB."""
        begin, end = int(self._ends[index - 1]) if index else 0, int(self._ends[index])
        rows = self._table.select(range(begin, end))
        task = str(self._dataset.meta.tasks.index[rows["task_index"][0]])
        images = {camera: self._images(index, rows, IMAGES + camera) for camera in cameras}
        return RecordedEpisode(np.array(rows[STATE], np.float64), np.array(rows[ACTION], np.float64), images, task)

    def _images(self, episode: int, rows: Any, key: str) -> NDArray[np.uint8]:
        if key in self._dataset.meta.video_keys:
            return np.concatenate(list(self._decoded(episode, rows["timestamp"], key)))
        return np.stack([_rgb(stored) for stored in rows.select_columns([key])[key]])

    def _decoded(self, episode: int, timestamps: Sequence[float], key: str) -> Iterator[NDArray[np.uint8]]:
        from lerobot.datasets.video_utils import decode_video_frames

        meta = self._dataset.meta
        path, begin_s = meta.root / meta.get_video_file_path(episode, key), self._begin_of_video_s(episode, key)
        for first in range(0, len(timestamps), _DECODED_AT_ONCE):
            wanted = [begin_s + seconds for seconds in timestamps[first : first + _DECODED_AT_ONCE]]
            frames = decode_video_frames(path, wanted, self._dataset.tolerance_s, _VIDEO_BACKEND, return_uint8=True)
            yield np.ascontiguousarray(frames.numpy().transpose(0, 2, 3, 1))

    def _begin_of_video_s(self, episode: int, key: str) -> float:
        return float(self._dataset.meta.episodes[episode][f"videos/{key}/from_timestamp"])

    def _check_units(self, units: Units) -> None:
        """Nothing in a dataset says its units; its numbers are the only witness."""
        values = np.abs(np.array(self._table[ACTION], np.float64)[:, :-1])
        largest = float(values.max())
        if largest <= _RADIANS_END:
            raise TrainingDataError(f"{self.root}: all arm joints are within {largest:.2f}; expected {_WORDS[units]}")
        if units is Units.NORMALIZED and largest > _LARGEST_NORMALIZED:
            raise TrainingDataError(f"{self.root}: a joint is at {largest:.0f}; expected {_WORDS[units]}")
        if units is Units.DEGREES and largest > _LARGEST_DEGREES:
            raise TrainingDataError(f"{self.root}: a joint is at {largest:.0f}; expected {_WORDS[units]}")


_WORDS = {Units.DEGREES: "degrees, -180 to 180", Units.NORMALIZED: "LeRobot's normalized units, -100 to 100"}


def _joint_names(feature: dict[str, Any]) -> list[str]:
    """Names of a feature's columns, without LeRobot's ".pos"; older datasets have them in a dictionary."""
    names = feature.get("names") or []
    if isinstance(names, dict):
        names = [name for several in names.values() for name in several]
    return [str(name).removesuffix(".pos").removeprefix("main_") for name in names]


def _rgb(stored: Any) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 of a stored image."""
    image = PIL.Image.open(BytesIO(stored["bytes"])) if isinstance(stored, dict) else stored
    return np.asarray(image.convert("RGB"), np.uint8)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
