# SPDX-License-Identifier: Apache-2.0
"""Real LeRobot policies through the adaptor: the numbers, the errors, real-time chunking."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from so101_node.fingerprint import of_checkpoint
from so101_policy_server.inference.checked_policy import CheckedPolicy
from so101_policy_server.lerobot.checkpoint import find_checkpoint
from so101_policy_server.policy import Leftover, Observation, PolicyError, PolicyLoadError, PolicySource

lerobot_policy = pytest.importorskip("so101_policy_server.lerobot.lerobot_policy", reason="LeRobot is not installed")

STATE = np.array([[10.0, -20.0, 30.0, -40.0, 50.0, 60.0]])


def load(path: Path | str, **changes):
    return lerobot_policy.load_policy(replace(PolicySource(str(path), torch_threads=1), **changes), lambda _text: None)


def observe(policy, seed: int = 0) -> Observation:
    random = np.random.default_rng(seed)
    steps = policy.description.n_obs_steps
    images = {
        image.key: tuple(random.integers(0, 256, (image.height, image.width, 3), dtype=np.uint8) for _ in range(steps))
        for image in policy.description.images
    }
    return Observation(np.repeat(STATE, steps, axis=0), images, "pick the cube to place")


@pytest.fixture(scope="module")
def act(tiny_act: Path):
    return load(tiny_act)


@pytest.fixture(scope="module")
def smolvla(tiny_smolvla: Path):
    return load(tiny_smolvla)


def test_a_checkpoint_describes_itself(act, tiny_act: Path) -> None:
    described = act.description
    assert (described.policy_type, described.path, described.device) == ("act", str(tiny_act), "cpu")
    assert [(image.camera, image.channels, image.height, image.width) for image in described.images] == [
        ("front", 3, 48, 64),
        ("wrist", 3, 48, 64),
        ("top", 3, 48, 64),
    ]
    assert (described.horizon, described.state_dim, described.action_dim, described.n_obs_steps) == (50, 6, 6, 1)
    assert not described.supports_rtc
    assert described.fingerprint == of_checkpoint(tiny_act)
    assert not any(image.native for image in described.images)


def test_the_fingerprint_of_a_hub_id_is_that_of_its_files_in_the_cache(
    tiny_act: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "models--me--pick" / "snapshots" / "c0ffee"
    shutil.copytree(tiny_act, snapshot)
    (tmp_path / "models--me--pick" / "refs").mkdir()
    (tmp_path / "models--me--pick" / "refs" / "main").write_text("c0ffee")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for name, expected in (("me/pick", of_checkpoint(tiny_act)), ("me/place", "")):
        assert lerobot_policy.fingerprint_of(find_checkpoint(name)) == expected
    for file in snapshot.glob("*.safetensors"):
        file.unlink()
    assert lerobot_policy.fingerprint_of(find_checkpoint("me/pick")) == ""


def test_a_chunk_equals_what_lerobots_own_path_gives_bit_for_bit(act, tiny_act: Path) -> None:
    import torch
    from lerobot.configs import PreTrainedConfig
    from lerobot.policies import get_policy_class, make_pre_post_processors
    from lerobot.policies.utils import prepare_observation_for_inference
    from lerobot.utils.feature_utils import build_dataset_frame, hw_to_dataset_features

    config = PreTrainedConfig.from_pretrained(tiny_act)
    config.pretrained_backbone_weights = None
    policy = get_policy_class(config.type).from_pretrained(tiny_act, config=config)
    before, after = make_pre_post_processors(config, pretrained_path=str(tiny_act))
    joints = [f"joint_{index}.pos" for index in range(6)]
    cameras = ("front", "wrist", "top")
    features = hw_to_dataset_features(
        {**dict.fromkeys(joints, float), **dict.fromkeys(cameras, (48, 64, 3))}, "observation", use_video=False
    )
    observation = observe(act)
    raw = dict(zip(joints, STATE[0].tolist(), strict=True))
    raw |= {camera: observation.images[f"observation.images.{camera}"][0] for camera in cameras}
    frame = build_dataset_frame(features, raw, prefix="observation")
    batch = prepare_observation_for_inference(frame, torch.device("cpu"), observation.task, "so101_follower")
    with torch.no_grad():
        theirs = after(policy.predict_action_chunk(before(batch)))[0].numpy()

    assert np.array_equal(act.infer(observation, None).actions, theirs)


def test_state_and_every_camera_reach_the_policy(act) -> None:
    whole = observe(act)
    chunk = act.infer(whole, None).actions
    assert np.array_equal(act.infer(whole, None).actions, chunk)
    assert not np.array_equal(act.infer(replace(whole, state=whole.state + 1), None).actions, chunk)
    for key in whole.images:
        darker = {**whole.images, key: (whole.images[key][0] // 2,)}
        assert not np.array_equal(act.infer(replace(whole, images=darker), None).actions, chunk)


def test_the_minimum_time_counts_as_the_policys_own(tiny_act: Path) -> None:
    slow = CheckedPolicy(load(tiny_act), "lerobot", min_inference_s=0.3)
    began = time.monotonic()
    prediction = slow.infer(observe(slow), None)
    assert prediction.inference_s >= 0.3
    assert time.monotonic() - began >= 0.3


def test_a_run_folder_resolves_to_its_last_checkpoint(tiny_act: Path, tmp_path: Path) -> None:
    step = tmp_path / "checkpoints" / "000100"
    step.mkdir(parents=True)
    (step / "pretrained_model").symlink_to(tiny_act)
    (tmp_path / "checkpoints" / "last").symlink_to("000100")
    assert load(tmp_path).description.path == str(tmp_path / "checkpoints" / "last" / "pretrained_model")


def test_half_precision_weights_load_as_they_are(act, tiny_act: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_act, tmp_path / "half")
    weights = {
        name: value.half() if value.is_floating_point() else value
        for name, value in load_file(tiny_act / "model.safetensors").items()
    }
    save_file(weights, tmp_path / "half" / "model.safetensors")
    half = load(tmp_path / "half")
    assert next(half._policy.parameters()).dtype == torch.float32
    observation = observe(act)
    assert np.allclose(half.infer(observation, None).actions, act.infer(observation, None).actions, atol=0.5)


def test_smolvla_runs_from_a_local_folder_without_network(smolvla) -> None:
    assert smolvla.description.supports_rtc
    assert smolvla.infer(observe(smolvla), None).actions.shape == (50, 6)


def test_the_task_reaches_a_language_policy(smolvla) -> None:
    import torch

    def chunk(task: str) -> np.ndarray:
        torch.manual_seed(3)
        return smolvla.infer(replace(observe(smolvla), task=task), None).actions

    assert np.array_equal(chunk("pick"), chunk("pick"))
    assert not np.array_equal(chunk("pick"), chunk("place"))


def test_a_camera_that_nobody_has_is_not_asked_for_and_stays_masked(tiny_smolvla: Path, tmp_path: Path) -> None:
    config = json.loads((tiny_smolvla / "config.json").read_text())
    empty = {"observation.images.empty_camera_0": {"type": "VISUAL", "shape": [3, 480, 640]}}
    features = config["input_features"] | empty
    policy = load(changed(tiny_smolvla, tmp_path / "two", input_features=features, empty_cameras=1))
    assert [image.camera for image in policy.description.images] == ["front", "wrist", "top"]
    masks = []
    own = policy._policy.prepare_images
    policy._policy.prepare_images = lambda batch: masks.append(own(batch)[1]) or own(batch)
    assert policy.infer(observe(policy), None).actions.shape == (50, 6)
    assert [bool(mask) for mask in masks[0]] == [True, True, True, False]


def test_a_leftover_reaches_the_policy_in_its_own_space(smolvla, monkeypatch: pytest.MonkeyPatch) -> None:
    """What postprocessing made of model rows must come back as those model rows."""
    import torch

    seen = {}
    own = smolvla._policy.predict_action_chunk

    def spy(batch, **kwargs):
        seen.update(kwargs)
        seen["chunk"] = own(batch, **kwargs)
        return seen["chunk"]

    monkeypatch.setattr(smolvla._policy, "predict_action_chunk", spy)
    first = smolvla.infer(observe(smolvla), None)
    model_rows = seen["chunk"][0, 5:20]
    smolvla.infer(observe(smolvla), Leftover(first.actions[5:20].astype(np.float64), expected_delay_steps=4))
    assert seen["inference_delay"] == 4
    assert seen["prev_chunk_left_over"].shape == (15, 6)
    assert torch.allclose(seen["prev_chunk_left_over"], model_rows, atol=1e-5)


def off_the_leftover(policy, leftover: Leftover, rows: int, given: Leftover | None) -> float:
    """Mean |new - leftover| over the first `rows` rows, in the policy's units, over four seeds."""
    import torch

    errors = []
    for seed in range(4):
        torch.manual_seed(seed)
        errors.append(np.abs(policy.infer(observe(policy), given).actions[:rows] - leftover.rows[:rows]).mean())
    return float(np.mean(errors))


