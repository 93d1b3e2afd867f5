# SPDX-License-Identifier: Apache-2.0
"""`bench robots`: its options, what it makes of what robots got, and all of it over DDS."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from so101_bench.robots.code import COLOUR, ECHO, FULL_DEG, JOINTS, colour_of, is_own, positions_of
from so101_bench.robots.options import parse
from so101_bench.robots.run import ratio, run_report
from so101_bench.robots.table import print_report, verdicts
from so101_bench.robots.virtual_robot import RobotTally

from so101_bench import __main__ as bench


@pytest.mark.parametrize(("robots", "counts"), [(1, (1,)), (3, (1, 2, 3)), (4, (1, 2, 4)), (8, (1, 2, 4, 8))])
def test_runs_are_powers_of_two_up_to_the_robots_asked_for(robots: int, counts: tuple[int, ...]) -> None:
    assert parse(["--robots", str(robots)]).counts == counts


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--robots", "0"], "--robots: 0: must be 1 to 16"),
        (["--robots", "many"], "--robots: many: must be 1 to 16"),
        (["--seconds", "1"], "1: must be 2 to 600"),
        (["--max-batch", "65"], "--max-batch: 65: must be 1 to 64"),
        (["--checkpoint", "/no/such/run"], "--checkpoint: /no/such/run: no such folder"),
        (["--wire", "5"], "--wire"),
    ],
)
def test_a_wrong_option_is_refused_with_one_line(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        bench.main(["robots", *arguments])
    lines = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2
    assert len(lines) == 1 and named in lines[0]


def chunk_of(robot: int, request_id: int) -> np.ndarray:
    row = np.zeros(JOINTS, np.float32)
    row[COLOUR] = np.radians(np.array(colour_of(robot, request_id)) / 255 * FULL_DEG)
    row[ECHO] = positions_of(robot, request_id)[ECHO]
    return row


def test_a_chunk_tells_whose_frames_and_joint_positions_it_is_of() -> None:
    assert is_own(2, 700, chunk_of(2, 700))
    assert not is_own(2, 700, chunk_of(3, 700))
    assert not is_own(2, 700, chunk_of(2, 701))
    other_state = chunk_of(2, 700)
    other_state[ECHO] = positions_of(3, 700)[ECHO]
    assert not is_own(2, 700, other_state)


def test_a_run_counts_what_came_within_its_time_and_compares_its_robots() -> None:
    fast = RobotTally([(10.0 + 0.1 * number, 0.04) for number in range(20)])
    slow = RobotTally([(9.9, 9.0), *((10.0 + 0.2 * number, 0.08) for number in range(10)), (12.0, 9.0)], mixed=1)
    slow.refused = {"loading": 2}
    report = run_report([fast, slow], 10.0, 12.0)
    assert (report["robots"], report["chunks_per_s"], report["p99_slowest_to_fastest"]) == (2, 15.0, 2.0)
    assert (report["wait_p50_ms"], report["wait_p99_ms"]) == (40.0, 80.0)
    assert (report["chunks"], report["mixed"], report["refused"], report["unanswered"]) == (32, 1, {"loading": 2}, 0)


def test_verdicts_hold_a_stand_in_and_a_real_policy_against_their_own_bound() -> None:
    def report(chunks_per_s: float, cross_talk: int | None) -> dict:
        runs = [
            {"robots": 1, "chunks_per_s": 10.0, "p99_slowest_to_fastest": 1.0},
            {"robots": 4, "chunks_per_s": chunks_per_s, "p99_slowest_to_fastest": 1.6},
        ]
        return {"runs": runs, "ratio": ratio(runs), "cross_talk": cross_talk, "chunks": 100}

    assert [ok for _, ok in verdicts(report(26.0, 0))] == [True, False, True]
    assert [ok for _, ok in verdicts(report(24.0, 1))] == [False, False, False]
    assert [ok for _, ok in verdicts(report(14.0, None))] == [True, False]


def test_the_table_of_robots_is_not_cut_off_on_a_terminal_of_80_columns() -> None:
    run = {"chunks_per_s": 114.6, "wait_p50_ms": 165.7, "wait_p99_ms": 1082.9, "refused": {}, "unanswered": 0}
    runs = [{"robots": robots, "p99_slowest_to_fastest": 1.02, **run} for robots in (1, 2)]
    report = {
        "policy": "act",
        "device": "cpu",
        "max_batch": 8,
        "runs": runs,
        "ratio": 1.4,
        "cross_talk": 0,
        "chunks": 9,
    }
    console = Console(file=io.StringIO(), width=80)
    print_report(report, console)
    said = console.file.getvalue()
    assert "…" not in said and "2 robots to one, chunks/s: 1.40 (no bound below four robots): -" in said


@pytest.mark.long
def test_two_robots_are_served_over_dds_and_none_gets_the_others_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert bench.main(["robots", "--robots", "2", "--seconds", "3", "--report", "report.json"]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert [run["robots"] for run in report["runs"]] == [1, 2]
    assert report["cross_talk"] == 0
    assert report["chunks"] > 30
    assert report["ratio"] > 1.1  # a machine that is busy otherwise serves less
    assert all(run["wait_p50_ms"] >= 30 and not run["unanswered"] for run in report["runs"])


@pytest.mark.long
def test_a_checkpoint_that_cannot_be_served_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert bench.main(["robots", "--checkpoint", "empty"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("so101 bench: Failed to load policy: ")
