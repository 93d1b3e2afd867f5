# SPDX-License-Identifier: Apache-2.0
"""How far the arm of a demonstration strays from where its commands lead it.

A correction learns the way back only from an arm that has left the way. Demonstrations whose commands were sent as they
were kept show none, and what is learned from them does harm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from so101_node.protocol import GRIPPER

from so101_training.correction.samples import CorrectionEpisode

HARDLY_RAD: Final = 0.011
"""Between the 0.009 of demonstrations of `policy data --noise off`, whose correction did harm, and the 0.012 of the
same with a quarter as many that carry noise (docs/explanation/correction.md). A real arm's play and friction add."""

LAG_STEPS: Final = 10
"""A position is explained by so many commands before it: a servo follows within 0.1 to 0.2 s."""

FEWEST_FRAMES: Final = 100
"""Of fewer frames nothing is said: a filter of `LAG_STEPS` weights would explain them whatever they are."""


def strayed_rad(episodes: Sequence[CorrectionEpisode]) -> float:
    """Root mean square of what the commands do not explain of the measured positions, over all joints but the gripper.

    What they explain is the linear filter of the last `LAG_STEPS` commands that fits best, for each joint. The first
    `LAG_STEPS` frames of each episode are left out. NaN where fewer than `FEWEST_FRAMES` are left.
    """
    lagged = np.concatenate([_lagged(episode.commands) for episode in episodes]).astype(np.float64)
    positions = np.concatenate([episode.positions[LAG_STEPS:] for episode in episodes]).astype(np.float64)
    if len(positions) < FEWEST_FRAMES:
        return math.nan
    joints = [joint for joint in range(positions.shape[1]) if joint != GRIPPER]
    unexplained = []
    for joint in joints:
        inputs = np.column_stack([lagged[:, :, joint], np.ones(len(lagged))])
        weights = np.linalg.lstsq(inputs, positions[:, joint], rcond=None)[0]
        unexplained.append(positions[:, joint] - inputs @ weights)
    return float(np.sqrt(np.mean(np.square(unexplained))))


def told_of_straying(strayed: float) -> str:
    """What to say of it before the training; "" where nothing is known."""
    if math.isnan(strayed):
        return ""
    told = f"in these demonstrations the arm strays {strayed:.4f} rad from where its commands lead it"
    if strayed >= HARDLY_RAD:
        return told
    return (
        f"warning: {told}, less than {HARDLY_RAD:g}: a correction learns no way back from them, and may do harm; "
        "record them with noise on the commands that are sent, see docs/explanation/correction.md"
    )


def _lagged(commands: NDArray[np.float32]) -> NDArray[np.float32]:
    """(T, J) to (T - LAG_STEPS, LAG_STEPS, J): of each frame from LAG_STEPS on the commands before it, newest first."""
    count = max(0, len(commands) - LAG_STEPS)
    return np.stack([commands[LAG_STEPS - lag :][:count] for lag in range(1, LAG_STEPS + 1)], axis=1)
