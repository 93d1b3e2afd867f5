# SPDX-License-Identifier: Apache-2.0
"""LeRobot's ACT as this recipe builds it, and its folder on disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies import make_pre_post_processors
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from safetensors.torch import load_file, save_file
from so101_node.protocol import JOINT_NAMES
from torch import Tensor
from torchvision.ops.misc import FrozenBatchNorm2d

from so101_training.policy.dataset import ACTION, IMAGES, STATE
from so101_training.policy.recipe import ModelRecipe, ObservationRecipe

WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "training_card.json"

# Small tensors (biases, norms) gain nothing in half precision, and the running variance would lose.
_SMALLEST_HALVED = 4096


def new_policy(observation: ObservationRecipe, model: ModelRecipe) -> ACTPolicy:
    """An untrained policy on the CPU. Seed torch before."""
    joints = PolicyFeature(FeatureType.STATE, (len(JOINT_NAMES),))
    image = PolicyFeature(FeatureType.VISUAL, (3, observation.height, observation.width))
    config = ACTConfig(
        device="cpu",
        push_to_hub=False,
        input_features={STATE: joints, **{IMAGES + camera: image for camera in observation.cameras}},
        output_features={ACTION: PolicyFeature(FeatureType.ACTION, (len(JOINT_NAMES),))},
        chunk_size=model.chunk_size,
        n_action_steps=model.chunk_size,
        dim_model=model.dim_model,
        n_heads=model.heads,
        dim_feedforward=model.dim_feedforward,
        n_encoder_layers=model.encoder_layers,
        # The expert is deterministic but for millimetres of jitter: there is no style to encode.
        use_vae=False,
        pretrained_backbone_weights=None,
    )
    return ACTPolicy(config)


def policy_to_go_on_from(folder: Path) -> tuple[ACTPolicy, dict[str, Any]]:
    """A trained policy, in single precision, and the statistics that its processors normalise with.

    OSError, ValueError if the folder holds no LeRobot policy.
    """
    policy = ACTPolicy.from_pretrained(folder).float()
    stats: dict[str, Any] = {}
    for file in folder.glob("policy_preprocessor*_normalizer_processor.safetensors"):
        for name, value in load_file(file).items():
            feature, _, figure = name.rpartition(".")
            stats.setdefault(feature, {})[figure] = value
    return policy, stats


def calibrate_batch_norm(policy: ACTPolicy, images: list[Tensor]) -> None:
    """Set the backbone's frozen batch norms from data, layer by layer.

    LeRobot freezes them because it starts from ImageNet weights. From random weights they would stay at mean 0 and
    variance 1 forever, and the signal would explode through the layers. images: (N, 3, height, width), normalised.
    """

    def measure(layer: Any, inputs: tuple[Tensor, ...]) -> None:
        layer.running_mean.copy_(inputs[0].mean((0, 2, 3)))
        layer.running_var.copy_(inputs[0].var((0, 2, 3)) + 1e-5)

    norms = [layer for layer in policy.modules() if isinstance(layer, FrozenBatchNorm2d)]
    hooks = [layer.register_forward_pre_hook(measure) for layer in norms]
    with torch.no_grad():
        policy.model.backbone(torch.cat(images))
    for hook in hooks:
        hook.remove()


class SharedBackbone:
    """Sends the images of all cameras through the backbone in one pass instead of one pass each.

    ACT calls its backbone camera by camera. With frozen batch norm samples do not touch each other, so one pass over
    all gives the same numbers, and its weight gradients are summed once instead of twice: 300 ms of CPU a step
    against 373 ms. The policy given here can only train from now on.
    """

    def __init__(self, policy: ACTPolicy) -> None:
        self._keys = list(policy.config.image_features)
        self._backbone = policy.model.backbone
        self._whole_pass = self._backbone.forward
        self._maps: list[Tensor] = []
        self._backbone.forward = self._next_map

    def see(self, batch: dict[str, Tensor]) -> None:
        """Run the backbone on all images of the batch; to be called right before the policy's forward."""
        images = [batch[key] for key in self._keys]
        self._maps = list(self._whole_pass(torch.cat(images))["feature_map"].split(len(images[0])))

    def _next_map(self, _images: Tensor) -> dict[str, Tensor]:
        return {"feature_map": self._maps.pop(0)}


def save_policy(folder: Path, policy: ACTPolicy, stats: dict[str, Any], card: dict[str, Any]) -> None:
    """Write LeRobot's pretrained folder, weights in fp16, and the training card; replaces `folder` in one step."""
    work = folder.with_name(folder.name + ".part")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    policy.save_pretrained(work)
    weights = load_file(work / WEIGHTS_FILE)
    save_file(
        {name: value.half() if value.numel() >= _SMALLEST_HALVED else value for name, value in weights.items()},
        work / WEIGHTS_FILE,
        metadata={"format": "pt"},
    )
    for pipeline in make_pre_post_processors(policy.config, dataset_stats=stats):
        pipeline.save_pretrained(work)
    (work / CARD_FILE).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    if folder.exists():
        old = folder.with_name(folder.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        folder.replace(old)
        work.replace(folder)
        shutil.rmtree(old)
    else:
        work.replace(folder)
