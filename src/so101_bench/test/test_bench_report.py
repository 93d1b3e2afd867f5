# SPDX-License-Identifier: Apache-2.0
"""What people see of a report, and the images that both sides send."""

import io
from itertools import pairwise
from pathlib import Path

import cv2
import pytest
from rich.console import Console
from so101_bench.frames import HEIGHT, WALKS, WIDTH, read_rgb, write_frames
from so101_bench.metrics import side_report
from so101_bench.options import BenchOptions
from so101_bench.plots import plot_periods, plot_summary
from so101_bench.run import report
from so101_bench.table import ROWS, cell, print_report
from test_bench_metrics import turn

TURNS = {"lerobot": [turn(added_ms=40, size=90_000, observations=5)], "ours": [turn(added_ms=8)]}


def test_the_report_has_both_sides_with_the_same_keys_and_their_ratio() -> None:
    made = report(TURNS, BenchOptions())
    assert set(made["lerobot"]) == set(made["ours"])
    assert made["ratio"]["added_latency_ms"]["p50"] == pytest.approx(0.2, abs=0.001)


def test_the_table_has_a_row_for_each_metric_and_says_pass_or_fail() -> None:
    out = io.StringIO()
    print_report(report(TURNS, BenchOptions()), Console(file=out, width=120))
    text = out.getvalue()
    for label in ("added latency p50", "sent per chunk used", "30 actions a second", "loopback, policy delay 0.1 s"):
        assert label in text
    assert "pass" in text and "fail" in text  # inference below 100 ms cannot pass at 100 ms


def test_with_the_link_there_is_a_third_column_and_its_ratio_to_ours(tmp_path: Path) -> None:
    turns = {**TURNS, "link": [turn(added_ms=10)]}
    made = report(turns, BenchOptions(link=True))
    assert set(made["link"]) == set(made["ours"])
    assert made["link_ratio"]["added_latency_ms"]["p50"] == pytest.approx(1.25, abs=0.001)
    assert "link" not in report(TURNS, BenchOptions())
    out = io.StringIO()
    print_report(made, Console(file=out, width=120))
    assert "ours, link" in out.getvalue()
    plot_periods(turns, "loopback", tmp_path / "periods.png")
    plot_summary([made], tmp_path / "summary.png")
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_who_did_not_come_back_never_did() -> None:
    side = side_report([turn()], "policy_server") | {"restart": {"back_s": 3.0, "acting_s": None, "waited_s": 15.0}}
    row = next(row for row in ROWS if row.path == ("restart", "acting_s"))
    assert cell(side, row) == "never"
    assert cell(side | {"restart": None}, row) == "-"


def test_plots_are_images(tmp_path: Path) -> None:
    plot_periods(TURNS, "loopback", tmp_path / "periods.png")
    plot_summary([report(TURNS, BenchOptions())] * 3, tmp_path / "summary.png")
    for file in tmp_path.glob("*.png"):
        image = cv2.imread(str(file))
        assert image is not None and image.std() > 5, file
        assert file.stat().st_size < 150_000


def test_cameras_show_moving_photographs_of_about_50_kilobytes(tmp_path: Path) -> None:
    folders = write_frames(tmp_path)
    assert set(folders) == set(WALKS)
    for folder in folders.values():
        sizes = [file.stat().st_size for file in folder.glob("*.jpg")]
        assert min(sizes) > 35_000 and max(sizes) < 70_000
        frames = read_rgb(folder)
        assert all(frame.shape == (HEIGHT, WIDTH, 3) for frame in frames)
        assert all((one != other).mean() > 0.5 for one, other in pairwise(frames))
