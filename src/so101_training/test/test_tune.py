# SPDX-License-Identifier: Apache-2.0
"""Tuning: cells, metrics, advice, tips, files; a synthetic way stands for the expert's, so nothing is simulated."""

import csv
import json
import math
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from so101_action_queue.core.aggregation import AGGREGATIONS
from so101_action_queue.core.settings import QueueSettings
from so101_demo.execution_modes import queue_parameters
from so101_policy_server.policy import Leftover, Observation, PolicyDescription, Prediction
from so101_sim.core.tasks import BELT
from so101_training.policy.lockstep_arm import lockstep_arm
from so101_training.tune import advice, heat_maps, tables, tips, validation
from so101_training.tune.__main__ import main, parse
from so101_training.tune.episodes import ShortenedPolicy
from so101_training.tune.expert_episodes import ExpertEpisodes
from so101_training.tune.flow import compare_aggregations, run_flow
from so101_training.tune.matrix import ROWS, THRESHOLDS, Flow, Result, TuneCell, cells

STEPS = np.arange(600)[:, np.newaxis]
WAY = 0.4 * np.sin(2 * np.pi * STEPS / 300 + np.arange(6))


def result(cell: TuneCell, starved: float = 0.0, jerk: float = 1000.0, requests: float = 1.0, won: int = 0) -> Result:
    return Result(cell, Flow(starved, jerk, 0.05, 0.4, requests, cell.delay_s + 0.05), 3, won)


def group(delay_s: float = 0.3) -> list[Result]:
    return [result(cell) for cell in cells((delay_s,))]


def test_the_matrix_has_all_combinations() -> None:
    assert (ROWS, THRESHOLDS) == ((20, 30, 50, 100), (0.3, 0.5, 0.7))
    assert len(cells((0.1, 0.3, 0.7))) == len(set(cells((0.1, 0.3, 0.7)))) == 36


def test_100_rows_are_driven_by_the_expert_and_say_so() -> None:
    assert [TuneCell(rows, 0.5, 0.1).policy for rows in ROWS] == ["act", "act", "act", "expert"]
    assert "100 rows need a policy with that horizon" in TuneCell(100, 0.5, 0.1).note
    assert TuneCell(50, 0.5, 0.1).note == ""


def test_flow_tells_a_cell_that_starves_from_one_that_does_not() -> None:
    flows, starves = run_flow(TuneCell(50, 0.5, 0.3), WAY, 60.0), run_flow(TuneCell(20, 0.3, 0.7), WAY, 60.0)
    assert flows.starved_ratio == 0.0
    assert starves.starved_ratio > 0.3
    # 50 rows, requested again at 25: a request every 25 ticks, its chunk after 0.354 s on average.
    assert flows.requests_per_s == pytest.approx(30 / 25, rel=0.05)
    assert flows.round_trip_s == pytest.approx(0.354, rel=0.05)
    # Rows are executed from 11 to 36 ticks after their observation.
    assert flows.action_age_s == pytest.approx(0.78, abs=0.06)
    assert flows.jerk_p99 > 0.0


def test_flow_of_a_cell_is_the_same_each_time_and_follows_the_settings() -> None:
    cell = TuneCell(50, 0.5, 0.3)
    assert run_flow(cell, WAY, 20.0) == run_flow(cell, WAY, 20.0)
    assert run_flow(cell, WAY, 20.0, seed=1) != run_flow(cell, WAY, 20.0)
    latest = run_flow(cell, WAY, 60.0, settings=QueueSettings(aggregate_fn_name="latest_only"))
    assert latest.seam_p99_rad > run_flow(cell, WAY, 60.0).seam_p99_rad


def test_the_ways_to_combine_chunks_are_compared_and_crossfade_is_the_smoothest() -> None:
    flows = compare_aggregations(WAY, 60.0)
    assert set(flows) == {name for name in AGGREGATIONS if name != "rtc"}
    assert min(flows, key=lambda name: flows[name].jerk_p99) == "crossfade"


def test_advice_wants_flow_first_then_success_then_smoothness_then_few_requests() -> None:
    results = [
        result(TuneCell(20, 0.5, 0.3), starved=0.2, jerk=1.0, won=3),
        result(TuneCell(30, 0.5, 0.3), jerk=10.0, won=1),
        result(TuneCell(50, 0.3, 0.3), jerk=2000.0, won=3),
        result(TuneCell(50, 0.5, 0.3), jerk=1050.0, requests=1.2, won=3),
        result(TuneCell(50, 0.7, 0.3), jerk=1000.0, requests=2.0, won=3),
        result(TuneCell(100, 0.5, 0.3), jerk=10.0, requests=0.1, won=3),  # of another policy
    ]
    chosen = advice.best(results)
    assert chosen is not None
    assert chosen.cell == TuneCell(50, 0.5, 0.3)
    words = " ".join(advice.advise(results, 0.354))
    assert (
        "A round trip of 354 ms is 10.6 steps at 30 Hz. Set actions_per_chunk 50 and chunk_size_threshold 0.5" in words
    )
    assert "3 of 3 episodes placed" in words
    assert "adaptive" in words


def test_where_nothing_flows_advice_says_how_many_rows_it_would_take() -> None:
    results = [result(cell, starved=0.5 if cell.rows < 50 else 0.3) for cell in cells((2.0,))]
    assert advice.best(results) is None
    words = " ".join(advice.advise(results, 2.05))
    assert "No cell flows without a stop" in words
    assert "123 rows or more" in words
    assert advice.as_record(results, 2.05)["actions_per_chunk"] is None


