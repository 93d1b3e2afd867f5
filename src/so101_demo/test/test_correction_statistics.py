# SPDX-License-Identifier: Apache-2.0
"""What the report says of a correction."""

from so101_demo.observer.correction_statistics import CorrectionStatistics


def test_the_ticks_that_were_changed_are_counted_while_an_episode_runs():
    statistics = CorrectionStatistics()
    statistics.start_episode()
    for delta, cause in (
        ([0.0, -0.2], ""),
        ([0.1, 0.0], ""),
        ([0.0, 0.0], "top is frozen"),
        ([0.0, 0.0], "top: 0.31 s old"),
        ([0.0, 0.0], "top: 0.45 s old"),
    ):
        statistics.add_tick(delta, cause)
    statistics.end_episode()
    statistics.add_tick([0.5, 0.5], "")
    assert statistics.report() == {
        "corrected_ticks": 0.4,
        "largest_delta_rad": 0.2,
        "correction_causes": {"top: N s old": 2, "top is frozen": 1},
    }


def test_without_a_correction_there_is_nothing_to_say():
    statistics = CorrectionStatistics()
    statistics.add_tick([], "")
    assert statistics.report() == {"corrected_ticks": None, "largest_delta_rad": None, "correction_causes": {}}
