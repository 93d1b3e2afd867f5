# SPDX-License-Identifier: Apache-2.0
"""What a correction learns from: a frame of a demonstration, and a chunk of the base policy for one some steps before.

The first row of a chunk that was requested at frame t0 is executed at frame t0 + 1. So a row of age a, in steps, is the
one of frame t0 + 1 + a; what is to be added to it is the demonstrated command of that frame less the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray
from so101_correction.core.features import LOOK_AHEAD_ROWS, proprioception
from so101_correction.core.network import prepare
from so101_node.protocol import GRIPPER

STRIDE: Final = 4
"""The base policy's chunk is computed for every so many frames."""

OLDEST_AGE_STEPS: Final = 54

STILL_RAD: Final = 0.005
"""Until a command is this far from the first one, a demonstration has not begun; nothing is learned of that time."""

EVEN_RATIO: Final = 0.4
"""Of the samples, drawn from all frames alike; the others more often where the base policy is farther off."""


@dataclass(frozen=True, slots=True)
class SampleNoise:
    """How far the plan and the measured positions stray from the recorded ones: a spread, rad, and in how many samples.

    Attributes:
        rows_rad: of all rows of a plan alike.
        positions_rad: of the measured positions.
        gripper_rows_rad: of the gripper in the rows, on top.
        gripper_position_rad: of the measured gripper, on top.
    """

    rows_rad: float = 0.02
    rows_ratio: float = 0.7
    positions_rad: float = 0.01
    positions_ratio: float = 0.8
    gripper_rows_rad: float = 0.0
    gripper_rows_ratio: float = 0.5
    gripper_position_rad: float = 0.0
    gripper_position_ratio: float = 0.9


EARLIER_STRAY_STEPS: Final = (-1, 0, 0, 0, 0, 0, 1)
"""By how many steps an earlier frame is off, each alike: the frames of a robot's cameras do not come evenly."""

EARLIER_MISSING_RATIO: Final = 0.05
"""In so many samples a camera has no earlier frame, and the one of now stands for it."""

GRIPPER_TOLD: Final = SampleNoise()
"""For tasks whose demonstrations have the gripper anywhere between open and closed."""

