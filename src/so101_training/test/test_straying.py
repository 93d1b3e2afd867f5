# SPDX-License-Identifier: Apache-2.0
"""How far the arm of a demonstration strays from where its commands lead it."""

import math

import numpy as np
import pytest
from so101_node.protocol import GRIPPER
from so101_training.correction.samples import STRIDE, CorrectionEpisode
from so101_training.correction.straying import FEWEST_FRAMES, HARDLY_RAD, LAG_STEPS, strayed_rad, told_of_straying

FRAMES, JOINTS = 150, 6


def episode(seed: int, noise_rad: float, gripper_rad: float = 0.0) -> CorrectionEpisode:
    """A servo that follows commands as a filter of first order; noise_rad: of what was sent beside what was kept."""
    rng = np.random.default_rng(seed)
    begins, ends = rng.uniform(-1, 1, (2, JOINTS))
    ratio = np.clip(np.arange(FRAMES) / 100, 0, 1)[:, None]
    commands = begins + (ends - begins) * (3 * ratio**2 - 2 * ratio**3)
    noise, positions = np.zeros(JOINTS), [commands[0]]
    for command in commands[:-1]:
        noise = 0.95 * noise + np.sqrt(1 - 0.95**2) * noise_rad * rng.normal(size=JOINTS)
        noise[GRIPPER] = gripper_rad * rng.normal()
        positions.append(positions[-1] + 0.4 * (command + noise - positions[-1]))
    return CorrectionEpisode(
        positions=np.array(positions, np.float32),
        commands=commands.astype(np.float32),
        thumbnails={},
        chunks=np.zeros((-(-FRAMES // STRIDE), 50, JOINTS), np.float32),
    )


def resting(frames: int) -> CorrectionEpisode:
    return CorrectionEpisode(
        positions=np.full((frames, JOINTS), 0.3, np.float32),
        commands=np.full((frames, JOINTS), 0.25, np.float32),
        thumbnails={},
        chunks=np.zeros((-(-frames // STRIDE), 50, JOINTS), np.float32),
    )


def test_an_arm_that_gets_what_was_kept_hardly_strays_and_one_that_gets_noise_does() -> None:
    clean, noisy = ([episode(seed, noise_rad) for seed in range(8)] for noise_rad in (0.0, 0.03))
    assert strayed_rad(clean) < 0.2 * HARDLY_RAD
    assert HARDLY_RAD < strayed_rad(noisy) < 0.03


def test_noise_of_twice_the_size_makes_it_stray_twice_as_far() -> None:
    one, two = (strayed_rad([episode(seed, noise_rad) for seed in range(8)]) for noise_rad in (0.02, 0.04))
    assert two / one == pytest.approx(2.0, rel=0.15)


def test_the_gripper_does_not_count_and_neither_does_a_joint_that_rests() -> None:
    assert strayed_rad([episode(seed, 0.0, gripper_rad=0.3) for seed in range(3)]) < 0.2 * HARDLY_RAD
    assert strayed_rad([resting(FEWEST_FRAMES + LAG_STEPS)]) < 1e-6


def test_of_a_few_frames_nothing_is_said() -> None:
    assert math.isnan(strayed_rad([resting(FEWEST_FRAMES + LAG_STEPS - 1)]))
    assert math.isnan(strayed_rad([resting(3)] * 100))
    assert told_of_straying(math.nan) == ""


def test_what_is_said_is_a_warning_where_it_hardly_strays() -> None:
    assert told_of_straying(0.0205).startswith("in these demonstrations the arm strays 0.0205 rad")
    assert told_of_straying(0.0083).startswith("warning: in these demonstrations the arm strays 0.0083 rad")
