"""Writes the policy of the bench: a small ACT with random weights, the same folder for both sides.

`python -m so101_tools.bench.checkpoint FOLDER CAMERA...` - a program of its own, so that torch stays out of the bench.
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

HEIGHT, WIDTH = 96, 128
CHUNK = 100  # so that --actions-per-chunk may be anything LeRobot allows

# Mean pose, rad (the virtual arm's home) and percent of the gripper; rows scatter a few degrees around it.
HOME_RAD = (0.0, -1.2, 1.1, 1.0, 0.0)
GRIPPER_PERCENT = 20.0
SPREAD_DEG = 3.0


def write(folder: str, cameras: list[str]) -> None:
    """Save configuration, weights and processors."""
    torch.manual_seed(0)
    keys = [f"observation.images.{camera}" for camera in cameras]
    images = {key: PolicyFeature(FeatureType.VISUAL, (3, HEIGHT, WIDTH)) for key in keys}
    config = ACTConfig(
        device="cpu",
        push_to_hub=False,
        input_features={"observation.state": PolicyFeature(FeatureType.STATE, (6,)), **images},
        output_features={"action": PolicyFeature(FeatureType.ACTION, (6,))},
        chunk_size=CHUNK,
        n_action_steps=CHUNK,
        dim_model=64,
        n_heads=4,
        dim_feedforward=128,
        n_encoder_layers=1,
        n_decoder_layers=1,
        use_vae=False,
        vision_backbone="resnet18",
        pretrained_backbone_weights=None,
    )
    mean = torch.tensor([*(math.degrees(angle) for angle in HOME_RAD), GRIPPER_PERCENT])
    pose = {"mean": mean, "std": torch.full((6,), SPREAD_DEG)}
    statistics = {"observation.state": pose, "action": pose}
    for key in images:
        statistics[key] = {"mean": torch.full((3, 1, 1), 0.5), "std": torch.full((3, 1, 1), 0.25)}
    preprocessor, postprocessor = make_pre_post_processors(config, dataset_stats=statistics)
    for part in (ACTPolicy(config), preprocessor, postprocessor):
        part.save_pretrained(folder)


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2:])
