# SPDX-License-Identifier: Apache-2.0
"""The bench's command line: what it takes, and one line for what it does not."""

from pathlib import Path

import pytest
from so101_bench.matrix import cases
from so101_bench.options import parse
from so101_bench.two_hosts.wire import NO_WIRE, Wire

from so101_bench import __main__ as bench
from so101_bench import work


def test_without_options_it_is_loopback_at_100_ms() -> None:
    options = parse(["lerobot"])
    assert (options.wire, options.policy_delay_s, options.seconds, options.restart) == (NO_WIRE, 0.1, 20.0, True)


def test_wire_options_make_a_wire() -> None:
    options = parse(["lerobot", "--rate-mbit", "20", "--delay-ms", "40", "--loss-pct", "5", "--jitter-ms", "10"])
    assert options.wire == Wire(40.0, 10.0, 5.0, 20.0)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "lerobot"),
        (["lerobot", "--rate-mbit", "-1"], "--rate-mbit -1"),
        (["lerobot", "--loss-pct", "100"], "--loss-pct 100"),
        (["lerobot", "--delay-ms", "nan"], "--delay-ms nan"),
        (["lerobot", "--policy-delay", "soon"], "--policy-delay: soon"),
        (["lerobot", "--actions-per-chunk", "101"], "101: must be 10 to 100"),
        (["lerobot", "--threshold", "1.5"], "1.5: must be 0 to 1"),
        (["lerobot", "--rounds", "0"], "--rounds"),
        (["lerobot", "--seconds", "6", "--rounds", "2"], "each round needs 4 s"),
        (["lerobot", "--matrix", "--rate-mbit", "5"], "--matrix"),
        (["openpi"], "openpi"),
    ],
)
def test_a_wrong_option_is_refused_with_one_line(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(arguments)
    lines = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2
    assert len(lines) == 1 and named in lines[0]


def test_a_report_that_cannot_be_written_is_known_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert bench.main(["lerobot", "--report", str(tmp_path / "file" / "report.json")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_without_root_the_bench_runs_on_loopback_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "why_not", lambda: "two network namespaces need root")
    options = bench._possible(parse(["lerobot", "--rate-mbit", "50", "--cut", "3"]))
    assert (options.wire, options.cut_s) == (NO_WIRE, 0.0)
    assert capsys.readouterr().err == "so101 bench: two network namespaces need root: running on loopback instead\n"


def test_the_standard_set_has_the_wires_of_the_goals() -> None:
    runs = cases(parse(["lerobot", "--matrix", "--seconds", "8"]))
    wires = [run.wire for run in runs]
    assert {wire.rate_mbit for wire in wires} >= {0, 1000, 100, 50, 20}
    assert {wire.delay_ms for wire in wires} >= {0, 20, 100}
    assert {wire.loss_pct for wire in wires} >= {0, 1, 5}
    assert [run.restart for run in runs].count(True) == 1
    assert any(run.cut_s for run in runs)
    assert all(run.seconds == 8 and not run.matrix for run in runs)


def test_what_is_not_installed_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(work, "NEEDED", ("numpy", "no_such_module"))
    assert bench.main(["lerobot"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("so101 bench: no_such_module is not installed: ./so101 setup all")