@pytest.mark.parametrize(("delay", "left"), [(4, 20), (20, 35), (30, 30), (40, 12)])
def test_a_continued_chunk_keeps_to_the_leftover_for_the_whole_delay(smolvla, delay: int, left: int) -> None:
    """LeRobot's execution_horizon counts from row 0: left at its 10, a delay of 20 steps would keep ten rows."""
    first = smolvla.infer(observe(smolvla), None).actions
    leftover = Leftover(first[10 : 10 + left].astype(np.float64), expected_delay_steps=delay)
    frozen = min(delay, left)
    with_rtc = off_the_leftover(smolvla, leftover, frozen, leftover)
    without = off_the_leftover(smolvla, leftover, frozen, None)
    assert with_rtc < 0.3 * without


def test_the_frozen_rows_end_with_the_delay_and_the_chunk_is_free_after_the_soft_ones(smolvla) -> None:
    first = smolvla.infer(observe(smolvla), None).actions
    leftover = Leftover(first[10:50].astype(np.float64), expected_delay_steps=5)
    apart = [np.abs(rows).mean() for rows in np.split(smolvla.infer(observe(smolvla), leftover).actions[:40]
                                                       - leftover.rows, [5, 15])]  # fmt: skip
    assert apart[0] < 0.5 * apart[2]  # frozen against free