GRIPPER_HIDDEN: Final = SampleNoise(gripper_rows_rad=0.3, gripper_position_rad=0.4)
"""The measured gripper is told as good as not at all: for tasks that have it open or closed and little between. Told of
it there, a correction feeds it back: at ages above 1 s it opened an open gripper to the end of the joint, and closed it
too late for the lift, in each of 6 misses that were looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class CorrectionEpisode:
    """One demonstration of T frames with what the base policy would have done; J joints, all in rad.

    Attributes:
        positions: (T, J) float32, measured.
        commands: (T, J) float32, demonstrated.
        thumbnails: camera -> (T, height, width, 3) uint8 RGB.
        chunks: (ceil(T / STRIDE), rows, J) float32, of the base policy for frames 0, STRIDE, ...
    """

    positions: NDArray[np.float32]
    commands: NDArray[np.float32]
    thumbnails: dict[str, NDArray[np.uint8]]
    chunks: NDArray[np.float32]

    @property
    def first_moving(self) -> int:
        """The first frame whose command differs from the one in the beginning; T where none does."""
        moving = np.abs(self.commands - self.commands[0]).max(axis=1) > STILL_RAD
        return int(np.argmax(moving)) if moving.any() else len(moving)


@dataclass(frozen=True, slots=True, eq=False)
class SampleBatch:
    """n samples.

    images: camera -> (n, height, width, 4 or 5) float32; told: (n, 5 J + 1) float32; residual: (n, J), rad.
    """

    images: dict[str, NDArray[np.float32]]
    told: NDArray[np.float32]
    residual: NDArray[np.float32]


class CorrectionSamples:
    """Draws samples from episodes: a frame after the first motion, with any chunk before it."""

    def __init__(self, episodes: Sequence[CorrectionEpisode], *, earlier_steps: int = 0) -> None:
        """Keep all frames one after another, so that a batch is a few gathers; earlier_steps: as a file has it."""
        self._earlier_steps = earlier_steps
        lengths = [len(episode.positions) for episode in episodes]
        first_frames = np.cumsum([0, *lengths])
        first_chunks = np.cumsum([0, *(len(episode.chunks) for episode in episodes)])
        self._positions = np.concatenate([episode.positions for episode in episodes])
        self._commands = np.concatenate([episode.commands for episode in episodes])
        self._chunks = np.concatenate([episode.chunks for episode in episodes])
        self.cameras = tuple(episodes[0].thumbnails)
        self._thumbnails = {
            camera: np.concatenate([episode.thumbnails[camera] for episode in episodes]) for camera in self.cameras
        }
        moments, errors = [], []
        for index, episode in enumerate(episodes):
            at = np.arange(max(episode.first_moving, 1), lengths[index])
            begin = np.array([first_frames[index], first_chunks[index]])
            moments.append(np.column_stack([at, np.tile(begin, (len(at), 1))]))
            errors.append([_error_of_base_rad(episode, int(frame)) for frame in at])
        self._moments = np.concatenate(moments)  # frame in the episode, the episode's first frame, its first chunk
        error = np.concatenate(errors) + 1e-9
        self._cumulated = np.cumsum(EVEN_RATIO / len(error) + (1 - EVEN_RATIO) * error / error.sum())

    def __len__(self) -> int:
        return len(self._moments)

    def draw(
        self, rng: np.random.Generator, count: int, *, noise: SampleNoise | None = None, sees: bool = True
    ) -> SampleBatch:
        """`count` samples; noise: how far plan and joint positions are off, as they are on the robot; None = not."""
        drawn = np.searchsorted(self._cumulated, rng.random(count) * self._cumulated[-1], side="right")
        at, first_frame, first_chunk = self._moments[drawn].T
        oldest = _oldest_chunk(at)
        chunk = rng.integers(oldest, (at - 1) // STRIDE + 1)
        requested = chunk * STRIDE
        age = at - 1 - requested
        of_chunk = self._chunks[first_chunk + chunk]
        ahead = np.minimum(age[:, None] + np.array(LOOK_AHEAD_ROWS), of_chunk.shape[1] - 1)
        rows = of_chunk[np.arange(count)[:, None], ahead].astype(np.float64)
        now, then = first_frame + at, first_frame + requested
        positions = self._positions[now].astype(np.float64)
        if noise is not None:
            rows += _noise(rng, rows[:, :1].shape, noise.rows_rad, noise.rows_ratio)
            positions += _noise(rng, positions.shape, noise.positions_rad, noise.positions_ratio)
            rows[..., GRIPPER] += _noise(rng, (count, 1), noise.gripper_rows_rad, noise.gripper_rows_ratio)
            strayed = _noise(rng, (count,), noise.gripper_position_rad, noise.gripper_position_ratio)
            positions[:, GRIPPER] += strayed
        earlier = self._earlier(rng, at, strays=noise is not None)
        images = {
            camera: prepare(frames[now], frames[then], None if earlier is None else frames[first_frame + earlier])
            for camera, frames in self._thumbnails.items()
            if sees
        }
        residual = (self._commands[now] - rows[:, 0]).astype(np.float32)
        return SampleBatch(images, proprioception(positions, rows, age), residual)

    def _earlier(self, rng: np.random.Generator, at: NDArray[np.int64], *, strays: bool) -> NDArray[np.int64] | None:
        """The earlier frame of each of some frames in an episode; None where none is shown."""
        if not self._earlier_steps:
            return None
        steps = np.full(at.shape, self._earlier_steps)
        if strays:
            steps += rng.choice(EARLIER_STRAY_STEPS, at.shape)
            steps[rng.random(at.shape) < EARLIER_MISSING_RATIO] = 0
        return np.asarray(np.maximum(at - steps, 0), np.int64)


def _oldest_chunk(frame: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first chunk whose rows may still be executed at a frame."""
    return np.maximum(0, -((OLDEST_AGE_STEPS + 1 - frame) // STRIDE))


def _error_of_base_rad(episode: CorrectionEpisode, frame: int) -> float:
    """How far the base policy's rows for a frame are from its command, root mean square over chunks and joints."""
    chunk = np.arange(int(_oldest_chunk(np.array(frame))), (frame - 1) // STRIDE + 1)
    age = np.minimum(frame - 1 - chunk * STRIDE, episode.chunks.shape[1] - 1)
    return float(np.sqrt(np.mean((episode.chunks[chunk, age] - episode.commands[frame]) ** 2)))


def _noise(rng: np.random.Generator, shape: tuple[int, ...], spread_rad: float, ratio: float) -> NDArray[np.float64]:
    """Normal noise in `ratio` of the samples."""
    struck = rng.random((shape[0], *(1,) * (len(shape) - 1))) < ratio
    return np.asarray(rng.normal(0.0, spread_rad, shape) * struck)


def episode_arrays(episode: CorrectionEpisode) -> dict[str, NDArray[np.generic]]:
    """An episode as arrays by name, for a file."""
    plain = {field.name: getattr(episode, field.name) for field in fields(episode) if field.name != "thumbnails"}
    return plain | {f"thumbnails_{camera}": frames for camera, frames in episode.thumbnails.items()}
