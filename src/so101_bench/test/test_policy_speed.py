# SPDX-License-Identifier: Apache-2.0
"""`bench policy`: what it takes, and a small policy measured before and after."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from rich.console import Console
from so101_bench.options import parse
from so101_bench.policy_speed.command import PolicyBenchOptions, print_table
from so101_policy_server.policy import PolicySource

from so101_bench import __main__ as bench


def test_a_checkpoint_and_its_options_are_read() -> None:
    options = parse(["policy", "outputs/run", "--device", "cuda", "--bound", "0.01", "--repeats", "5"])
    assert options == PolicyBenchOptions(PolicySource("outputs/run", device="cuda", optimize_bound=0.01), 5, None)
    assert parse(["policy", "--random", "smolvla"]) == PolicyBenchOptions(PolicySource(""), 3, None)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "CHECKPOINT --random"),
        (["some", "--random", "smolvla"], "not allowed with argument"),
        (["--random", "pi0"], "invalid choice: 'pi0'"),
        (["some", "--bound", "2"], "--bound: 2: must be 0 to 0.1"),
        (["some", "--repeats", "0"], "--repeats: 0: must be 1 to 1000"),
        (["some", "--threads", "-1"], "--threads: -1: must be 0 to 256"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments: list[str], expected: str, capsys) -> None:
    with pytest.raises(SystemExit):
        parse(["policy", *arguments])
    assert expected in capsys.readouterr().err


def test_a_checkpoint_that_is_not_there_is_known_before_torch_is_loaded(monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "so101_bench.policy_speed.measure", None)  # an import of it would fail
    assert bench.main(["policy", "nowhere"]) == 1
    said = "so101 bench: no folder nowhere: name a checkpoint, a run folder or a hub id\n"
    assert capsys.readouterr().err == said


def test_a_folder_without_a_policy_ends_in_one_line(tmp_path: Path, capsys) -> None:
    pytest.importorskip("lerobot")
    assert bench.main(["policy", str(tmp_path)]) == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith(f"so101 bench: {tmp_path} has no config.json")
    assert "\n" not in said


def test_a_small_policy_is_measured_before_and_after(tmp_path: Path, capsys) -> None:
    pytest.importorskip("lerobot")
    from so101_bench.checkpoint import write

    write(str(tmp_path / "act"), ["front"])
    file = tmp_path / "report.json"
    assert bench.main(["policy", str(tmp_path / "act"), "--threads", "1", "--report", str(file)]) == 0
    report = json.loads(file.read_text(encoding="utf-8"))
    assert (report["device"], report["policy"]["type"]) == ("cpu", "act")
    for side in (report["eager"], report["optimized"]):
        assert {"preprocess", "vision", "other", "postprocess"} <= set(side["stages_ms"])
        assert sum(side["stages_ms"].values()) == pytest.approx(side["chunk_ms"], rel=0.5)
    assert report["ratio"] == pytest.approx(report["eager"]["chunk_ms"] / report["optimized"]["chunk_ms"])
    assert 0.0 <= report["largest_difference"] <= report["bound"] == 1e-4
    trials = {trial["option"]: trial for trial in report["trials"]}
    assert trials["bfloat16"]["kept"] is False
    assert trials["prefix prepared once a chunk"]["difference"] is None
    assert "largest difference" in capsys.readouterr().out


def test_the_table_shows_stages_that_only_one_of_both_has() -> None:
    side = {"chunk_ms": 9.0, "cpu_ms": 8.0, "threads": 1}
    report = {
        "policy": {"type": "smolvla", "path": "here"},
        "machine": "some",
        "eager": {**side, "stages_ms": {"vision": 5.0, "other": 4.0}},
        "optimized": {**side, "stages_ms": {"prefix": 3.0}},
        "trials": [
            {"option": "a", "kept": True, "difference": 1e-6, "before_ms": 9.0, "after_ms": 6.0, "reason": ""},
            {"option": "b", "kept": False, "difference": None, "before_ms": None, "after_ms": None, "reason": "no"},
        ],
        "ratio": 1.5,
        "largest_difference": 1e-6,
        "bound": 1e-4,
    }
    text = io.StringIO()
    print_table(report, Console(file=text, width=120))
    lines = text.getvalue().splitlines()
    assert next(line for line in lines if "prefix" in line).split("│")[3].strip() == "3.0"
    assert "  a: kept, 9 to 6 ms, difference 1e-06" in lines
    assert "  b: no" in lines