def test_a_short_leftover_is_not_padded_with_zeros_that_pull_the_chunk_to_the_mean(smolvla, monkeypatch) -> None:
    seen = {}
    own = smolvla._policy.predict_action_chunk

    def spy(batch, **kwargs):
        seen.update(kwargs)
        return own(batch, **kwargs)

    monkeypatch.setattr(smolvla._policy, "predict_action_chunk", spy)
    first = smolvla.infer(observe(smolvla), None)
    assert "prev_chunk_left_over" not in seen  # nothing to continue: None, never zeros
    smolvla.infer(observe(smolvla), Leftover(first.actions[47:].astype(np.float64), expected_delay_steps=9))
    assert seen["prev_chunk_left_over"].shape == (3, 6)
    assert (seen["inference_delay"], seen["execution_horizon"]) == (3, 3)


def test_a_leftover_longer_than_a_chunk_is_continued_as_far_as_the_chunk_goes(smolvla) -> None:
    first = smolvla.infer(observe(smolvla), None).actions
    rows = np.concatenate([first, first]).astype(np.float64)
    assert smolvla.infer(observe(smolvla), Leftover(rows, expected_delay_steps=70)).actions.shape == (50, 6)


def test_a_policy_of_several_observation_steps_reads_each_in_its_place(tiny_vqbet: Path) -> None:
    import torch

    vqbet = load(tiny_vqbet)
    assert vqbet.description.n_obs_steps == 3

    def chunk(observation: Observation) -> np.ndarray:
        torch.manual_seed(3)
        return vqbet.infer(observation, None).actions

    now = observe(vqbet)
    assert chunk(now).shape == (5, 6)
    assert vqbet.description.horizon == 5
    assert np.array_equal(chunk(now), chunk(now))  # nothing of the last observation lingers
    for step in range(3):
        moved = now.state.copy()
        moved[step] += 20
        assert not np.array_equal(chunk(now), chunk(replace(now, state=moved)))


@pytest.mark.parametrize("kind", ["diffusion", "diffusion_1", "multi_task_dit"])
def test_a_policy_with_queues_of_observations_gives_what_its_select_action_gives(kind: str, tiny_checkpoint) -> None:
    import torch
    from lerobot.policies.utils import prepare_observation_for_inference

    loaded = load(tiny_checkpoint(kind))
    observation = observe(loaded)
    observation.state[:] += np.arange(len(observation.state))[:, np.newaxis]
    loaded.reset()
    for step, state in enumerate(observation.state):
        frame = {key: pictures[step] for key, pictures in observation.images.items()}
        frame["observation.state"] = state.astype(np.float32)
        batch = prepare_observation_for_inference(frame, torch.device("cpu"), observation.task, "so101_follower")
        batch = loaded._preprocessor(batch)
        loaded._policy._queues["action"].clear()  # it would play out its chunk before it looks again
        torch.manual_seed(3)
        loaded._policy.select_action(batch)
        queued = torch.cat(list(loaded._policy._queues["action"]))
    torch.manual_seed(3)
    rows = loaded.infer(observation, None).actions
    assert rows.shape == (12, 6)
    assert np.array_equal(rows[1:], loaded._postprocessor(queued).numpy())


