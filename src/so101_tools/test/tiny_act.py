"""Writes a small ACT with random weights, no network needed: `python tiny_act.py FOLDER CAMERA...`."""

import sys

import torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies import make_pre_post_processors
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy

HEIGHT, WIDTH = 96, 128


def write(folder: str, cameras: list[str]) -> None:
    """Save config, weights and processors; actions are about 0 +- 30 degrees, whatever the cameras see."""
    torch.manual_seed(0)
    config = ACTConfig(
        device="cpu",
        push_to_hub=False,
        input_features={
            "observation.state": PolicyFeature(FeatureType.STATE, (6,)),
            **{
                f"observation.images.{camera}": PolicyFeature(FeatureType.VISUAL, (3, HEIGHT, WIDTH))
                for camera in cameras
            },
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (6,))},
        chunk_size=50,
        n_action_steps=50,
        dim_model=64,
        n_heads=4,
        dim_feedforward=128,
        n_encoder_layers=1,
        n_decoder_layers=1,
        use_vae=False,
        vision_backbone="resnet18",
        pretrained_backbone_weights=None,
    )
    spread = {"mean": torch.zeros(6), "std": torch.full((6,), 30.0)}
    statistics = {"observation.state": spread, "action": spread}
    for camera in cameras:
        statistics[f"observation.images.{camera}"] = {
            "mean": torch.full((3, 1, 1), 0.5),
            "std": torch.full((3, 1, 1), 0.25),
        }
    preprocessor, postprocessor = make_pre_post_processors(config, dataset_stats=statistics)
    for part in (ACTPolicy(config), preprocessor, postprocessor):
        part.save_pretrained(folder)


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2:])
