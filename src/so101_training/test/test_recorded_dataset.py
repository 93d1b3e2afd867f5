# SPDX-License-Identifier: Apache-2.0
"""Any LeRobotDataset of this arm is read; others are refused by name."""

from pathlib import Path

import numpy as np
import pytest
from demonstration_datasets import FRAMES, SIZE, record
from so101_node.protocol import JOINT_NAMES
from so101_node.protocol.units import Units
from so101_training.correction.recorded_dataset import RecordedDataset
from so101_training.policy.dataset import TrainingDataError


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("good") / "dataset")


def check(root: Path, cameras: tuple[str, ...] = ("top",), units: Units = Units.DEGREES) -> None:
    RecordedDataset(root).check(JOINT_NAMES, cameras, 30.0, units)


def test_episodes_are_read_as_they_were_recorded(good: Path) -> None:
    dataset = RecordedDataset(good)
    check(good)
    assert (dataset.episodes, dataset.frames, dataset.fps, dataset.cameras) == (2, 2 * FRAMES, 30.0, ("top",))
    second = dataset.read(1, ("top",))
    np.testing.assert_allclose(second.state[:, 0], 4.0 * np.arange(FRAMES) - 40.0)
    np.testing.assert_allclose(second.action, second.state + 1.0)
    assert second.images["top"].shape == (FRAMES, *SIZE, 3)
    np.testing.assert_array_equal(second.images["top"][:, 0, 0, 0], 10 * np.arange(FRAMES))
    assert second.task == "Lift it"


def test_frames_of_videos_are_those_of_their_episode(tmp_path: Path) -> None:
    dataset = RecordedDataset(record(tmp_path / "dataset", videos=True))
    for episode in range(2):
        brightness = dataset.read(episode, ("top",)).images["top"].mean(axis=(1, 2, 3))
        np.testing.assert_allclose(brightness, 10 * np.arange(FRAMES), atol=4.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cameras": ()}, "has no frames: expected those of top"),
        ({"cameras": ("front",)}, "has cameras front: expected top too"),
        ({"joints": ("waist", *JOINT_NAMES[1:])}, "is of waist, shoulder_lift, .*; expected the joints shoulder_pan,"),
        ({"joints": JOINT_NAMES[:5]}, "expected the joints shoulder_pan"),
        ({"fps": 50}, "has 50 frames per second: expected 30"),
        ({"scale": 3.14159 / 180}, "all arm joints are within 0.68; expected degrees"),
        ({"scale": 8.0}, "a joint is at 312; expected degrees, -180 to 180"),
    ],
    ids=["no frames", "another camera", "another joint", "too few joints", "another rate", "radians", "encoder steps"],
)
def test_other_datasets_are_refused_by_name(changes: dict, message: str, tmp_path: Path) -> None:
    root = record(tmp_path / "dataset", episodes=1, **changes)
    with pytest.raises(TrainingDataError, match=message) as refused:
        check(root)
    assert "\n" not in str(refused.value)
    assert str(root) in str(refused.value)


def test_degrees_are_no_normalized_units(tmp_path: Path) -> None:
    root = record(tmp_path / "dataset", episodes=1, scale=3.0)
    check(root, units=Units.DEGREES)
    with pytest.raises(TrainingDataError, match="a joint is at 117; expected LeRobot's normalized units"):
        check(root, units=Units.NORMALIZED)


def test_where_there_is_no_dataset_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"no dataset at .*: expected a folder with meta/info\.json"):
        RecordedDataset(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
