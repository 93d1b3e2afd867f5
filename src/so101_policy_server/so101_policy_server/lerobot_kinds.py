"""What LeRobot's policies do with pictures and instructions that no configuration field says; held by a test over all.

Part of the adaptor to LeRobot.
"""

from __future__ import annotations

from typing import Any, Final

from lerobot.processor import TokenizerProcessorStep

READS_PICTURES_AS_GIVEN: Final = frozenset({"act", "gaussian_actor", "tdmpc", "vqbet"})
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

NO_LANGUAGE: Final = frozenset({"act", "diffusion", "gaussian_actor", "tdmpc", "vqbet"})


def resizes_itself(config: Any) -> bool:
    """Whether the policy brings pictures of any size to its own, as it did in training with those of the cameras."""
    if config.type in RESIZES_ALWAYS:
        return True
    if config.type in READS_PICTURES_AS_GIVEN:
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