def test_a_policy_that_raises_is_one_line(act, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_batch):
        raise RuntimeError("something\nwith two lines")

    monkeypatch.setattr(act._policy, "predict_action_chunk", broken)
    with pytest.raises(PolicyError, match=r"^RuntimeError: something with two lines$"):
        act.infer(observe(act), None)


def test_values_that_are_not_finite_are_an_error(act, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(act._policy, "predict_action_chunk", lambda _batch: torch.full((1, 50, 6), float("nan")))
    with pytest.raises(PolicyError, match="not finite"):
        act.infer(observe(act), None)


def changed(source: Path, target: Path, **entries) -> Path:
    shutil.copytree(source, target)
    config = json.loads((source / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | entries))
    return target


def test_what_cannot_be_loaded_is_one_line_that_names_it(tiny_act: Path, tmp_path: Path) -> None:
    images = {"observation.images.depth": {"type": "VISUAL", "shape": [1, 48, 64]}}
    turned = {"observation.images.front": {"type": "VISUAL", "shape": [48, 64, 3]}}
    world = {"observation.environment_state": {"type": "ENV", "shape": [4]}}
    config = json.loads((tiny_act / "config.json").read_text())
    cases = [
        (tmp_path / "nowhere", {}, "no folder .*nowhere"),
        (changed(tiny_act, tmp_path / "a", type="dreamer"), {}, "policy type 'dreamer' .* act, "),
        (tiny_act, {"policy_type": "smolvla"}, "policy_type = smolvla: .* is of type act"),
        (tiny_act, {"device": "cuda"}, "policy_device = cuda: no usable CUDA"),
        (changed(tiny_act, tmp_path / "b", dim_model=32), {}, "model.safetensors is of another configuration than"),
        (changed(tiny_act, tmp_path / "c", input_features=config["input_features"] | images), {}, r"1x48x64 \(grey"),
        (changed(tiny_act, tmp_path / "e", input_features=config["input_features"] | turned), {}, "channels last"),
        (changed(tiny_act, tmp_path / "d", input_features=config["input_features"] | world), {}, "environment_state"),
        ("nobody/no-such-policy", {}, "nobody/no-such-policy is no folder here and could not be had from the hub"),
    ]
    for path, changes, reason in cases:
        with pytest.raises(PolicyLoadError, match=reason) as error:
            load(path, **changes)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 600


def test_weights_that_the_file_lacks_are_never_left_random(tiny_act: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_act, tmp_path / "holey")
    weights = load_file(tiny_act / "model.safetensors")
    del weights["model.action_head.bias"]
    save_file(weights, tmp_path / "holey" / "model.safetensors")
    with pytest.raises(PolicyLoadError, match=r"lacks 1 of \d+ weights \(first: model\.action_head\.bias\)"):
        load(tmp_path / "holey")


def test_parts_that_would_have_to_be_downloaded_are_named(tiny_smolvla: Path, tmp_path: Path, monkeypatch) -> None:
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)  # the adaptor itself must keep the load offline
    elsewhere = changed(tiny_smolvla, tmp_path / "elsewhere", vlm_model_name="nobody/no-such-vlm")
    with pytest.raises(PolicyLoadError, match="names parts that are not on this machine; set allow_download"):
        load(elsewhere)


def test_a_package_that_a_policy_needs_is_named(tiny_act: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def needs_more(_name):
        raise ImportError("'diffusers' is required but not installed")

    monkeypatch.setattr("so101_policy_server.lerobot.checkpoint_parts.get_policy_class", needs_more)
    with pytest.raises(PolicyLoadError, match="needs a package that is not installed: 'diffusers' is required"):
        load(tiny_act)


def test_the_hub_stays_out_of_reach_only_while_a_local_folder_loads(tiny_act: Path, monkeypatch) -> None:
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    during = []
    lerobot_policy.load_policy(PolicySource(str(tiny_act)), lambda text: during.append((text, hub.HF_HUB_OFFLINE)))
    assert ("loading weights", True) in during
    assert hub.HF_HUB_OFFLINE is False
