# SPDX-License-Identifier: Apache-2.0
"""The plot of success against delay: from reports of virtual time and of the demo to one panel for each world."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed here")
from correction_plot import Kind, collect, main, read
from PIL import Image

PLAIN, WITH = Kind(False, False, False), Kind(True, False, False)


def report(folder: Path, name: str, **values: Any) -> Path:
    content = {"task": "belt_nudged", "delay_s": 0.4, "correction": "off", "successes": 6, "episodes": 20, **values}
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def test_reports_of_one_world_delay_and_kind_are_added_up_and_others_stay_apart(tmp_path: Path) -> None:
    files = [
        report(tmp_path, "a.json"),
        report(tmp_path, "b.json", successes=9, correction=""),
        report(tmp_path, "c.json", successes=20, correction="correction.npz"),
        report(tmp_path, "d.json", delay_s=0.0, successes=12),
        report(tmp_path, "e.json", task="belt_changing", correction="c.npz", is_warm=True, requests_in_flight=8),
    ]
    worlds = collect(one for file in files for one in read(file))
    assert list(worlds) == ["belt_changing", "belt_nudged"]
    nudged = {
        kind: [(cell.delay_ms, cell.successes, cell.episodes) for cell in cells]
        for kind, cells in worlds["belt_nudged"].items()
    }
    assert nudged == {PLAIN: [(0.0, 12, 20), (400.0, 15, 40)], WITH: [(400.0, 20, 20)]}
    assert list(worlds["belt_changing"]) == [Kind(True, True, True)]


def test_a_list_of_reports_counts_as_its_reports(tmp_path: Path) -> None:
    singles = [report(tmp_path, "a.json"), report(tmp_path, "b.json", delay_s=0.8, correction="c.npz")]
    together = tmp_path / "all.json"
    together.write_text(json.dumps([json.loads(single.read_text()) for single in singles]))
    assert read(together) == [*read(singles[0]), *read(singles[1])]


def test_the_plot_has_a_panel_for_each_world(tmp_path: Path) -> None:
    one = report(tmp_path, "one.json")
    other = report(tmp_path, "other.json", task="belt_reversing", correction="c.npz")
    assert main([str(tmp_path / "one.png"), str(one)]) == 0
    assert main([str(tmp_path / "two.png"), str(one), str(other)]) == 0
    with Image.open(tmp_path / "one.png") as narrow, Image.open(tmp_path / "two.png") as wide:
        assert wide.width > 1.5 * narrow.width


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[1", "is no report"),
        ("[1]", "expected task, delay_s, correction, successes and episodes"),
        ('{"task": "belt"}', "expected task, delay_s, correction, successes and episodes, got 'correction'"),
        ('{"task": "juggle", "delay_s": 0, "correction": "off", "successes": 1, "episodes": 2}', "got juggle: 2"),
    ],
)
def test_what_is_no_report_is_named_in_one_line(tmp_path: Path, text: str, complaint: str, capsys: Any) -> None:
    (tmp_path / "bad.json").write_text(text)
    assert main([str(tmp_path / "plot.png"), str(tmp_path / "bad.json")]) == 1
    said = capsys.readouterr().err
    assert complaint in said and "bad.json" in said and said.count("\n") == 1
