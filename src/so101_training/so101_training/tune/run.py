# SPDX-License-Identifier: Apache-2.0
"""The run itself: flow and episodes of every cell, tips, validation, files and words."""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from so101_shipped_policies import shipped_policy
from so101_training.progress_bar import counting_bar
from so101_training.tune import advice, heat_maps, tables, tips, validation
from so101_training.tune.episodes import attempts
from so101_training.tune.flow import QUIET_NETWORK_S, compare_aggregations, run_flow
from so101_training.tune.matrix import DELAYS_S, POLICY_S, Result, TuneCell, cells
from so101_training.tune.rehearsal import expert_way

FIRST_SEED = 500
"""Scenes that no training has seen and no other evaluation here begins with."""

TIPS_FILE = "tips.md"

_console = Console(stderr=True)


def tune(options: argparse.Namespace, round_trip_s: float | None) -> None:
    """Run everything in the options and write files in `options.report`.

    Raises:
        EpisodesError, ValidationError, SimulationError, OSError: one line each.
    """
    folder: Path = options.report
    folder.mkdir(parents=True, exist_ok=True)
    began_s = time.monotonic()
    way = expert_way()
    matrix = cells(options.delays_ms or DELAYS_S)
    with counting_bar(_console) as bar:
        results = _flows(matrix, way, options.seconds, bar)
        if options.episodes:
            results = _with_episodes(results, options, bar)
    more: dict[str, Any] = {"seconds": options.seconds, "task": options.task, "policy_s": POLICY_S}
    for line in tables.text_table(results):
        print(line)
    print()
    more["recommendations"] = _recommend(results, way, options.seconds, round_trip_s)
    more["aggregations"] = _aggregations(way, options.seconds)
    if not options.no_tips:
        more["tips"] = _tips(way, options.seconds, folder)
    if options.validate:
        more["validation"] = _validate(way)
    more["wall_s"] = round(time.monotonic() - began_s, 1)
    tables.write_csv(folder / "matrix.csv", results)
    tables.write_json(folder / "tune.json", results, more)
    heat_maps.draw(folder / "heat_maps.png", results)
    files = ["matrix.csv", "tune.json", "heat_maps.png", *([] if options.no_tips else [TIPS_FILE])]
    _console.print(f"{folder}: {', '.join(files)}, after {more['wall_s']:.0f} s")


def _flows(matrix: Sequence[TuneCell], way: NDArray[np.float64], seconds: float, bar: Progress) -> list[Result]:
    task = bar.add_task(f"{seconds:.0f} virtual seconds a cell", total=len(matrix))
    results = []
    for cell in matrix:
        results.append(Result(cell, run_flow(cell, way, seconds)))
        bar.advance(task)
    return results


def _with_episodes(results: Sequence[Result], options: argparse.Namespace, bar: Progress) -> list[Result]:
    episodes, checkpoint = options.episodes, shipped_policy(options.task)
    bar_task = bar.add_task("episodes on the virtual arm", total=len(results) * episodes)
    won: Counter[TuneCell] = Counter()
    seeds = range(FIRST_SEED, FIRST_SEED + episodes)
    for attempt in attempts([result.cell for result in results], seeds, options.workers, checkpoint, options.task):
        won[attempt.cell] += attempt.succeeded
        bar.advance(bar_task)
    return [replace(result, episodes=episodes, successes=won[result.cell]) for result in results]


def _recommend(
    results: Sequence[Result], way: NDArray[np.float64], seconds: float, round_trip_s: float | None
) -> list[dict[str, Any]]:
    """Recommend for the measured round trip, or for each delay of the matrix."""
    if round_trip_s is None:
        delays = sorted({result.cell.delay_s for result in results})
        chosen = [[result for result in results if result.cell.delay_s == delay_s] for delay_s in delays]
    else:
        chosen = [_at_round_trip(results, way, seconds, round_trip_s)]
    records = []
    for group in chosen:
        trips = [result.flow.round_trip_s for result in group if math.isfinite(result.flow.round_trip_s)]
        trip_s = round_trip_s if round_trip_s is not None else float(np.median(trips))
        records.append(advice.as_record(group, trip_s))
        for line in records[-1]["words"]:
            print(line)
        print()
    return records


def _at_round_trip(
    results: Sequence[Result], way: NDArray[np.float64], seconds: float, round_trip_s: float
) -> list[Result]:
    """Flow at exactly this round trip, with the episodes of the nearest delay of the matrix."""
    delay_s = round_trip_s - POLICY_S - 2 * QUIET_NETWORK_S
    nearest = min({result.cell.delay_s for result in results}, key=lambda known: abs(known - delay_s))
    group = [result for result in results if result.cell.delay_s == nearest]
    exact = [replace(result.cell, delay_s=max(0.0, delay_s)) for result in group]
    return [
        replace(result, cell=cell, flow=run_flow(cell, way, seconds)) for result, cell in zip(group, exact, strict=True)
    ]


def _aggregations(way: NDArray[np.float64], seconds: float) -> dict[str, dict[str, float]]:
    """How smooth each way to combine chunks is, at the default chunk and threshold."""
    flows = compare_aggregations(way, seconds)
    print("ways to blend chunks (aggregate_fn_name), 50 rows, threshold 0.5, 100 ms added:")
    for name, flow in flows.items():
        print(f"{name:>18}: p99 jerk {flow.jerk_p99:5.0f} rad/s^3, p99 seam {flow.seam_p99_rad:.3f} rad per tick")
    print()
    return {
        name: {"jerk_p99": round(flow.jerk_p99, 1), "seam_p99_rad": round(flow.seam_p99_rad, 4)}
        for name, flow in flows.items()
    }


def _tips(way: NDArray[np.float64], seconds: float, folder: Path) -> list[dict[str, Any]]:
    tried = tips.try_tips(way, seconds, _frame_bytes)
    print("nine tuning tips, each tried:")
    for line in tips.as_text(tried):
        print(line)
    print()
    (folder / TIPS_FILE).write_text("\n".join(tips.as_markdown(tried)) + "\n", encoding="utf-8")
    return [
        {"complaint": tip.complaint, "remedy": tip.remedy, "measure": tip.measure, "before": round(tip.before, 4),
         "after": round(tip.after, 4), "holds": tip.holds, "remark": tip.remark}
        for tip in tried
    ]  # fmt: skip


def _frame_bytes(width: int, height: int) -> int:
    """Bytes of the JPEG that a camera sends of the scene at this size, on average over the three cameras."""
    import cv2
    from so101_camera.image_codec import encode_jpeg
    from so101_sim.world import scene
    from so101_sim.world.rendering import CameraRenderer

    model = scene.build_model()
    data = scene.new_data(model)
    scene.place_objects(model, data, "static", FIRST_SEED)
    renderer = CameraRenderer(model)
    try:
        renderer.show(data.qpos)
        sizes = []
        for camera in ("front", "top", "wrist"):
            rgb = cv2.flip(renderer.render_upside_down(camera), 0)
            bgr = cv2.cvtColor(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
            sizes.append(len(encode_jpeg(np.asarray(bgr, np.uint8))))
    finally:
        renderer.close()
    return round(sum(sizes) / len(sizes))


def _validate(way: NDArray[np.float64]) -> list[dict[str, Any]]:
    records = []
    for comparison in validation.compare(way, _console.print):
        print(validation.words(comparison))
        records.append(validation.record(comparison))
    print()
    return records
