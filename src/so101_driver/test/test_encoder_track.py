# SPDX-License-Identifier: Apache-2.0
"""Encoder counts from read to read: the seam, noise, and what no joint can do."""

import numpy as np
import pytest
from so101_driver.core.calibration import JointCalibration
from so101_driver.core.encoder_track import LARGEST_STEP, TURN, EncoderTrack, Tracked

STEP = int(LARGEST_STEP)  # 228
NAN = float("nan")


class Roll:
    """A track of which only the wrist_roll moves."""

    def __init__(self) -> None:
        self.track = EncoderTrack([JointCalibration(index + 1, 0, 0, 0, 4095) for index in range(6)])

    def see(self, *raw: float) -> Tracked:
        for value in raw:
            steps = np.full(6, 2048.0)
            steps[4] = value
            seen = self.track.update(steps)
            assert np.all(seen.steps[[0, 1, 2, 3, 5]] == 2048)
        return seen


def position(seen: Tracked) -> float:
    return float(seen.steps[4])


@pytest.mark.parametrize("direction", [1, -1])
def test_each_step_over_the_seam_is_found_at_once_and_no_other_is(direction: int) -> None:
    """Every distance that a joint can turn between two reads, from every place near the seam and from some far off."""
    starts = [*range(STEP + 10), *range(STEP + 10, 4096 - STEP - 10, 311), *range(4096 - STEP - 10, 4096)]
    for start in starts:
        for distance in (1, 2, 9, 40, 100, STEP - 1, STEP):
            end = start + direction * distance
            roll = Roll()
            roll.see(start)
            seen = roll.see(end % TURN)
            crossed = not 0 <= end < TURN
            assert position(seen) == end, (start, end)  # the count goes on: no jump of a turn
            assert seen.fresh == ((4,) if crossed else ()), (start, end)
            assert bool(seen.jumps) == crossed
            if crossed:
                assert f"wrist_roll went over the encoder's 0/4095 seam (step {start} -> {end % TURN})" in seen.jumps[4]


def test_a_crossing_stands_until_the_joint_is_turned_back() -> None:
    roll = Roll()
    roll.see(4000, 4090)
    assert roll.see(30).fresh == (4,)
    seen = roll.see(60)
    assert (position(seen), seen.fresh, list(seen.jumps)) == (TURN + 60, (), [4])
    assert list(roll.see(NAN).jumps) == [4]
    seen = roll.see(20, 4080)
    assert (position(seen), seen.fresh) == (4080, (4,))
    assert roll.see(4070).jumps == {}


def test_a_tremble_at_the_seam_is_never_silence_and_each_crossing_is_named() -> None:
    roll = Roll()
    roll.see(4094)
    for _ in range(20):
        seen = roll.see(1)
        assert (position(seen), seen.fresh) == (TURN + 1, (4,))
        seen = roll.see(4094)
        assert (position(seen), seen.fresh) == (4094, (4,))


def test_a_packet_that_noise_made_is_dropped_and_a_jump_that_stays_is_named() -> None:
    for start, other in ((2048, 2048 + 3 * STEP), (2048, 100), (300, 2400), (3000, 200)):
        roll = Roll()
        roll.see(start)
        assert np.isnan(position(roll.see(other)))
        assert position(roll.see(start)) == start
        assert np.isnan(position(roll.see(other)))
        seen = roll.see(other)
        assert position(seen) == other
        assert f"jumped from step {start} to {other}" in seen.jumps[4]
        assert roll.see(other).jumps == {}


@pytest.mark.parametrize("reads", [1, 2, 3, 8])
def test_after_silence_a_joint_may_have_gone_as_far_as_it_could_in_that_time(reads: int) -> None:
    roll = Roll()
    roll.see(1000)
    seen = roll.see(*[NAN] * (reads - 1), 1000 + STEP * reads)
    assert (position(seen), seen.jumps) == (1000 + STEP * reads, {})


def test_over_the_seam_in_silence_takes_a_second_read() -> None:
    roll = Roll()
    roll.see(4000, NAN, NAN, NAN)
    assert np.isnan(position(roll.see(200)))
    seen = roll.see(210)
    assert (position(seen), seen.fresh) == (TURN + 210, (4,))


@pytest.mark.parametrize("beyond", [-1, -200, 4096, 4100, 9000])
def test_a_count_beyond_one_turn_is_named_when_it_is_read_twice(beyond: int) -> None:
    roll = Roll()
    start = 5 if beyond < 0 else 4090
    roll.see(start)
    assert np.isnan(position(roll.see(beyond)))
    assert position(roll.see(start)) == start  # it was noise
    roll.see(beyond)
    assert f"reports step {beyond}, beyond one turn" in roll.see(beyond).jumps[4]
    assert list(roll.see(beyond).jumps) == [4]  # it stands
    assert roll.see(start, start, start).jumps == {}


def test_when_the_bus_comes_back_the_nearer_side_of_the_seam_counts() -> None:
    for raw, turns in ((40, 1), (1500, 1), (2600, 0), (4050, 0)):
        roll = Roll()
        roll.see(4090, 10)
        roll.track.reopen()
        seen = roll.see(raw)
        assert position(seen) == raw + turns * TURN
        assert bool(seen.jumps) == bool(turns), raw


def test_what_a_joint_did_while_the_bus_was_away_is_no_jump() -> None:
    roll = Roll()
    roll.see(1000)
    roll.track.reopen()
    seen = roll.see(3000)
    assert (position(seen), seen.jumps) == (3000, {})