def test_a_round_trip_is_read_from_reports_of_demo_and_bench(tmp_path: Path) -> None:
    metrics = {"inference_ms": {"p50": 52.0}, "added_latency_ms": {"p50": 28.0}}
    for name, content in (("demo", metrics), ("bench", {"ours": metrics, "lerobot": {}})):
        (tmp_path / name).write_text(json.dumps(content))
        assert advice.round_trip_of(tmp_path / name) == pytest.approx(0.08)
    (tmp_path / "demo").write_text(json.dumps(metrics | {"frame_wait_ms": {"p50": 12.0}}))
    assert advice.round_trip_of(tmp_path / "demo") == pytest.approx(0.092)


@pytest.mark.parametrize("content", [None, "garbage", "{}", "[]", '{"inference_ms": {"p50": null}}'])
def test_a_report_that_tells_no_round_trip_is_one_line(
    tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content)
    assert main(["--from", str(path), "--report", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert str(path) in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--round-trip-ms", "0"], "0: must be 1 to 10000 ms"),
        (["--round-trip-ms", "soon"], "soon"),
        (["--delays-ms", "100,-5"], "-5: must be 0 to 5000 ms"),
        (["--episodes", "-1"], "episodes"),
        (["--workers", "0"], "--workers: 0: must be 1 to 64, a whole number"),
        (["--seconds", "1"], "1: must be 10 to 100000 s"),
        (["--round-trip-ms", "5", "--from", "x"], "not allowed with"),
        (["--what"], "--what"),
    ],
)
def test_a_users_mistake_is_one_line(arguments: Sequence[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(arguments)
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert named in said
    assert len(said.strip().splitlines()) == 1


def test_files_hold_every_cell(tmp_path: Path) -> None:
    results = [*group(0.1), *group(0.3)]
    tables.write_csv(tmp_path / "matrix.csv", results)
    tables.write_json(tmp_path / "tune.json", results, {"seconds": 60})
    heat_maps.draw(tmp_path / "heat_maps.png", results)
    with (tmp_path / "matrix.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    assert rows[0]["actions_per_chunk"] == "20"
    content = json.loads((tmp_path / "tune.json").read_text())
    assert content["seconds"] == 60
    assert [cell["policy"] for cell in content["cells"][:12]] == ["act"] * 9 + ["expert"] * 3
    assert "100 rows need" in tables.text_table(results)[-1]
    data = (tmp_path / "heat_maps.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert min(struct.unpack(">II", data[16:24])) > 500


def test_without_episodes_success_is_unknown_not_nought(tmp_path: Path) -> None:
    plain = Result(TuneCell(50, 0.5, 0.1), Flow(0.0, 1.0, 0.1, 0.4, 1.0, math.nan))
    assert math.isnan(plain.success_ratio)
    assert tables.record(plain)["round_trip_s"] is None
    heat_maps.draw(tmp_path / "one.png", [plain])


def test_a_shortened_policy_gives_what_the_server_would_send() -> None:
    """Uncut chunks would be refused by the queue as longer than actions_per_chunk, and every episode would fail."""

    class Fifty:
        description = PolicyDescription("act", "/models/pick", "cpu", 50, (), 6, 6)

        def infer(self, observation: Observation, leftover: Leftover | None) -> Prediction:
            return Prediction(np.arange(300, dtype=np.float32).reshape(50, 6), 0.0, 0.0, 0.0)

        def reset(self) -> None:
            pass

    shortened = ShortenedPolicy(Fifty(), 20)
    actions = shortened.infer(Observation(np.zeros((1, 6)), {}, ""), None).actions
    assert actions.shape == (20, 6)
    assert actions[19, 5] == 119
    assert shortened.description.horizon == 20


def test_the_nine_tips_are_tried_and_the_one_that_contradicts_the_semantics_does_not_hold() -> None:
    tried = tips.try_tips(WAY, 60.0, lambda width, height: width * height // 15)
    assert len(tried) == 9
    fails = [tip for tip in tried if not tip.holds]
    assert [tip.remedy for tip in fails] == ["chunk_size_threshold 0.5 -> 0.3"]
    assert fails[0].complaint == "the queue is often empty"
    assert (fails[0].before, fails[0].after > 3.0) == (0.0, True)
    assert "contradicts" in fails[0].remark
    # The same change where the network is narrow does what it promises.
    assert any(tip.remedy == fails[0].remedy and tip.holds and tip.measure == "requests a second" for tip in tried)
    assert len(tips.as_markdown(tried)) == 11
    text = tips.as_text(tried)
    assert [line for line in text if line.endswith(":")] == [
        f"{one}:" for one in dict.fromkeys(t.complaint for t in tried)
    ]
    assert sum("does NOT help" in line for line in text) == 1


@pytest.mark.parametrize(("starved", "agrees"), [(0, True), (300, False)])
def test_real_time_and_virtual_time_are_compared_at_the_measured_round_trip(starved: int, agrees: bool) -> None:
    report = {
        "added_latency_ms": {"p50": 20.0}, "frame_wait_ms": {"p50": 10.0}, "inference_ms": {"p50": 300.0},
        "ticks": 600, "starved_ticks": starved, "episodes": 2, "successes": 2,
    }  # fmt: skip
    comparison = validation.judge(TuneCell(50, 0.5, 0.3), report, WAY)
    assert comparison.round_trip_ms == 330.0
    assert comparison.starved_virtual == 0.0
    assert comparison.agree is agrees
    assert ("agree" if agrees else "DIFFER") in validation.words(comparison)


def test_a_cube_that_the_belt_has_carried_out_of_reach_is_a_failed_episode() -> None:
    with lockstep_arm() as arm:
        settings = QueueSettings(**{**queue_parameters("belt", "aligned"), "cameras": ("top",)})
        assert not ExpertEpisodes(arm, BELT, settings, delay_s=5.0).run(7)
