# SPDX-License-Identifier: Apache-2.0
"""Which row of which chunk belongs to which frame, and what is to be added to it."""

import numpy as np
import pytest
from so101_correction.core.network import prepare
from so101_node.protocol import GRIPPER
from so101_training.correction.samples import (
    GRIPPER_HIDDEN,
    GRIPPER_TOLD,
    OLDEST_AGE_STEPS,
    STRIDE,
    CorrectionEpisode,
    CorrectionSamples,
)

JOINTS, ROWS, STILL = 6, 50, 10
RAD_PER_FRAME = 0.01


def episode(frames: int, offset_rad: float = 0.0, speed: float = 1.0) -> CorrectionEpisode:
    """Joints run evenly from frame STILL on; the base policy predicts just that, plus `offset_rad`.

    Frame t of the only camera has the brightness t + 1.
    """
    way = np.maximum(np.arange(frames + ROWS + 1) - STILL, 0)[:, None] * RAD_PER_FRAME * speed
    rad = np.broadcast_to(way, (len(way), JOINTS)).astype(np.float32)
    chunks = [rad[frame + 1 : frame + 1 + ROWS] + offset_rad for frame in range(0, frames, STRIDE)]
    grey = np.arange(1, frames + 1, dtype=np.uint8)[:, None, None, None]
    thumbnails = {"top": np.broadcast_to(grey, (frames, 4, 5, 3)).copy()}
    return CorrectionEpisode(rad[:frames], rad[:frames], thumbnails, np.stack(chunks).astype(np.float32))


def test_the_residual_is_the_command_less_the_row_of_the_same_frame() -> None:
    samples = CorrectionSamples([episode(60), episode(40, speed=2.0)])
    drawn = samples.draw(np.random.default_rng(0), 500)
    age = drawn.told[:, -1] * 50
    within = age < ROWS
    assert within.sum() > 300
    np.testing.assert_allclose(drawn.residual[within], 0.0, atol=1e-6)
    offset = CorrectionSamples([episode(60, 0.25)]).draw(np.random.default_rng(0), 100)
    young = offset.told[:, -1] * 50 < ROWS
    np.testing.assert_allclose(offset.residual[young], -0.25, atol=1e-6)


def test_ages_run_from_none_to_the_oldest_and_the_plan_ends_with_its_last_row() -> None:
    drawn = CorrectionSamples([episode(150)]).draw(np.random.default_rng(0), 4000)
    age = np.rint(drawn.told[:, -1] * 50).astype(int)
    assert (age.min(), age.max()) == (0, OLDEST_AGE_STEPS)
    late = age >= ROWS  # of frame t + age the row is the one of frame t + ROWS - 1: the arm was to stand there
    np.testing.assert_allclose(drawn.residual[late, 0], (age[late] - ROWS + 1) * RAD_PER_FRAME, atol=1e-5)


def test_nothing_is_learned_of_the_time_before_the_first_motion_but_chunks_of_it_are_used() -> None:
    made = episode(40)
    assert made.first_moving == STILL + 1  # command 10 is still the first
    drawn = CorrectionSamples([made]).draw(np.random.default_rng(0), 2000)
    now = np.rint(drawn.images["top"][:, 0, 0, 0] * 64 + 128).astype(int) - 1
    then = now - np.rint(drawn.images["top"][:, 0, 0, 3] * 64).astype(int)
    assert now.min() == STILL + 1
    assert then.min() == 0
    assert set(then % STRIDE) == {0}
    np.testing.assert_array_equal(now - then - 1, np.rint(drawn.told[:, -1] * 50).astype(int))


def test_noise_moves_plan_and_positions_and_the_residual_takes_it_back() -> None:
    samples = CorrectionSamples([episode(60)])
    clean = samples.draw(np.random.default_rng(0), 1).residual
    assert abs(float(clean.max())) < 1e-6
    noisy = samples.draw(np.random.default_rng(0), 3000, noise=GRIPPER_HIDDEN)
    young = noisy.told[:, -1] * 50 < ROWS
    row, positions = noisy.told[young, JOINTS : 2 * JOINTS], noisy.told[young, :JOINTS]
    command = row + noisy.residual[young]  # what was demonstrated, whatever the noise
    assert np.all(np.abs(command - command[:, :1]) < 1e-5)
    strayed, residual = positions - command, noisy.residual[young]
    assert 0.008 < strayed[:, :GRIPPER].std() < 0.012
    assert 0.01 < residual[:, :GRIPPER].std() < 0.03
    assert residual[:, GRIPPER].std() > 0.15  # open and closed rows alone do not tell what lies between


def test_a_gripper_that_is_told_strays_no_more_than_the_other_joints() -> None:
    noisy = CorrectionSamples([episode(60)]).draw(np.random.default_rng(0), 3000, noise=GRIPPER_TOLD)
    young = noisy.told[:, -1] * 50 < ROWS
    row, positions = noisy.told[young, JOINTS : 2 * JOINTS], noisy.told[young, :JOINTS]
    strayed = (positions - row - noisy.residual[young]).std(axis=0)
    assert 0.8 * strayed[:GRIPPER].mean() < strayed[GRIPPER] < 1.2 * strayed[:GRIPPER].mean()
    assert noisy.residual[young, GRIPPER].std() < 0.03


def test_frames_are_prepared_as_the_robot_prepares_them_and_a_blind_one_gets_none() -> None:
    samples = CorrectionSamples([episode(30)])
    drawn = samples.draw(np.random.default_rng(3), 1)
    age = round(float(drawn.told[0, -1]) * 50)
    now = round(float(drawn.images["top"][0, 0, 0, 0]) * 64 + 128)
    frames = [np.full((1, 4, 5, 3), brightness, np.uint8) for brightness in (now, now - 1 - age)]
    np.testing.assert_array_equal(drawn.images["top"], prepare(*frames))
    assert samples.draw(np.random.default_rng(3), 1, sees=False).images == {}


@pytest.mark.parametrize("frames", [1, 12])
def test_an_episode_in_which_nothing_moves_gives_no_samples(frames: int) -> None:
    still = CorrectionEpisode(
        np.zeros((frames, 6), np.float32),
        np.zeros((frames, 6), np.float32),
        {"top": np.zeros((frames, 4, 5, 3), np.uint8)},
        np.zeros((-(-frames // STRIDE), ROWS, 6), np.float32),
    )
    assert still.first_moving == frames
    assert len(CorrectionSamples([still, episode(30)])) == 30 - (STILL + 1)


def test_the_earlier_frame_is_the_one_of_so_many_steps_before_with_noise_about_so() -> None:
    samples = CorrectionSamples([episode(60)], earlier_steps=3)
    clean, noisy = (samples.draw(np.random.default_rng(0), 3000, noise=noise) for noise in (None, GRIPPER_TOLD))
    passed = [np.rint(drawn.images["top"][:, 0, 0, 4] * 64).astype(int) for drawn in (clean, noisy)]
    assert set(passed[0]) == {3}
    shares = {steps: float(np.mean(passed[1] == steps)) for steps in (0, 2, 3, 4)}
    assert sum(shares.values()) == 1.0
    assert 0.03 < shares[0] < 0.07 and min(shares[2], shares[4]) > 0.1 and shares[3] > 0.6
