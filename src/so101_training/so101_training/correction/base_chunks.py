# SPDX-License-Identifier: Apache-2.0
"""What the base policy would have done in each demonstration, computed once and kept in a folder, an episode a file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from so101_node.protocol.units import UnitConverter
from so101_policy_server.inference.image_decode import resize_image
from so101_policy_server.policy import Observation, PolicyError

from so101_training.correction.recorded_dataset import RecordedDataset, RecordedEpisode
from so101_training.correction.samples import STRIDE, CorrectionEpisode, episode_arrays
from so101_training.policy.dataset import TrainingDataError

if TYPE_CHECKING:
    from so101_policy_server.policy import Policy

_FORMAT = 1
_THUMBNAILS = "thumbnails_"


@dataclass(frozen=True, slots=True)
class ThumbnailRecipe:
    """The frames that a correction sees. Cameras in the order of its network."""

    cameras: tuple[str, ...]
    height: int = 64
    width: int = 80


class BaseChunks:
    """Demonstrations of one dataset together with a base policy's chunks."""

    def __init__(
        self,
        folder: Path,
        dataset: RecordedDataset,
        policy: Policy,
        fingerprint: str,
        units: UnitConverter,
        recipe: ThumbnailRecipe,
    ) -> None:
        """folder: of all caches; in it this one gets a folder, named after data, policy and recipe."""
        self._dataset, self._policy, self._units, self._recipe = dataset, policy, units, recipe
        probe = units.to_radians(np.outer([-50.0, 50.0], np.ones(len(units.joint_names))))
        key = {
            "format": _FORMAT,
            "dataset": dataset.identity,
            "policy": fingerprint,
            "stride": STRIDE,
            "size": [recipe.height, recipe.width],
            "cameras": recipe.cameras,
            "units": probe.tolist(),
        }
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
        self.folder = folder / f"{dataset.root.name}-{digest}"

    def episodes(self, told: Callable[[int], None]) -> Iterator[CorrectionEpisode]:
        """All episodes in order; those in the folder are read from it. told: the frames of each that is done.

        Raises:
            TrainingDataError: the policy cannot compute a chunk from them.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for index in range(self._dataset.episodes):
            path = self.folder / f"{index:06d}.npz"
            if not path.is_file():
                _write(path, self._compute(self._dataset.read(index, self._needed_cameras())))
            episode = _read(path, self._recipe.cameras)
            told(len(episode.positions))
            yield episode

    def _needed_cameras(self) -> tuple[str, ...]:
        read = (image.camera for image in self._policy.description.images)
        return tuple(dict.fromkeys((*self._recipe.cameras, *read)))

    def _compute(self, episode: RecordedEpisode) -> CorrectionEpisode:
        self._policy.reset()
        requested = range(0, len(episode.state), STRIDE)
        chunks = [self._units.to_radians(self._chunk(episode, index)) for index in requested]
        thumbnails = {
            camera: np.stack([self._thumbnail(image) for image in episode.images[camera]])
            for camera in self._recipe.cameras
        }
        return CorrectionEpisode(
            self._units.to_radians(episode.state).astype(np.float32),
            self._units.to_radians(episode.action).astype(np.float32),
            thumbnails,
            np.stack(chunks).astype(np.float32),
        )

    def _chunk(self, episode: RecordedEpisode, index: int) -> NDArray[np.float64]:
        """The policy's chunk for a frame, (rows, joints), its units."""
        described = self._policy.description
        steps = np.maximum(np.arange(index - described.n_obs_steps + 1, index + 1), 0)
        images = {
            image.key: tuple(
                episode.images[image.camera][step]
                if image.native
                else resize_image(episode.images[image.camera][step], image.height, image.width)
                for step in steps
            )
            for image in described.images
        }
        observation = Observation(episode.state[steps], images, episode.task, period_s=1 / self._dataset.fps)
        try:
            return np.asarray(self._policy.infer(observation, None).actions, np.float64)
        except PolicyError as error:
            raise TrainingDataError(f"{self._dataset.root}: the policy gives no chunk for it: {error}") from error

    def _thumbnail(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return resize_image(image, self._recipe.height, self._recipe.width)


def _write(path: Path, episode: CorrectionEpisode) -> None:
    """Whole or not at all, since a run that was killed is gone on with."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        np.savez(file, **episode_arrays(episode))  # type: ignore[arg-type]
    temporary.replace(path)


def _read(path: Path, cameras: Sequence[str]) -> CorrectionEpisode:
    with np.load(path, allow_pickle=False) as stored:
        thumbnails = {camera: stored[_THUMBNAILS + camera] for camera in cameras}
        return CorrectionEpisode(stored["positions"], stored["commands"], thumbnails, stored["chunks"])
