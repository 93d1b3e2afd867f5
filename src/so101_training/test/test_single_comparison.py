# SPDX-License-Identifier: Apache-2.0
"""One cell of a table of corrections: its words, its report, and what cannot be compared."""

import json
from pathlib import Path

import pytest
from so101_training.policy.__main__ import main
from so101_training.policy.single_comparison import ComparedCell, median_s, table_line, write_report
from so101_training.policy.virtual_correction import CameraHealth
from so101_training.policy.virtual_episode import Outcome, PolicyDelay

CELL = ComparedCell(
    task="belt_nudged",
    checkpoint=Path("belt"),
    mode="aligned",
    delay=PolicyDelay(1.2, is_warm=True, is_far=True),
    requests_in_flight=8,
    threshold=None,
    correction=Path("belt_correction.npz"),
    health=CameraHealth.LIVE,
    seed=0,
    episodes=40,
)


def test_the_line_of_the_table_says_what_was_run_and_how_sure_the_result_is(tmp_path: Path) -> None:
    report = {"correction": "belt_correction.npz", "successes": 38, "episodes": 40, "interval": [0.8350, 0.9862]}
    assert (
        table_line(CELL, report) == "| belt_nudged | 1.2 s, warm, 8 in flight | belt_correction.npz | 38/40 | 84-99 % |"
    )
    write_report(tmp_path / "new" / "report.json", report)
    assert json.loads((tmp_path / "new" / "report.json").read_text()) == report


def test_the_time_is_that_of_the_cubes_that_were_placed() -> None:
    outcomes = [Outcome(0, True, 6.0), Outcome(1, False, 15.0), Outcome(2, True, 7.0), Outcome(3, True, 11.126)]
    assert median_s(outcomes) == 7.0
    assert median_s(outcomes[1:2]) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--correction", "x.npz"], "--correction: only with --delay"),
        (["--delay", "-1"], "-1: must be 0 to 60 s"),
        (["--delay", "0.4", "--threshold", "2"], "2: must be 0 to 1"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(words: list[str], message: str, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compare", "--task", "belt", "--report", "report.json", *words])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert message in said


def test_a_file_that_is_no_correction_is_named_before_anything_runs(tmp_path: Path, capsys) -> None:
    wrong = tmp_path / "wrong.npz"
    wrong.write_bytes(b"")
    words = ["--task", "belt", "--delay", "0.4", "--correction", str(wrong), "--report", str(tmp_path / "report.json")]
    assert main(["compare", *words]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("so101 policy compare: ")
    assert str(wrong) in said
    assert not (tmp_path / "report.json").exists()
