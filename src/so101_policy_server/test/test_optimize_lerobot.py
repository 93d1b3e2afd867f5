# SPDX-License-Identifier: Apache-2.0
"""Each option on a real policy of LeRobot: equal chunks, and as it was when it is taken back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from so101_policy_server.policy import Leftover, PolicySource

torch = pytest.importorskip("torch")
lerobot_policy = pytest.importorskip("so101_policy_server.lerobot.lerobot_policy", reason="LeRobot is not installed")

from so101_policy_server.lerobot.optimize.layers import (  # noqa: E402
    BFloat16,
    ChannelsLast,
    ContiguousTokens,
    FoldedNormalization,
)
from so101_policy_server.lerobot.optimize.process import KeptMemory, Threads  # noqa: E402
from so101_policy_server.lerobot.optimize.rehearsal import PolicyRehearsal, make_observation  # noqa: E402
from so101_policy_server.lerobot.optimize.smolvla_sampler import OneTimePrefix, SmolVLASampler  # noqa: E402
from so101_policy_server.lerobot.optimize.stages import stages_of  # noqa: E402
from so101_policy_server.lerobot.optimize.trials import (  # noqa: E402
    BOUND,
    OptionUnavailableError,
    largest_difference,
    try_options,
)


def load(path: Path):
    return lerobot_policy.load_policy(PolicySource(str(path), torch_threads=1), lambda _text: None)


def load_strong(path: Path):
    """A SmolVLA with weights as large as trained ones: those of a fresh one leave a chunk that is nearly all noise."""
    loaded = load(path)
    with torch.no_grad():
        for weight in loaded.lerobot_policy.parameters():
            if weight.ndim == 2:
                weight.mul_(4.0)
    return loaded


def rehearsal_of(loaded) -> PolicyRehearsal:
    return PolicyRehearsal(loaded.description, loaded.predict_in_model_space, loaded.reset)


@pytest.fixture(scope="module")
def act(tiny_act: Path):
    return load(tiny_act)


@pytest.fixture(scope="module")
def smolvla(tiny_smolvla: Path):
    return load_strong(tiny_smolvla)


OPTIONS: dict[str, tuple[tuple[str, ...], Callable]] = {
    "memory": (("act", "smolvla"), lambda _run: KeptMemory()),
    "threads": (("act", "smolvla"), lambda _run: Threads(2)),
    "tokens": (("smolvla",), lambda _run: ContiguousTokens()),
    "prefix": (("smolvla",), lambda _run: OneTimePrefix()),
    "normalization": (("act",), lambda _run: FoldedNormalization()),
    "channels": (("act", "smolvla"), lambda _run: ChannelsLast()),
}


@pytest.mark.parametrize(("kind", "option"), [(kind, name) for name, (kinds, _) in OPTIONS.items() for kind in kinds])
def test_chunks_with_an_option_are_equal_and_without_it_again_the_same_bits(kind: str, option: str, request) -> None:
    loaded = request.getfixturevalue(kind)
    rehearsal = rehearsal_of(loaded)
    reference = rehearsal().chunks
    undo = OPTIONS[option][1](rehearsal.run_once).apply(loaded.lerobot_policy)
    try:
        assert largest_difference(reference, rehearsal().chunks) < BOUND / 5
    finally:
        undo()
    assert largest_difference(reference, rehearsal().chunks) == 0.0


@pytest.mark.parametrize(
    ("kind", "option", "reason"),
    [
        ("act", OneTimePrefix(), "for SmolVLA"),
        ("act", ContiguousTokens(), "no vision transformer"),
        ("smolvla", FoldedNormalization(), "no convolution with frozen normalisation"),
    ],
)
def test_an_option_that_has_nothing_to_do_says_so(kind: str, option, reason: str, request) -> None:
    with pytest.raises(OptionUnavailableError, match=reason):
        option.apply(request.getfixturevalue(kind).lerobot_policy)


def test_bfloat16_is_refused_with_its_difference_and_taken_where_the_bound_allows(act) -> None:
    rehearsal = rehearsal_of(act)
    option = BFloat16(rehearsal.run_once, smallest=1)
    reference = rehearsal().chunks
    done = try_options(act.lerobot_policy, [option], rehearsal)
    assert done.kept == ()
    assert 1e-4 < done.trials[0].difference < 0.1
    assert done.trials[0].reason == f"difference {done.trials[0].difference:.1e} is above 1.0e-04"
    assert largest_difference(reference, rehearsal().chunks) == 0.0
    undo = option.apply(act.lerobot_policy)
    assert 0.0 < largest_difference(reference, rehearsal().chunks) < 0.1
    undo()


def chunk_of(policy, batch: dict) -> np.ndarray:
    noise = torch.randn(len(batch["observation.state"]), 50, 8, generator=torch.Generator().manual_seed(5))
    policy.reset()
    with torch.no_grad():
        return policy.predict_action_chunk(dict(batch), noise=noise).numpy()


def language_batch(policy, lengths: list[int], padded: int = 24) -> dict:
    """One robot each, with an instruction of so many tokens."""
    random = torch.Generator().manual_seed(1)
    mask = torch.zeros(len(lengths), padded, dtype=torch.bool)
    for row, length in enumerate(lengths):
        mask[row, :length] = True
    pictures = {key: torch.rand(len(lengths), 3, 48, 64, generator=random) for key in policy.config.image_features}
    return {
        **pictures,
        "observation.state": torch.randn(len(lengths), 6, generator=random),
        "observation.language.tokens": torch.randint(0, 200, (len(lengths), padded), generator=random),
        "observation.language.attention_mask": mask,
    }


@pytest.mark.parametrize("lengths", [[24], [5], [3, 9], [24, 1]])
def test_padding_of_the_instruction_is_left_out_and_the_chunk_stays(smolvla, lengths: list[int]) -> None:
    policy = smolvla.lerobot_policy
    batch = language_batch(policy, lengths)
    expected = chunk_of(policy, batch)
    seen = []
    own = SmolVLASampler._prepared
    undo = OneTimePrefix().apply(policy)
    try:
        sampler = policy.model.sample_actions
        sampler._prepared = lambda cached, mask: seen.append(mask.shape[1]) or own(sampler, cached, mask)
        got = chunk_of(policy, batch)
    finally:
        undo()
    assert seen == [3 * 4 + max(lengths) + 1]  # three pictures of four tokens, the instruction, the state
    assert np.abs(got - expected).max() < BOUND / 5
    assert np.abs(got - chunk_of(policy, language_batch(policy, [2] * len(lengths)))).max() > 10 * BOUND


def test_a_camera_that_nobody_has_is_not_looked_at_and_the_chunk_stays(tiny_smolvla: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_smolvla, tmp_path / "two")
    config = json.loads((tiny_smolvla / "config.json").read_text())
    config["input_features"]["observation.images.empty_camera_0"] = {"type": "VISUAL", "shape": [3, 480, 640]}
    (tmp_path / "two" / "config.json").write_text(json.dumps(config | {"empty_cameras": 1}))
    loaded = load_strong(tmp_path / "two")
    rehearsal, policy = rehearsal_of(loaded), loaded.lerobot_policy
    reference = rehearsal().chunks
    looks = []
    own = policy.model.vlm_with_expert.embed_image
    policy.model.vlm_with_expert.embed_image = lambda picture: looks.append(1) or own(picture)
    rehearsal.run_once()
    assert len(looks) == 4
    OneTimePrefix().apply(policy)
    looks.clear()
    rehearsal.run_once()
    assert len(looks) == 3
    assert largest_difference(reference, rehearsal().chunks) < BOUND / 5


def test_a_leftover_pulls_the_optimized_chunk_as_it_does_lerobots(smolvla) -> None:
    observation = make_observation(smolvla.description, 3)
    leftover = Leftover(np.full((20, 6), 15.0), expected_delay_steps=4)

    def chunk(given: Leftover | None) -> np.ndarray:
        torch.manual_seed(4)
        return smolvla.predict_in_model_space(observation, given)

    expected, free = chunk(leftover), chunk(None)
    undo = OneTimePrefix().apply(smolvla.lerobot_policy)
    try:
        got = chunk(leftover)
    finally:
        undo()
    assert np.abs(got - expected).max() < BOUND / 5
    assert np.abs(got - free).max() > 100 * BOUND


def test_auto_optimizes_at_load_and_says_what_it_kept_with_numbers(tiny_smolvla: Path) -> None:
    said = []
    source = PolicySource(str(tiny_smolvla), torch_threads=1, optimize="auto")
    loaded = lerobot_policy.load_policy(source, said.append)
    head, *trials = loaded.description.optimization
    assert "ms a chunk" in head
    assert [line.partition(":")[0] for line in trials] == [
        "freed memory kept",
        "tokens side by side",
        "prefix prepared once a chunk",
        "normalisation within convolutions",
        "channels last",
        "bfloat16",
    ]
    assert "optimizing: trying prefix prepared once a chunk" in said
    assert loaded.infer(make_observation(loaded.description, 0), None).actions.shape == (50, 6)


def test_off_leaves_the_policy_as_it_is(act, smolvla) -> None:
    for loaded in (act, smolvla):
        assert loaded.description.optimization == ()
    assert not isinstance(smolvla.lerobot_policy.model.sample_actions, SmolVLASampler)


def test_stages_are_told_apart_before_and_after(smolvla, act) -> None:
    for kind, loaded, options in (("smolvla", smolvla, [None, OneTimePrefix()]), ("act", act, [None])):
        for option in options:
            undo = option.apply(loaded.lerobot_policy) if option else lambda: None
            with stages_of(loaded.lerobot_policy) as seconds:
                prediction = loaded.infer(make_observation(loaded.description, 0), None)
            undo()
            expected = {"resize", "vision", "prefix", "denoise"} if kind == "smolvla" else {"vision"}
            assert set(seconds) == expected
            assert all(value > 0 for value in seconds.values())
            assert sum(seconds.values()) < prediction.inference_s
