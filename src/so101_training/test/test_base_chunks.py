# SPDX-License-Identifier: Apache-2.0
"""The base policy's chunks: of which frames, from what, and only once."""

from pathlib import Path

import numpy as np
import pytest
from demonstration_datasets import FRAMES, SIZE, ShownPolicy, record
from so101_node.protocol import JOINT_NAMES
from so101_node.protocol.units import UnitConverter, Units
from so101_policy_server.policy import Observation, PolicyError, Prediction
from so101_training.correction.base_chunks import BaseChunks, ThumbnailRecipe
from so101_training.correction.recorded_dataset import RecordedDataset
from so101_training.correction.samples import STRIDE
from so101_training.policy.dataset import TrainingDataError

UNITS = UnitConverter(JOINT_NAMES, Units.DEGREES, [-2.0] * 6, [2.0] * 6, [0] * 6)
RECIPE = ThumbnailRecipe(("top",), 24, 30)
CHUNKS = -(-FRAMES // STRIDE)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> RecordedDataset:
    return RecordedDataset(record(tmp_path_factory.mktemp("recorded") / "dataset"))


def chunks(folder: Path, dataset: RecordedDataset, policy: ShownPolicy, fingerprint: str = "f" * 64) -> BaseChunks:
    return BaseChunks(folder, dataset, policy, fingerprint, UNITS, RECIPE)


def test_every_fourth_frame_has_a_chunk_in_rad(dataset: RecordedDataset, tmp_path: Path) -> None:
    policy, done = ShownPolicy(), []
    first, _ = chunks(tmp_path, dataset, policy).episodes(done.append)
    assert done == [FRAMES, FRAMES]
    at = np.arange(0, FRAMES, STRIDE)
    np.testing.assert_allclose(first.chunks[:, 3, 0], np.radians(4.0 * at - 40.0 + at), atol=1e-5)
    np.testing.assert_allclose(first.positions[:, 0], np.radians(4.0 * np.arange(FRAMES) - 40.0), atol=1e-6)
    np.testing.assert_allclose(first.commands[:, 0] - first.positions[:, 0], np.radians(1.0), atol=1e-6)
    assert first.thumbnails["top"].shape == (FRAMES, 24, 30, 3)
    np.testing.assert_array_equal(first.thumbnails["top"][:, 5, 5, 1], 10 * np.arange(FRAMES))
    assert policy.shown[0].task == "Lift it"


@pytest.mark.parametrize(("native", "expected"), [(False, (32, 40, 3)), (True, (*SIZE, 3))])
def test_the_policy_sees_frames_of_its_own_size(
    native: bool, expected: tuple[int, ...], dataset: RecordedDataset, tmp_path: Path
) -> None:
    policy = ShownPolicy(size=(32, 40), native=native)
    list(chunks(tmp_path, dataset, policy).episodes(lambda _: None))
    assert policy.shown[0].images["observation.images.top"][0].shape == expected


def test_a_policy_with_a_history_is_shown_the_frames_before(dataset: RecordedDataset, tmp_path: Path) -> None:
    policy = ShownPolicy(n_obs_steps=2)
    list(chunks(tmp_path, dataset, policy).episodes(lambda _: None))
    np.testing.assert_allclose(policy.shown[0].state[:, 0], [-40.0, -40.0])  # before the first there is none
    np.testing.assert_allclose(policy.shown[1].state[:, 0], [-28.0, -24.0])
    assert [int(frame.mean()) for frame in policy.shown[1].images["observation.images.top"]] == [30, 40]


def test_a_run_that_was_killed_is_gone_on_with(dataset: RecordedDataset, tmp_path: Path) -> None:
    begun = ShownPolicy()
    next(chunks(tmp_path, dataset, begun).episodes(lambda _: None))  # one episode, then killed
    assert len(begun.shown) == CHUNKS
    again = ShownPolicy()
    resumed = list(chunks(tmp_path, dataset, again).episodes(lambda _: None))
    assert (len(resumed), len(again.shown)) == (2, CHUNKS)
    once_more = ShownPolicy()
    list(chunks(tmp_path, dataset, once_more).episodes(lambda _: None))
    assert not once_more.shown


def test_chunks_of_another_policy_are_not_taken(dataset: RecordedDataset, tmp_path: Path) -> None:
    list(chunks(tmp_path, dataset, ShownPolicy()).episodes(lambda _: None))
    other = ShownPolicy()
    list(chunks(tmp_path, dataset, other, "0" * 64).episodes(lambda _: None))
    assert len(other.shown) == 2 * CHUNKS


class RefusingPolicy(ShownPolicy):
    """Cannot compute a chunk."""

    def infer(self, observation: Observation, leftover: object) -> Prediction:
        raise PolicyError("expected 2 cameras")


def test_a_policy_that_gives_no_chunk_is_named(dataset: RecordedDataset, tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="the policy gives no chunk for it: expected 2 cameras"):
        list(chunks(tmp_path, dataset, RefusingPolicy()).episodes(lambda _: None))
    assert not list(tmp_path.glob("*/*.npz"))
