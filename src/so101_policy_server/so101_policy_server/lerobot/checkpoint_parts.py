# SPDX-License-Identifier: Apache-2.0
"""LeRobot's side of a checkpoint: configuration, weights and processors, each refused in one line where it is wrong.

Part of the adaptor to LeRobot; only `lerobot_policy` imports this, and the doctor.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import lerobot.policies  # noqa: F401 - registers every policy type
import torch
from draccus.utils import DecodingError, DraccusException
from huggingface_hub import try_to_load_from_cache
from lerobot.configs import PreTrainedConfig
from lerobot.policies import get_policy_class, make_pre_post_processors
from lerobot.processor.pipeline import ProcessorMigrationError
from lerobot.utils.constants import OBS_IMAGES, OBS_STATE
from so101_node.fingerprint import FingerprintError, of_checkpoint

from so101_policy_server.errors import one_line
from so101_policy_server.lerobot.adapter import merge_adapter, told_of_base
from so101_policy_server.lerobot.checkpoint import CONFIG, MIGRATION, WEIGHTS, Checkpoint
from so101_policy_server.lerobot.files import HERE, without_fields, writer_of
from so101_policy_server.lerobot.kinds import resizes_itself, tells_training_size
from so101_policy_server.lerobot.loaded_weights import check_weights, refusing_random_weights
from so101_policy_server.lerobot.plugins import import_plugins
from so101_policy_server.policy import ImageFeature, PolicyDescription, PolicyLoadError, PolicySource


def load_config(checkpoint: Checkpoint, source: PolicySource) -> Any:
    """LeRobot's configuration of the checkpoint, for the device that was asked for."""
    import_plugins()
    with tempfile.TemporaryDirectory() as folder:
        place = checkpoint.config_path
        if source.ignored_config_fields and checkpoint.is_local:
            kept = without_fields(Path(place), source.ignored_config_fields)
            (Path(folder) / CONFIG).write_text(json.dumps(kept), encoding="utf-8")
            place = folder
        try:
            config = PreTrainedConfig.from_pretrained(place)
        except (DraccusException, ValueError, TypeError) as error:
            if not checkpoint.is_local:
                raise
            raise PolicyLoadError(_unreadable(checkpoint, error)) from error
    if source.policy_type not in ("", config.type):
        raise PolicyLoadError(f"policy_type = {source.policy_type}: {checkpoint.path} is of type {config.type}")
    config.use_peft = False  # an adapter is merged into its base, and a merged one may still say so
    config.device = source.device
    config.pretrained_path = checkpoint.path
    if hasattr(config, "pretrained_backbone_weights"):
        # Otherwise torchvision downloads ImageNet weights, only for the checkpoint to overwrite them.
        config.pretrained_backbone_weights = None
    if getattr(config, "inference_action_mode", "") is None:
        # MolmoAct2 has two heads and does not run until it is told which.
        config.inference_action_mode = "discrete" if config.action_mode == "discrete" else "continuous"
    return config


def _unreadable(checkpoint: Checkpoint, error: Exception) -> str:
    """What a value in config.json is that LeRobot does not take, without the words of its parser."""
    told = error if isinstance(error, DecodingError) else error.__cause__ or error
    reason = one_line(told)
    place = f"{Path(checkpoint.config_path) / CONFIG}: {HERE} does not take it: {reason}"
    return f"{place}; {writer_of(Path(checkpoint.config_path))}: correct what is named, or serve it with that LeRobot"


def load_weights(checkpoint: Checkpoint, config: Any) -> Any:
    """The policy itself, on its device, ready to infer."""
    whole = checkpoint.base or checkpoint
    chosen = get_policy_class(config.type)
    with told_of_base(checkpoint), refusing_random_weights(chosen, whole.path):
        policy = chosen.from_pretrained(whole.path, config=config)
    if whole.is_local:
        check_weights(whole, policy)
    if checkpoint.base is not None:
        policy = merge_adapter(policy, checkpoint.path, config.device)
    return policy.to(config.device).eval()


def load_processors(checkpoint: Checkpoint, config: Any, device: str) -> tuple[Any, Any]:
    """Pre- and postprocessor of the checkpoint."""
    get_policy_class(config.type)  # imports the policy's module, and with it the steps that it registers
    overrides: dict[str, Any] = {"device_processor": {"device": device}}
    try:
        return make_pre_post_processors(  # type: ignore[no-any-return]
            config, pretrained_path=checkpoint.processors_path, preprocessor_overrides=overrides
        )
    except KeyError:  # a pipeline without that step; batches are put on the device before it anyway
        return make_pre_post_processors(config, pretrained_path=checkpoint.processors_path)  # type: ignore[no-any-return]


def _empty_cameras(config: Any) -> set[str]:
    """Image features that stand for cameras nobody has: LeRobot masks them, because they are absent from the batch."""
    return {f"{OBS_IMAGES}.empty_camera_{index}" for index in range(getattr(config, "empty_cameras", 0))}


