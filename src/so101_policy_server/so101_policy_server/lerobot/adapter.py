# SPDX-License-Identifier: Apache-2.0
"""PEFT adapters (LoRA and its like): loaded on their base policy and merged into it, in memory.

Part of the adaptor to LeRobot; only `checkpoint_parts` and `lerobot_policy` import this. peft is imported when an
adapter is to be loaded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError
from safetensors import safe_open

from so101_policy_server.errors import one_line
from so101_policy_server.lerobot.checkpoint import ADAPTER_CONFIG, ADAPTER_WEIGHTS, Checkpoint, find_checkpoint
from so101_policy_server.policy import PolicyLoadError


def fetch_adapter(checkpoint: Checkpoint, base: str) -> Checkpoint:
    """A hub id that is an adapter, as a folder of this machine; any other checkpoint as it is."""
    if checkpoint.is_local:
        return checkpoint
    try:
        hf_hub_download(checkpoint.path, ADAPTER_CONFIG)
    except (EntryNotFoundError, OSError):  # none there, or offline and none in the cache
        return checkpoint
    return find_checkpoint(snapshot_download(checkpoint.path), base)


@contextlib.contextmanager
def told_of_base(checkpoint: Checkpoint) -> Iterator[None]:
    """Name the base of an adapter where it cannot be had, and what to set."""
    base = checkpoint.base
    try:
        yield
    except OSError as error:
        if base is None or base.is_local:
            raise
        raise PolicyLoadError(
            f"{checkpoint.path} is a PEFT adapter of {base.path}, which is neither a folder here nor in the cache of "
            f"the hub: set allow_download once, or base_model_name_or_path to a folder that holds it: {one_line(error)}"
        ) from error


def merge_adapter(policy: Any, folder: str, device: str) -> Any:
    """The policy with the adapter's changes merged into its weights.

    Raises:
        PolicyLoadError: the adapter cannot be merged, or does not fit this policy.
    """
    try:
        from peft import PeftConfig, PeftModel, get_peft_model_state_dict
    except ImportError as error:
        raise PolicyLoadError(
            f"{folder} is a PEFT adapter, and peft is not installed: `./so101 setup server`"
        ) from error
    config = PeftConfig.from_pretrained(folder)
    if config.is_prompt_learning:
        raise PolicyLoadError(f"{folder} is a PEFT adapter of type {config.peft_type.value}, which cannot be merged")
    try:
        adapted = PeftModel.from_pretrained(policy, folder, config=config, torch_device=device)
    except (KeyError, RuntimeError, ValueError) as error:
        raise PolicyLoadError(f"{folder} does not fit its base policy: {one_line(error)}") from error
    with safe_open(Path(folder) / ADAPTER_WEIGHTS, framework="pt") as file:
        stored = set(file.keys())
    # peft only warns about these, and an adapter that is not there changes nothing: the base would move the arm.
    wanted = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    foreign = [name for name in sorted(stored - wanted) if "embed" not in name]
    lacking = sorted(wanted - stored)
    if lacking or foreign:
        odd = f"lacks {len(lacking)} (first: {lacking[0]})" if lacking else f"has {len(foreign)} (first: {foreign[0]})"
        raise PolicyLoadError(
            f"{folder} does not fit its base policy: {ADAPTER_WEIGHTS} {odd} of weights that the base's modules "
            f"{'need' if lacking else 'have no place for'}; set base_model_name_or_path to the policy it was trained on"
        )
    try:
        return adapted.merge_and_unload(safe_merge=True)
    except (AttributeError, NotImplementedError, ValueError) as error:
        raise PolicyLoadError(f"{folder} cannot be merged into its base policy: {one_line(error)}") from error
