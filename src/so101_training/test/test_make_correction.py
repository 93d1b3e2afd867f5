# SPDX-License-Identifier: Apache-2.0
"""`./so101 policy correction`: from a dataset and a checkpoint to files that a robot reads."""

from dataclasses import replace
from pathlib import Path

import pytest
from demonstration_datasets import ShownPolicy, record
from so101_correction.core.correction_file import read
from so101_node.protocol import JOINT_NAMES
from so101_training.correction import make_correction
from so101_training.policy.__main__ import main

FINGERPRINT = "f" * 64


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch) -> ShownPolicy:
    """What every checkpoint is here."""
    shown = ShownPolicy(rows=30)
    shown.description = replace(shown.description, fingerprint=FINGERPRINT)
    monkeypatch.setattr(make_correction, "_load_policy", lambda *_asked: shown)
    return shown


def words(root: Path, *more: str) -> list[str]:
    output = str(root / "out" / "correction.npz")
    checkpoint = [] if "--checkpoint" in more else ["--checkpoint", "x"]
    return ["correction", "--dataset", str(root / "dataset"), *checkpoint, "--output", output, *more]


def test_it_writes_a_file_for_this_policy_and_a_blind_one(policy: ShownPolicy, tmp_path: Path, capsys) -> None:
    record(tmp_path / "dataset", episodes=3)
    assert main(words(tmp_path, "--steps", "3", "--seed", "7", "--blind")) == 0
    seeing, blind = (read(tmp_path / "out" / name) for name in ("correction.npz", "correction_blind.npz"))
    assert (seeing.fingerprint, seeing.cameras, seeing.joint_names) == (FINGERPRINT, ("top",), tuple(JOINT_NAMES))
    assert (seeing.height, seeing.width, seeing.fps, seeing.oldest_age_steps) == (64, 80, 30.0, 54)
    assert (seeing.largest_delta_rad, seeing.largest_change_rad) == (0.5, 0.06)
    assert seeing.trained["gripper"] == "hidden"
    assert (seeing.trained["steps"], seeing.trained["seed"], seeing.trained["episodes"]) == ("3", "7", "3")
    assert blind.cameras == ()
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == ["with frames", "blind"]
    assert all("rad to correct" in line and "rad left" in line for line in said)
    computed = len(policy.shown)
    assert main(words(tmp_path, "--steps", "2")) == 0
    assert len(policy.shown) == computed, "the second time all chunks are there"


def test_demonstrations_whose_arm_hardly_strays_are_told(policy: ShownPolicy, tmp_path: Path, capsys) -> None:
    record(tmp_path / "dataset", episodes=40)  # 3 frames of each count
    assert main(words(tmp_path, "--steps", "1")) == 0
    assert float(read(tmp_path / "out" / "correction.npz").trained["strayed_rad"]) < 0.001
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(told) == 1 and "the arm strays 0.0000 rad" in told[0] and "docs/explanation/correction.md" in told[0]


def test_a_correction_is_gone_on_with_only_for_the_same_policy(policy: ShownPolicy, tmp_path: Path, capsys) -> None:
    record(tmp_path / "dataset", episodes=1)
    assert main(words(tmp_path, "--steps", "1")) == 0
    first = tmp_path / "first.npz"
    (tmp_path / "out" / "correction.npz").rename(first)
    assert main(words(tmp_path, "--steps", "2", "--init", str(first))) == 0
    assert read(tmp_path / "out" / "correction.npz").trained["begun_with"] == "first.npz, 1 steps"
    policy.description = replace(policy.description, fingerprint="0" * 64)
    assert main(words(tmp_path, "--init", str(first))) == 1
    assert "first.npz is of policy ffffffffffff" in capsys.readouterr().err


def test_one_that_is_shown_no_earlier_frame_is_gone_on_with_by_one_that_is_and_never_back(
    policy: ShownPolicy, tmp_path: Path, capsys
) -> None:
    record(tmp_path / "dataset", episodes=1)
    output = tmp_path / "out" / "correction.npz"
    for name, words_of in (("old", ["--earlier-steps", "0"]), ("new", ["--init", str(tmp_path / "old.npz")])):
        assert main(words(tmp_path, "--steps", "1", *words_of)) == 0
        output.rename(tmp_path / f"{name}.npz")
    assert [read(tmp_path / f"{name}.npz").earlier_steps for name in ("old", "new")] == [0, 3]
    assert main(words(tmp_path, "--init", str(tmp_path / "new.npz"), "--earlier-steps", "2")) == 1
    assert "new.npz is shown a frame of 3 steps ago: expected --earlier-steps to say that" in capsys.readouterr().err


def test_a_policy_that_gives_no_chunks_is_refused(policy: ShownPolicy, tmp_path: Path, capsys) -> None:
    record(tmp_path / "dataset", episodes=1)
    policy.description = replace(policy.description, horizon=1)
    assert main(words(tmp_path)) == 1
    assert "x gives chunks of 1 row: expected chunks of 2 or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--cameras", "top", "side"], "has cameras top: expected side too"),
        (["--fps", "50"], "has 30 frames per second: expected 50"),
        (["--calibration", "nowhere.json"], "nowhere.json"),
        (["--checkpoint", "nowhere"], "nowhere"),
    ],
)
def test_what_does_not_fit_is_one_line_by_name(
    more: list[str], message: str, tmp_path: Path, capsys, request: pytest.FixtureRequest
) -> None:
    if "--checkpoint" not in more:
        request.getfixturevalue("policy")
    record(tmp_path / "dataset", episodes=1)
    assert main(words(tmp_path, *more)) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("so101 policy correction: ")
    assert message in said
    assert not (tmp_path / "out" / "correction.npz").exists()
