# SPDX-License-Identifier: Apache-2.0
"""Which files --correction means, and what is refused."""

from pathlib import Path

import pytest
from correction_weights import correction_file
from so101_correction.core.correction_file import write
from so101_demo.chosen_files import checkpoint_folder, chosen_correction
from so101_demo.errors import DemoError
from so101_demo.options import parse
from so101_node.fingerprint import of_checkpoint
from so101_node.protocol import JOINT_NAMES

from so101_shipped_policies import shipped_correction

CAMERAS = ("front", "top", "wrist")
STATIC_TASKS = ("static", "static_nudged")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def made(path: Path, checkpoint: Path, **changes: object) -> Path:
    write(path, correction_file(**{"fingerprint": of_checkpoint(checkpoint), "joint_names": JOINT_NAMES, **changes}))
    return path


def options(checkpoint: Path, correction: str):
    return parse(["--task", "belt", "--checkpoint", str(checkpoint), "--correction", correction])


def test_a_file_that_fits_its_policy_is_taken(tmp_path: Path, checkpoint: Path):
    path = made(tmp_path / "my.npz", checkpoint)
    assert chosen_correction(options(checkpoint, str(path)), CAMERAS) == path
    assert chosen_correction(options(checkpoint, "off"), CAMERAS) is None


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"fingerprint": "0" * 64},
            "correction for another policy: expected fingerprint 000000000000, the",
        ),
        ({"cameras": ("top", "side")}, "correction reads cameras top, side: no side among front, top, wrist"),
        ({"joint_names": tuple("abcdef")}, "correction for other joints: expected a, b, c, d, e, f, got shoulder_pan"),
        ({"fps": 50.0}, "correction for another rate: expected 50 Hz, got 30 Hz"),
    ],
)
def test_a_file_of_another_policy_or_robot_is_refused(tmp_path: Path, checkpoint: Path, changes, complaint):
    path = made(tmp_path / "my.npz", checkpoint, **changes)
    with pytest.raises(DemoError) as refusal:
        chosen_correction(options(checkpoint, str(path)), CAMERAS)
    assert str(refusal.value).startswith(f"--correction {path}: {complaint}")


def test_a_folder_that_is_no_policy_is_refused_before_anything_starts(tmp_path: Path):
    """It was told by the policy server, after arm, cameras and queue had been started."""
    (tmp_path / "no_policy").mkdir()
    with pytest.raises(DemoError, match=r"--checkpoint: .*no_policy has no config.json") as refusal:
        checkpoint_folder(options(tmp_path / "no_policy", "off"))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("inside", ["", "checkpoints/last/pretrained_model"])
def test_an_adapter_is_left_to_the_server_which_knows_its_base(tmp_path: Path, inside: str):
    folder = tmp_path / "lora"
    (folder / inside).mkdir(parents=True)
    (folder / inside / "adapter_config.json").write_text("{}")
    assert checkpoint_folder(options(folder, "off")) == folder


def test_what_is_no_correction_is_named(tmp_path: Path, checkpoint: Path):
    (tmp_path / "text.npz").write_text("hello")
    for name, complaint in (
        ("nowhere.npz", "no such file; expected on, off or a correction.npz"),
        ("text.npz", "expected an .npz, got something else"),
    ):
        with pytest.raises(DemoError) as refusal:
            chosen_correction(options(checkpoint, str(tmp_path / name)), CAMERAS)
        assert complaint in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_cube_that_a_hand_moves_has_the_correction_of_one_that_nobody_moves():
    paths = {chosen_correction(parse(["--task", task, "--correction", "on"]), CAMERAS) for task in STATIC_TASKS}
    assert paths == {shipped_correction("static")}


def test_a_task_whose_policy_has_no_correction_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("so101_demo.chosen_files.shipped_correction", lambda task: tmp_path / f"{task}.npz")
    with pytest.raises(DemoError, match=r"--correction on: none ships for task static .* ./so101 policy correction"):
        chosen_correction(parse(["--correction", "on"]), CAMERAS)
