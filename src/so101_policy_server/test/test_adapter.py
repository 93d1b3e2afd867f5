# SPDX-License-Identifier: Apache-2.0
"""PEFT adapters, saved as LeRobot saves them, against peft's own unmerged forward."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from so101_policy_server.policy import PolicyLoadError, PolicySource

lerobot_policy = pytest.importorskip("so101_policy_server.lerobot.lerobot_policy", reason="LeRobot is not installed")
peft = pytest.importorskip("peft", reason="peft is not installed")

from test_lerobot_policy import load, observe  # noqa: E402 - what needs LeRobot

TARGETS = {
    "act": {"target_modules": r"model\.encoder\.layers\..*\.linear[12]", "modules_to_save": ["action_head"]},
    "smolvla": {},  # LeRobot's own for SmolVLA
}
LORA = {"r": 4, "lora_alpha": 16, "init_lora_weights": False}  # random instead of zero: it must change something


def make_adapter(kind: str, base: Path, folder: Path) -> Any:
    """Wrap, change and save as lerobot-train does with --peft; return peft's own model."""
    import torch
    from lerobot.configs import PreTrainedConfig
    from lerobot.policies import get_policy_class

    config = PreTrainedConfig.from_pretrained(base)
    config.pretrained_path = str(base)
    if kind == "act":
        config.pretrained_backbone_weights = None
    policy = get_policy_class(config.type).from_pretrained(base, config=config)
    torch.manual_seed(5)
    options = {**(policy._get_default_peft_targets() or {}), **TARGETS[kind], **LORA}
    adapted = policy.wrap_with_peft(peft_config=peft.LoraConfig(**options))
    with torch.no_grad():
        for name, weights in adapted.named_parameters():
            if "modules_to_save" in name:
                weights.add_(0.05 * torch.randn_like(weights))
    adapted.save_pretrained(folder)
    adapted.config.save_pretrained(folder)
    for file in base.glob("policy_*"):
        shutil.copy(file, folder)
    assert not (folder / "model.safetensors").exists()
    return adapted.eval()


@pytest.fixture(scope="module", params=["act", "smolvla"])
def made(request: pytest.FixtureRequest, tiny_checkpoint: Callable, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    base, folder = tiny_checkpoint(request.param), tmp_path_factory.mktemp(request.param) / "lora"
    return base, folder, make_adapter(request.param, base, folder)


def chunk(policy: Any) -> np.ndarray:
    import torch

    torch.manual_seed(3)
    return policy.infer(observe(policy), None).actions


def test_a_merged_adapter_gives_what_peft_gives_without_merging(made) -> None:
    base, folder, unmerged = made
    merged = load(folder)
    assert merged.description.path == str(folder)
    assert merged.description.warnings == ()
    rows = chunk(merged)
    reference = load(base)
    of_the_base = chunk(reference)
    whole, reference._policy = reference._policy, unmerged.base_model.model  # the policy with peft's layers in it
    if merged.description.supports_rtc:
        reference._policy.config.rtc_config = whole.config.rtc_config
        reference._policy.init_rtc_processor()
    expected = chunk(reference)
    assert np.abs(rows - of_the_base).max() > 1.0, "degrees: the adapter does change what the base does"
    assert np.abs(rows - expected).max() < 0.01
    assert not any("lora" in name for name, _ in merged._policy.named_modules()), "merged: nothing of peft is left"


def test_an_adapter_whose_base_moved_is_loaded_from_where_it_is_set(made, tmp_path: Path) -> None:
    _, folder, _ = made
    moved = shutil.copytree(folder, tmp_path / "lora")
    config = json.loads((moved / "adapter_config.json").read_text())
    base, config["base_model_name_or_path"] = config["base_model_name_or_path"], "/srv/alice/base"
    (moved / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(PolicyLoadError, match="/srv/alice/base, which is not on this machine"):
        load(moved)
    loaded = load(moved, base_model_name_or_path=base)
    assert np.array_equal(chunk(loaded), chunk(load(folder)))
    assert loaded.description.warnings
    assert "the adapter was trained on /srv/alice/base" in loaded.description.warnings[0]


def test_a_base_that_is_not_in_the_hubs_cache_is_named_with_what_to_set(made, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    _, folder, _ = made
    with pytest.raises(PolicyLoadError) as error:
        load(folder, base_model_name_or_path="nobody/no-such-base")
    text = str(error.value)
    assert (
        "is a PEFT adapter of nobody/no-such-base, which is neither a folder here nor in the cache of the hub" in text
    )
    assert "set allow_download once, or base_model_name_or_path to a folder" in text


def test_an_adapter_and_its_base_are_loaded_from_the_hubs_cache(made, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    base, folder, _ = made
    for name, source in (("base", base), ("lora", folder)):
        repository = tmp_path / f"models--alice--{name}"
        shutil.copytree(source, repository / "snapshots" / "0123")
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text("0123")
    config = tmp_path / "models--alice--lora" / "snapshots" / "0123" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": "alice/base"}))
    assert np.array_equal(chunk(load("alice/lora")), chunk(load(folder)))


def test_an_adapter_that_lacks_weights_does_not_leave_the_base_to_move_the_arm(made, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    _, folder, _ = made
    broken = shutil.copytree(folder, tmp_path / "lora")
    weights = load_file(broken / "adapter_model.safetensors")
    first = sorted(name for name in weights if "lora_B" in name)[0]
    save_file({name: value for name, value in weights.items() if name != first}, broken / "adapter_model.safetensors")
    with pytest.raises(PolicyLoadError, match=rf"does not fit its base policy.*lacks 1 \(first: {first}\)"):
        load(broken)
    save_file({f"wrong.{name}": value for name, value in weights.items()}, broken / "adapter_model.safetensors")
    with pytest.raises(PolicyLoadError, match="does not fit its base policy"):
        load(broken)


def test_whole_weights_whose_configuration_says_use_peft_are_served(tiny_act: Path, tmp_path: Path) -> None:
    merged = shutil.copytree(tiny_act, tmp_path / "merged")
    config = json.loads((merged / "config.json").read_text())
    (merged / "config.json").write_text(json.dumps({**config, "use_peft": True}))
    assert np.array_equal(chunk(load(merged)), chunk(load(tiny_act)))


def test_the_base_of_the_servers_own_adapter_is_not_that_of_another_robots_policy() -> None:
    from so101_policy_server.core.policy_choice import PolicyChoice

    own = PolicySource("models/lora", base_model_name_or_path="models/base")
    other = PolicyChoice(own, ("models/*",)).source("models/other")
    assert other == replace(own, path="models/other", base_model_name_or_path="")
