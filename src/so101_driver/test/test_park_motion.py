# SPDX-License-Identifier: Apache-2.0
"""The slow motion to the park pose."""

import numpy as np
import pytest
from so101_driver.core.park_motion import ParkMotion


def test_it_starts_and_ends_at_rest_and_peaks_at_the_given_speed() -> None:
    motion = ParkMotion([0.0, 0.0], [0.8, -0.2], 0.5, start_ns=1_000_000_000)
    times = np.arange(1_000_000_000, 5_000_000_000, 1_000_000)
    poses = np.array([motion.sample(int(t)) for t in times])
    speeds = np.diff(poses, axis=0) * 1000
    assert np.abs(speeds).max() == pytest.approx(0.5, rel=1e-3)
    assert poses[0] == pytest.approx([0.0, 0.0])
    assert poses[-1] == pytest.approx([0.8, -0.2])
    assert np.abs(speeds[0]).max() < 1e-3


def test_it_is_over_when_the_longest_way_is_done() -> None:
    motion = ParkMotion([0.0], [0.8], 0.5, start_ns=0)
    assert not motion.is_over(2_990_000_000)  # 1.875 * 0.8 / 0.5 = 3 s
    assert motion.is_over(3_000_000_000)


def test_no_way_to_go_takes_no_time() -> None:
    assert ParkMotion([0.3], [0.3], 0.5, start_ns=7).is_over(8)
