# SPDX-License-Identifier: Apache-2.0
"""The program that measures a correction: it prints each stage, and says in one line what it cannot use."""

import os
import re
from pathlib import Path

import pytest
from correction_weights import correction_file
from so101_correction.benchmark import main
from so101_correction.core.correction_file import write
from so101_correction.stage_times import WHOLE, drawn_frames, measured


def test_it_prints_three_quantiles_of_each_stage_and_leaves_the_cores_as_they_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "c.npz", correction_file())
    images = [tmp_path / f"{number}.jpg" for number in range(4)]
    for path, data in zip(images, drawn_frames(4), strict=True):
        path.write_bytes(data)
    cores = os.sched_getaffinity(0)
    assert main([str(tmp_path / "c.npz"), "--rounds", "20", "--jpeg", *map(str, images)]) == 0
    text = capsys.readouterr().out
    assert "2 cameras, JPEG frames of " in text
    assert len(re.findall(r"^[a-z][a-z :,]+( +\d+\.\d\d){6}$", text, re.MULTILINE)) == 6
    assert re.search(r"at 30 Hz 0\.\d+ of a core", text)
    assert os.sched_getaffinity(0) == cores


def test_scaled_decoding_is_the_cheaper_one_and_the_whole_is_its_parts(tmp_path: Path) -> None:
    write(tmp_path / "c.npz", correction_file())
    times = measured(tmp_path / "c.npz", drawn_frames(8), 60)
    middle = {stage: sorted(cpu for _, cpu in values)[30] for stage, values in times.stages.items()}
    assert middle["decode scaled, and see"] < 0.8 * middle["instead of it: decode whole"]
    assert middle["of the tick: network"] < middle["tick"] < middle[WHOLE]
    assert times.level_mean < 1 and 30e3 < times.frame_bytes < 90e3


@pytest.mark.parametrize(
    ("options", "line"),
    [([], "c.npz: cannot be read: No such file"), (["--rounds", "0"], "--rounds: expected 1 or more, got 0")],
)
def test_what_it_cannot_use_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], line: str
) -> None:
    try:
        code = main([str(tmp_path / "c.npz"), *options])
    except SystemExit as left:
        code = left.code
    error = capsys.readouterr().err
    assert code == 2 and line in error and error.count("\n") == 1