def describe(path: str, config: Any, device: str) -> PolicyDescription:
    """What the configuration says, refused where a robot with cameras and joints cannot give it."""
    images = []
    empty = _empty_cameras(config)
    for key, feature in config.image_features.items():
        if key in empty:
            continue
        if len(feature.shape) != 3 or feature.shape[0] != 3:
            raise PolicyLoadError(f"{path}: image {key} {_odd_shape(tuple(feature.shape))}")
        channels, height, width = feature.shape
        images.append(
            ImageFeature(
                key,
                key.rsplit(".", 1)[-1],
                channels,
                height,
                width,
                native=resizes_itself(config),
                trained_size=tells_training_size(config),
            )
        )
    known = {image.key for image in images} | empty | {OBS_STATE}
    foreign = [key for key in config.input_features if key not in known]
    if foreign:
        raise PolicyLoadError(f"{path} reads {', '.join(foreign)}, which no robot here gives")
    if config.action_feature is None:
        raise PolicyLoadError(f"{path} has no action feature")
    state = config.robot_state_feature
    return PolicyDescription(
        policy_type=config.type,
        path=path,
        device=device,
        horizon=0,
        images=tuple(images),
        state_dim=state.shape[0] if state is not None else 0,
        action_dim=config.action_feature.shape[0],
        n_obs_steps=config.n_obs_steps,
        action_names=tuple(getattr(config, "action_feature_names", None) or ()),
    )


def _odd_shape(shape: tuple[int, ...]) -> str:
    """What is wrong with the shape of an image feature: a robot's cameras give colour frames, (3, height, width)."""
    said = f"has shape {'x'.join(map(str, shape)) or '()'}"
    if len(shape) == 3 and shape[2] == 3:
        return (
            f"{said}, with the channels last: LeRobot's policies have them first; take config.json as LeRobot saved it"
        )
    if len(shape) == 3 and shape[0] in (1, 4):
        kind = "grey or depth" if shape[0] == 1 else "colour with depth"
        return f"{said} ({kind}): cameras here give three channels; train without it"
    return f"{said}: expected 3 x height x width"


def fingerprint_of(checkpoint: Checkpoint, statistics_from: Sequence[str] = ()) -> str:
    """The fingerprint of a checkpoint that was loaded, with its base; "" where its files are not found or readable.

    Those of a hub id are in the hub's cache then. Other statistics make other rows of the same weights.
    """
    parts = (checkpoint,) if checkpoint.base is None else (checkpoint, checkpoint.base)
    folders = []
    for part in parts:
        cached = part.path if part.is_local else try_to_load_from_cache(part.path, CONFIG)
        if not isinstance(cached, str):
            return ""
        folders.append(Path(cached) if part.is_local else Path(cached).parent)
    try:
        return of_checkpoint(folders[0], folders[1] if len(folders) > 1 else None, statistics_from)
    except FingerprintError:
        return ""


def check_device(device: str) -> None:
    """Refuse a device that this machine does not have."""
    kind = device.split(":")[0]
    if kind == "cuda" and not torch.cuda.is_available():
        raise PolicyLoadError(
            f"policy_device = {device}: no usable CUDA device on this machine; check nvidia-smi or set cpu"
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise PolicyLoadError(f"policy_device = {device}: no Apple GPU on this machine; set cpu")


@contextlib.contextmanager
def hub_access(*, offline: bool) -> Iterator[None]:
    """Keep LeRobot and transformers off the network while a local folder is loaded: no delay, no surprise download."""
    before = huggingface_hub.constants.HF_HUB_OFFLINE
    huggingface_hub.constants.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE = before


def explain(error: Exception, checkpoint: Checkpoint) -> str:
    """Whatever went wrong while loading, as one line with the remedy."""
    text = one_line(error)
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return f"{checkpoint.path}: out of GPU memory: {text}"
    if isinstance(error, ImportError):
        return f"{checkpoint.path} needs a package that is not installed: {text}"
    if isinstance(error, json.JSONDecodeError):
        return f"{checkpoint.path}: damaged JSON file: {text}"
    if isinstance(error, ProcessorMigrationError):
        return (
            f"{checkpoint.path} has no processors: made by a LeRobot before 0.5; `{MIGRATION} {checkpoint.path}` "
            "makes a folder that can be served, and names it"
        )
    if "size mismatch for" in text:
        first = text.partition("size mismatch for ")[2].partition(". size mismatch")[0].removesuffix(".")
        return (
            f"{checkpoint.path}: {WEIGHTS} is of another configuration than {CONFIG} (first: {first}): take both from "
            "one checkpoint"
        )
    if not checkpoint.is_local:
        return f"{checkpoint.path} is no folder here and could not be had from the hub: {text}"
    if "offline" in text.lower() or "outgoing traffic" in text.lower() or "cached" in text.lower():
        remedy = "set allow_download: true of policy_server once"
        return f"{checkpoint.path} names parts that are not on this machine; {remedy}: {text}"
    return f"{checkpoint.path}: {type(error).__name__}: {text}"
