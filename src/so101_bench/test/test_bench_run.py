# SPDX-License-Identifier: Apache-2.0
"""The bench itself, end to end, with LeRobot's stock classes. Long: four times torch and LeRobot are loaded."""

import json
from pathlib import Path

import pytest
from so101_bench.two_hosts.hosts import why_not

from so101_bench import __main__ as bench

REASON = why_not()


@pytest.mark.long
def test_both_sides_and_the_link_are_measured_on_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["lerobot", "--seconds", "5", "--rounds", "1", "--no-restart", "--link"]
    assert bench.main([*arguments, "--report", "report.json", "--plots", "plots"]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report["lerobot"]) == set(report["ours"]) == set(report["link"])
    for side in (report["lerobot"], report["ours"], report["link"]):
        assert side["chunks"]["accepted"] >= 3
        assert side["inference_ms"]["p50"] >= 100
        assert side["tick"]["hz"] > 15
    assert report["lerobot"]["bytes_per_observation_sent"] > 2_700_000
    assert report["ours"]["observations_per_chunk"] <= 1.5
    assert report["ratio"]["bytes_per_observation"] < 0.1
    assert report["link"]["tick"]["hz"] > 28
    assert "link_robot" in report["link"]["cpu"]
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"periods_0.png", "summary.png"}


@pytest.mark.long
@pytest.mark.skipif(REASON is not None, reason=REASON or "")
def test_a_slow_wire_stops_lerobots_loop_and_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["lerobot", "--seconds", "6", "--rounds", "1", "--no-restart", "--rate-mbit", "50"]
    assert bench.main([*arguments, "--report", "report.json"]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["lerobot"]["tick"]["hz"] < 22
    assert report["ours"]["tick"]["hz"] > 28
    assert report["ratio"]["added_latency_ms"]["p50"] < 0.5
