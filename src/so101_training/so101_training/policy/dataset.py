# SPDX-License-Identifier: Apache-2.0
"""Episodes to a LeRobotDataset, and a LeRobotDataset to arrays in memory. All of it works without a network.

Images are stored as PNG, not as video: what is trained on is then exactly what the policy server decodes.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from so101_node.protocol import JOINT_NAMES

from so101_training.errors import TrainingError
from so101_training.policy.demonstration import Demonstration
from so101_training.policy.recipe import FPS, ObservationRecipe

REPO_ID = "local/so101_pick"
ROBOT_TYPE = "so101_follower"

STATE, ACTION, IMAGES = "observation.state", "action", "observation.images."


class TrainingDataError(TrainingError):
    """The dataset is missing or does not fit the recipe. The message is one line."""


@dataclass(frozen=True, slots=True)
class EpisodeArrays:
    """A whole dataset in memory, N frames of all episodes one after another.

    Attributes:
        images: camera -> (N, 3, height, width) uint8, RGB.
        state: (N, 6) float32, LeRobot's units.
        action: (N, 6) float32, LeRobot's units.
        episode_end: (N,) int64, index of the first frame after the frame's own episode.
        stats: LeRobot's statistics by feature, for the normalising processors.
        task: the one instruction.
    """

    images: dict[str, NDArray[np.uint8]]
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    episode_end: NDArray[np.int64]
    stats: dict[str, Any]
    task: str

    @property
    def frames(self) -> int:
        """N."""
        return len(self.state)

    @property
    def episodes(self) -> int:
        """How many episodes."""
        return len(np.unique(self.episode_end))


class DatasetBuilder:
    """Writes episodes one after another as a LeRobotDataset; the folder appears when `finish` is called."""

    def __init__(self, root: Path, recipe: ObservationRecipe) -> None:
        """root: the dataset's folder; one that is there is replaced in the end."""
        import datasets
        from lerobot.datasets.lerobot_dataset import LeRobotDataset

        datasets.disable_progress_bars()  # one bar per episode and camera otherwise
        self._root = root
        self._work = root.with_name(root.name + ".part")
        self._cameras = recipe.cameras
        shutil.rmtree(self._work, ignore_errors=True)
        self._dataset = LeRobotDataset.create(
            REPO_ID,
            fps=FPS,
            features=_features(recipe),
            root=self._work,
            robot_type=ROBOT_TYPE,
            use_videos=False,
            image_writer_threads=2,
            video_backend="pyav",  # named, or LeRobot tries torchcodec, whose failure fills a page
        )

    def add(self, episode: Demonstration, instruction: str) -> None:
        """Append one episode; instruction: what the arm had to do in it."""
        for index in range(len(episode.state)):
            images = {IMAGES + camera: episode.images[camera][index] for camera in self._cameras}
            self._dataset.add_frame(
                {STATE: episode.state[index], ACTION: episode.action[index], "task": instruction, **images}
            )
        self._dataset.save_episode()

    def finish(self) -> None:
        """Complete the dataset and put it in its place."""
        self._dataset.finalize()
        shutil.rmtree(self._root, ignore_errors=True)
        self._work.replace(self._root)


def _features(recipe: ObservationRecipe) -> dict[str, Any]:
    joints = {"dtype": "float32", "shape": (6,), "names": [f"{joint}.pos" for joint in JOINT_NAMES]}
    image = {"dtype": "image", "shape": (recipe.height, recipe.width, 3), "names": ["height", "width", "channels"]}
    return {STATE: joints, ACTION: joints, **{IMAGES + camera: dict(image) for camera in recipe.cameras}}


def load(root: Path, recipe: ObservationRecipe) -> EpisodeArrays:
    """Read a LeRobotDataset into memory: 30 kB a frame, so 1.5 GB for 50,000.

    Raises:
        TrainingDataError: there is none at `root`, or it has other features.
    """
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    if not (root / "meta" / "info.json").is_file():
        raise TrainingDataError(f"no dataset at {root}; make one with `./so101 policy data`")
    dataset = LeRobotDataset(REPO_ID, root=root, video_backend="pyav")
    missing = [key for key in (STATE, ACTION, *(IMAGES + c for c in recipe.cameras)) if key not in dataset.features]
    if missing:
        raise TrainingDataError(f"{root} has no {', '.join(missing)}; make it again with `./so101 policy data`")
    shape = tuple(dataset.features[IMAGES + recipe.cameras[0]]["shape"])
    if shape != (recipe.height, recipe.width, 3):
        raise TrainingDataError(f"{root} has images of {shape}, expected {(recipe.height, recipe.width, 3)}")
    table = dataset.hf_dataset.with_format(None)
    images = {
        camera: np.stack([_chw(row) for row in table.select_columns([IMAGES + camera])[IMAGES + camera]])
        for camera in recipe.cameras
    }
    episode = np.array(table["episode_index"], np.int64)
    return EpisodeArrays(
        images,
        np.array(table[STATE], np.float32),
        np.array(table[ACTION], np.float32),
        np.searchsorted(episode, episode, side="right").astype(np.int64),
        dataset.meta.stats,
        str(dataset.meta.tasks.index[0]),
    )


def _chw(stored: Any) -> NDArray[np.uint8]:
    """(3, height, width) uint8 of a stored image."""
    image = PIL.Image.open(BytesIO(stored["bytes"])) if isinstance(stored, dict) else stored
    return np.ascontiguousarray(np.asarray(image.convert("RGB"), np.uint8).transpose(2, 0, 1))
