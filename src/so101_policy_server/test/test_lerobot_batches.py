# SPDX-License-Identifier: Apache-2.0
"""LeRobot's policies with several robots in one pass: each chunk is the one that its observation gives alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from so101_policy_server.policy import Leftover, Observation, PolicyError, PolicySource

torch = pytest.importorskip("torch", reason="LeRobot is not installed")
lerobot_policy = pytest.importorskip("so101_policy_server.lerobot.lerobot_policy", reason="LeRobot is not installed")

STATE = np.array([10.0, -20.0, 30.0, -40.0, 50.0, 60.0])
TOLERANCE = 5e-3
"""Degrees, of chunks from -100 to 100: a batch is summed in another order, and denoising magnifies that."""


@pytest.fixture(scope="module")
def load(tiny_checkpoint):
    loaded = {}

    def once(kind: str):
        if kind not in loaded:
            source = PolicySource(str(tiny_checkpoint(kind)), torch_threads=1)
            loaded[kind] = lerobot_policy.load_policy(source, lambda _text: None)
            _fill_zeros(loaded[kind]._policy)
        return loaded[kind]

    return once


def _fill_zeros(network) -> None:
    """Layers that training begins with zeros would hide what goes into them."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weights in network.parameters():
            if not weights.any():
                weights.normal_(0, 0.05)


@pytest.fixture
def no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Policies that begin with noise begin with its mean: what differs then is not the draw."""
    zeros = torch.zeros

    def mean(*size, generator=None, **options):
        return zeros(*size, **options)

    monkeypatch.setattr(torch, "randn", mean)
    monkeypatch.setattr(torch, "normal", lambda mean=0.0, std=1.0, size=None, **options: zeros(size) + mean)
    monkeypatch.setattr(torch, "multinomial", lambda weights, **_: weights.argmax(-1, keepdim=True))


def observation(policy, robot: int) -> Observation:
    random = np.random.default_rng(robot)
    steps = policy.description.n_obs_steps
    images = {
        image.key: tuple(random.integers(0, 256, (image.height, image.width, 3), dtype=np.uint8) for _ in range(steps))
        for image in policy.description.images
    }
    state = STATE + random.uniform(-30, 30, (steps, 6))
    return Observation(state, images, ("pick", "place the cube", "pick")[robot % 3], session=f"/robot{robot}#1")


@pytest.mark.parametrize("kind", ["act", "diffusion", "multi_task_dit", "smolvla", "vqbet"])
def test_chunks_of_one_pass_are_those_of_one_by_one(load, no_noise, kind: str) -> None:
    policy = load(kind)
    assert policy.description.batches
    observations = [observation(policy, robot) for robot in range(4)]
    alone = [policy.infer(one, None).actions for one in observations]
    together = [chunk.actions for chunk in policy.infer_batch(observations, [None] * 4)]
    spread = min(np.abs(alone[i] - alone[j]).max() for i in range(4) for j in range(i))
    assert spread > 5 * TOLERANCE  # one robot's chunk is not another's
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=TOLERANCE)


def test_chunks_that_continue_a_leftover_share_a_pass_where_rows_and_delay_are_the_same(
    load, no_noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = load("smolvla")
    random = np.random.default_rng(0)

    def leftover(rows: int, delay: int) -> Leftover:
        return Leftover(STATE + random.uniform(-20, 20, (rows, 6)), delay)

    observations = [observation(policy, robot) for robot in range(5)]
    leftovers = [leftover(20, 4), None, leftover(20, 4), leftover(20, 7), leftover(12, 4)]
    alone = [policy.infer(*asked).actions for asked in zip(observations, leftovers, strict=True)]
    free = policy.infer(observations[0], None).actions
    passes = []
    predict = policy._policy.predict_action_chunk
    monkeypatch.setattr(
        policy._policy,
        "predict_action_chunk",
        lambda batch, **options: passes.append(len(batch["observation.state"])) or predict(batch, **options),
    )
    together = [chunk.actions for chunk in policy.infer_batch(observations, leftovers)]
    assert sorted(passes) == [1, 1, 1, 2]
    assert np.abs(alone[0] - free).max() > 10 * TOLERANCE  # the leftover does matter
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=TOLERANCE)


def test_pictures_of_other_sizes_go_in_a_pass_of_their_own(load, no_noise) -> None:
    policy = load("smolvla")
    small, large = observation(policy, 0), observation(policy, 1)
    large = replace(large, images={key: (np.repeat(p[0], 2, axis=1),) for key, p in large.images.items()})
    together = policy.infer_batch([small, large], [None, None])
    for one, asked in zip(together, (small, large), strict=True):
        np.testing.assert_allclose(one.actions, policy.infer(asked, None).actions, atol=TOLERANCE)


def test_where_memory_does_not_suffice_passes_become_smaller_and_stay_so(load, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = load("act")
    observations = [observation(policy, robot) for robot in range(5)]
    alone = [policy.infer(one, None).actions for one in observations]
    sizes = []
    predict = policy._policy.predict_action_chunk

    def narrow(batch):
        sizes.append(len(batch["observation.state"]))
        if sizes[-1] > 2:
            raise torch.cuda.OutOfMemoryError("tried to allocate 2 GiB")
        return predict(batch)

    monkeypatch.setattr(policy._policy, "predict_action_chunk", narrow)
    monkeypatch.setattr(policy, "_largest_pass", 64)
    for expected in ([5, 2, 2, 1], [2, 2, 1]):
        sizes.clear()
        together = policy.infer_batch(observations, [None] * 5)
        assert sizes == expected
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_allclose(one.actions, other, atol=TOLERANCE)


def test_a_value_that_is_not_finite_fails_the_pass(load) -> None:
    policy = load("act")
    broken = observation(policy, 1)
    broken = replace(broken, state=np.full_like(broken.state, np.nan))
    with pytest.raises(PolicyError, match="not finite"):
        policy.infer_batch([observation(policy, 0), broken], [None, None])
