# SPDX-License-Identifier: Apache-2.0
"""What LeRobot's policies do with pictures, instructions and chunks that no configuration field says; tests hold it.

Part of the adaptor to LeRobot.
"""

from __future__ import annotations

from typing import Any, Final

from lerobot.processor import TokenizerProcessorStep

READS_FRAMES_AS_GIVEN: Final = frozenset({"act", "gaussian_actor", "tdmpc", "vqbet"})
"""Their image features have the size of the pictures that trained them; what crops does so after that."""

RESIZES_ALWAYS: Final = frozenset({"eo1", "fastwam", "groot", "lingbot_va", "molmoact2", "vla_jepa", "wall_x"})
"""eo1, wall_x and vla_jepa leave it to Qwen's processor (vla_jepa after resize_images_to, where that is set), molmoact2
and groot pad or crop in their own, fastwam and lingbot_va scale to image_size and height x width."""

RESIZES_WHERE_SET: Final = {
    "diffusion": "resize_shape",
    "evo1": "image_resolution",
    "multi_task_dit": "image_resize_shape",
    "pi0": "image_resolution",
    "pi05": "image_resolution",
    "pi0_fast": "image_resolution",
    "smolvla": "resize_imgs_with_padding",
    "xvla": "resize_imgs_with_padding",
}
"""By type: the field that names the size, where it is not None."""

STRETCHES_TRAINED_SIZE: Final = frozenset({"diffusion", "multi_task_dit"})
"""They scale without padding and are trained from nothing: their image features have the size of pictures in training.
The features of others may be those of the base model that was fine-tuned, 256x256 for SmolVLA's."""

BATCHES: Final = frozenset({"act", "diffusion", "multi_task_dit", "smolvla", "vqbet"})
"""Several observations stack on the batch dimension and give the same chunks as one by one; held by a test for each.
The others take one at a time: tdmpc plans for one, molmoact2 draws from its generator, the rest was not tried."""

NO_LANGUAGE: Final = frozenset({"act", "diffusion", "gaussian_actor", "tdmpc", "vqbet"})

NOT_SERVED: Final = {
    "gaussian_actor": "predicts one action at a time (reinforcement learning), never a chunk",
}
"""Types of LeRobot that cannot be served, and why."""

REMARKS: Final = {
    "act": "temporal ensembling belongs to `select_action`: here the action queue blends chunks (`aggregate_fn_name`)",
    "groot": "N1.7; relative actions too, which LeRobot's own tick-by-tick path refuses",
    "lingbot_va": "each chunk is the first of an episode: no memory of earlier ones, and the task is encoded each time",
    "molmoact2": "`inference_action_mode` is the continuous head unless the checkpoint names one or has none",
    "pi0_fast": "runs the code of its action tokenizer's repository: LeRobot's own, another by `accepted_findings`",
    "tdmpc": "one square frame under the key `observation.image`; plans a few rows, each time from nothing",
    "wall_x": "bfloat16 only; in its mode `fast` the same about code as pi0_fast",
}
"""By type: what a person should know before choosing it."""

CODE_REPOSITORIES: Final = frozenset({"lerobot/fast-action-tokenizer", "physical-intelligence/fast"})
"""Repositories whose code LeRobot runs (trust_remote_code) that are its own defaults."""

CODE_FIELDS: Final = ("action_tokenizer_name", "action_tokenizer_path")
"""Fields, of configurations and of processor steps, that name such a repository."""


def resizes_itself(config: Any) -> bool:
    """Whether the policy brings pictures of any size to its own, as it did in training with those of the cameras."""
    if config.type in RESIZES_ALWAYS:
        return True
    if config.type in READS_FRAMES_AS_GIVEN:
        return False
    named = RESIZES_WHERE_SET.get(config.type)
    fields = [named] if named else sorted({*RESIZES_WHERE_SET.values(), "resize_images_to"})
    return any(getattr(config, field, None) is not None for field in fields)


def tells_training_size(config: Any) -> bool:
    """Whether the image features have the size of the pictures that trained the policy."""
    return not resizes_itself(config) or config.type in STRETCHES_TRAINED_SIZE


def reads_language(config: Any, preprocessor: Any) -> bool:
    """Whether the policy does as the task says: its preprocessor makes tokens of it, or it is one that LeRobot has."""
    if any(isinstance(step, TokenizerProcessorStep) for step in preprocessor.steps):
        return True
    known = type(config).__module__.startswith("lerobot.")
    return known and config.type not in NO_LANGUAGE


def played(config: Any, chunk: Any) -> Any:
    """A chunk, (1, rows, joints), as the policy's own `select_action` plays it.

    TD-MPC gives (rows, 1, joints), the whole plan, and plays its first row several times or its first few rows.
    """
    if config.type != "tdmpc":
        return chunk
    rows = chunk.transpose(0, 1)
    repeats = config.n_action_repeats
    return rows[:, :1].repeat(1, repeats, 1) if repeats > 1 else rows[:, : config.n_action_steps]
