# SPDX-License-Identifier: Apache-2.0
"""Writes the policy of the bench: a small ACT with random weights, the same folder for both sides.

`python -m so101_bench.checkpoint FOLDER CAMERA...` - a program of its own, so that torch stays out of the bench.
Its size is that of the recorded baseline (0.2 M parameters and a ResNet18); what it decides does not matter, only that
it moves the arm a little in every row.
"""

import math
import sys

import torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies import make_pre_post_processors
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from so101_node.protocol import GRIPPER, HOME_POSITIONS

HEIGHT, WIDTH = 96, 128
CHUNK = 100  # so that --actions-per-chunk may be anything LeRobot allows

# The virtual arm's home, degrees and percent of the gripper; rows scatter a little around it.
HOME = [*(math.degrees(angle) for angle in HOME_POSITIONS[:GRIPPER]), 20.0]
SPREAD = 3.0


def write(
    folder: str, cameras: list[str], chunk: int = CHUNK, mean: list[float] = HOME, spread: float = SPREAD
) -> None:
    """Save configuration, weights and processors.

    Args:
        folder: where to.
        cameras: names as in PolicySpec.cameras.
        chunk: rows of a chunk.
        mean: joint positions that state and actions scatter around, (6,): degrees, percent of the gripper.
        spread: how far, one standard deviation.
    """
    torch.manual_seed(0)
    keys = [f"observation.images.{camera}" for camera in cameras]
    images = {key: PolicyFeature(FeatureType.VISUAL, (3, HEIGHT, WIDTH)) for key in keys}
    config = ACTConfig(
        device="cpu",
        push_to_hub=False,
        input_features={"observation.state": PolicyFeature(FeatureType.STATE, (6,)), **images},
        output_features={"action": PolicyFeature(FeatureType.ACTION, (6,))},
        chunk_size=chunk,
        n_action_steps=chunk,
        dim_model=64,
        n_heads=4,
        dim_feedforward=128,
        n_encoder_layers=1,
        n_decoder_layers=1,
        use_vae=False,
        vision_backbone="resnet18",
        pretrained_backbone_weights=None,
    )
    positions = {"mean": torch.tensor(mean), "std": torch.full((6,), spread)}
    statistics = {"observation.state": positions, "action": positions}
    for key in images:
        statistics[key] = {"mean": torch.full((3, 1, 1), 0.5), "std": torch.full((3, 1, 1), 0.25)}
    preprocessor, postprocessor = make_pre_post_processors(config, dataset_stats=statistics)
    for part in (ACTPolicy(config), preprocessor, postprocessor):
        part.save_pretrained(folder)


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2:])
