# SPDX-License-Identifier: Apache-2.0
"""Weights that a policy did not get from its file, in the ways of the policies that load in a way of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkpoint_changes import change_json, copy
from so101_policy_server.policy import PolicyLoadError, PolicySource

lerobot_policy = pytest.importorskip("so101_policy_server.lerobot.lerobot_policy", reason="LeRobot is not installed")

import tiny_vlas  # noqa: E402 - what needs LeRobot
from safetensors.torch import load_file, save_file  # noqa: E402

HEAD = "model.action_out_proj.bias"


def refused(folder: Path) -> str:
    with pytest.raises(PolicyLoadError) as error:
        lerobot_policy.load_policy(PolicySource(str(folder), torch_threads=1), lambda _text: None)
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.fixture
def pi0(tmp_path: Path) -> Iterator[Path]:
    try:
        source = tiny_vlas.cached("pi0")
    except ImportError as error:
        pytest.skip(str(error))
    with tiny_vlas.surroundings("pi0"):
        yield copy(source, tmp_path / "pi0")


def test_pi0_with_weights_that_lack_some_does_not_move_an_arm_at_random(pi0: Path) -> None:
    weights = load_file(pi0 / "model.safetensors")
    del weights[HEAD]
    save_file(weights, pi0 / "model.safetensors")
    text = refused(pi0)
    assert f"{pi0}: model.safetensors does not fit: " in text
    assert "Missing key(s)" in text and HEAD in text
    assert "LeRobot would go on with random weights" in text


def test_pi0_of_another_size_than_its_configuration_is_named_by_its_first_weight(pi0: Path) -> None:
    text = refused(change_json(pi0, "config.json", lambda config: config.update(max_action_dim=9)))
    assert "model.safetensors is of another configuration than config.json (first: model.action_in_proj.weight)" in text


def test_weights_of_another_shape_that_lerobot_would_leave_random_are_named_with_both_shapes(tmp_path: Path) -> None:
    try:
        folder = copy(tiny_vlas.cached("vla_jepa"), tmp_path / "vla_jepa")
    except ImportError as error:
        pytest.skip(str(error))
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in sorted(weights) if "action_decoder" in name and name.endswith("bias"))
    width = weights[name].shape[0]
    weights[name] = weights[name].new_zeros(width + 1)
    save_file(weights, folder / "model.safetensors")
    change_json(folder, "config.json", lambda config: config.update(reinit_modules=["model.action_model"]))
    text = refused(folder)
    assert "model.safetensors has 1 weights of another shape than config.json says" in text
    assert f"(first: {name}, ({width + 1},) in place of ({width},)): LeRobot would leave them random" in text


def test_an_own_load_state_dict_is_the_classs_own_again_afterwards(pi0: Path) -> None:
    from lerobot.policies import get_policy_class

    chosen = get_policy_class("pi0")
    lerobot_policy.load_policy(PolicySource(str(pi0), torch_threads=1), lambda _text: None)
    assert "load_state_dict" not in vars(chosen)


def test_molmoact2_that_names_no_head_runs_with_the_continuous_one(tmp_path: Path) -> None:
    try:
        folder = copy(tiny_vlas.cached("molmoact2"), tmp_path / "molmoact2")
    except ImportError as error:
        pytest.skip(str(error))
    change_json(folder, "config.json", lambda config: config.update(inference_action_mode=None))
    assert json.loads((folder / "config.json").read_text())["inference_action_mode"] is None
    loaded = lerobot_policy.load_policy(PolicySource(str(folder), torch_threads=1), lambda _text: None)
    assert loaded.description.supports_rtc, "only its continuous head continues a leftover"


def test_weights_that_the_configuration_has_no_place_for_are_a_warning(tiny_act: Path, tmp_path: Path) -> None:
    folder = copy(tiny_act, tmp_path / "deeper")
    weights = load_file(folder / "model.safetensors")
    name = "model.encoder.layers.1.linear1.bias"
    weights[name] = weights["model.encoder.layers.0.linear1.bias"].clone()
    save_file(weights, folder / "model.safetensors")
    (warning,) = lerobot_policy.load_policy(
        PolicySource(str(folder), torch_threads=1), lambda _text: None
    ).description.warnings
    assert f"has 1 that the policy of config.json has no place for (first: {name})" in warning
