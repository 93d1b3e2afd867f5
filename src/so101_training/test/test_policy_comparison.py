# SPDX-License-Identifier: Apache-2.0
"""The table of modes and delays: its file, its plot, its metrics."""

import json
from pathlib import Path

import cv2
import pytest
from so101_training.policy.comparison import JSON_FILE, PLOT_FILE, ModeCell, read, write
from so101_training.policy.trials import TrialError, evaluation_seeds

ABOUT = {"task": "belt", "checkpoint": "belt", "where": "in virtual time", "seed": 0}
CELLS = [ModeCell("stop_and_wait", 200.0, 0, 20, tuple(range(20))), ModeCell("aligned", 400.0, 19, 20, (3,))]


def test_what_was_written_is_read_back_and_gone_on_with(tmp_path: Path) -> None:
    write(tmp_path, ABOUT, CELLS)
    assert read(tmp_path, ABOUT) == [CELLS[1], CELLS[0]]
    content = json.loads((tmp_path / JSON_FILE).read_text())
    assert content["cells"][0] == {
        "mode": "aligned",
        "delay_ms": 400.0,
        "successes": 19,
        "episodes": 20,
        "failed_seeds": [3],
    }


def test_the_report_of_another_checkpoint_is_not_gone_on_with(tmp_path: Path) -> None:
    write(tmp_path, ABOUT, CELLS)
    assert read(tmp_path, {**ABOUT, "checkpoint": "other"}) == []
    assert read(tmp_path / "nowhere", ABOUT) == []


def test_the_plot_shows_a_line_in_each_modes_colour(tmp_path: Path) -> None:
    write(tmp_path, ABOUT, [*CELLS, ModeCell("aligned", 0.0, 20, 20), ModeCell("stop_and_wait", 0.0, 18, 20)])
    image = cv2.imread(str(tmp_path / PLOT_FILE))
    for bgr in ((0x37, 0x78, 0x1B), (0x99, 0x3C, 0x5E)):
        assert (abs(image.astype(int) - bgr).max(axis=2) < 8).sum() > 100
    assert (abs(image.astype(int) - (0x02, 0x5F, 0xD9)).max(axis=2) < 8).sum() < 10  # unaligned was not run


def test_the_interval_by_hand() -> None:
    # Wilson, 20 of 20 at 95 %: 1 / (1 + 1.96^2 / 20)
    lower, upper = ModeCell("aligned", 0.0, 20, 20).interval
    assert (lower, upper) == pytest.approx((0.8389, 1.0), abs=1e-4)


def test_scenes_that_policies_are_trained_on_are_refused() -> None:
    assert evaluation_seeds(5, 3) == range(5, 8)
    with pytest.raises(TrialError, match="seeds 999999 to 1000000: evaluation has 0 to 999999"):
        evaluation_seeds(999_999, 2)
