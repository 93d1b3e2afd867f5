# SPDX-License-Identifier: Apache-2.0
"""Real LeRobot checkpoints with random weights, small enough for tests, made without any network.

python tiny_policies.py act FOLDER
python tiny_policies.py smolvla FOLDER
"""

from __future__ import annotations

import fcntl
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

CAMERAS = ("front", "wrist", "top")
HEIGHT, WIDTH = 48, 64
JOINTS = 6
HORIZON = 50
STATE, ACTION = "observation.state", "action"


def place() -> Path:
    """The folder that keeps all of them on this machine."""
    return Path(tempfile.gettempdir()) / f"so101_tiny_policies_{version('lerobot')}_5"


def cached(kind: str, make: Callable[[Path], None] | None = None) -> Path:
    """The checkpoint of this kind ("act", "smolvla"), made at the first call on this machine, by `make` if given."""
    folder = place()
    folder.mkdir(exist_ok=True)
    done = folder / f"{kind}.done"
    with (folder / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests of several processes may come here at once
        if not done.exists():
            shutil.rmtree(folder / kind, ignore_errors=True)
            (make or MAKERS[kind])(folder / kind)
            done.touch()
    return folder / kind


def make_act(folder: Path) -> None:
    """ACT of width 64 on a random ResNet18, three cameras, chunks of 50."""
    import torch
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy

    torch.manual_seed(0)
    config = ACTConfig(
        **features(),
        chunk_size=HORIZON,
        n_action_steps=HORIZON,
        dim_model=64,
        n_heads=4,
        dim_feedforward=128,
        n_encoder_layers=1,
        n_decoder_layers=1,
        n_vae_encoder_layers=1,
        latent_dim=8,
        pretrained_backbone_weights=None,
    )
    save(ACTPolicy(config), folder)


def make_smolvla(folder: Path) -> None:
    """SmolVLA with a vision-language model of 0.1 million weights next to it, in FOLDER + "_vlm"."""
    import torch
    from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
    from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy

    vlm = folder.with_name(folder.name + "_vlm")
    _make_vlm(vlm)
    torch.manual_seed(0)
    config = SmolVLAConfig(
        **features(),
        vlm_model_name=str(vlm),
        load_vlm_weights=False,
        chunk_size=HORIZON,
        n_action_steps=HORIZON,
        max_state_dim=8,
        max_action_dim=8,
        resize_imgs_with_padding=(64, 64),
        num_vlm_layers=2,
        num_expert_layers=-1,
        expert_width_multiplier=0.5,
        tokenizer_max_length=24,
        num_steps=4,
    )
    save(SmolVLAPolicy(config), folder)


def make_vqbet(folder: Path) -> None:
    """VQ-BeT, which reads three observation steps of one camera."""
    import torch
    from lerobot.policies.vqbet.configuration_vqbet import VQBeTConfig
    from lerobot.policies.vqbet.modeling_vqbet import VQBeTPolicy

    torch.manual_seed(0)
    config = VQBeTConfig(
        **features(cameras=("front",)),
        n_obs_steps=3,
        n_action_pred_token=3,
        action_chunk_size=5,
        crop_shape=(40, 56),
        pretrained_backbone_weights=None,
        vqvae_embedding_dim=16,
        vqvae_enc_hidden_dim=16,
        gpt_input_dim=32,
        gpt_output_dim=32,
        gpt_n_layer=1,
        gpt_n_head=2,
        gpt_hidden_dim=32,
        spatial_softmax_num_keypoints=4,
    )
    policy = VQBeTPolicy(config)
    policy.vqbet.action_head.vqvae_model.discretized.fill_(True)
    save(policy, folder)


def make_diffusion(folder: Path, steps: int = 2) -> None:
    """Diffusion policy, which reads two observation steps of three cameras."""
    import torch
    from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
    from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy

    torch.manual_seed(0)
    config = DiffusionConfig(
        **features(),
        n_obs_steps=steps,
        horizon=16,
        n_action_steps=12,
        down_dims=(16, 32),
        kernel_size=3,
        n_groups=4,
        diffusion_step_embed_dim=16,
        num_train_timesteps=4,
        spatial_softmax_num_keypoints=4,
        pretrained_backbone_weights=None,
    )
    save(DiffusionPolicy(config), folder)


def make_multi_task_dit(folder: Path) -> None:
    """Multi-task DiT, which reads two observation steps and the task, with a CLIP of its size in FOLDER + "_clip"."""
    import torch
    from lerobot.policies.multi_task_dit.configuration_multi_task_dit import MultiTaskDiTConfig
    from lerobot.policies.multi_task_dit.modeling_multi_task_dit import MultiTaskDiTPolicy

    clip = folder.with_name(folder.name + "_clip")
    _make_clip(clip)
    torch.manual_seed(0)
    config = MultiTaskDiTConfig(
        **features(),
        horizon=16,
        n_action_steps=12,
        num_train_timesteps=4,
        hidden_dim=32,
        num_layers=1,
        num_heads=2,
        timestep_embed_dim=16,
        vision_encoder_name=str(clip),
        text_encoder_name=str(clip),
        tokenizer_max_length=16,
        image_crop_shape=(32, 32),
    )
    save(MultiTaskDiTPolicy(config), folder)


def features(cameras: tuple[str, ...] = CAMERAS) -> dict:
    """The features of an SO-101 with these cameras, and the CPU."""
    from lerobot.configs import FeatureType, PolicyFeature

    images = {
        f"observation.images.{camera}": PolicyFeature(FeatureType.VISUAL, (3, HEIGHT, WIDTH)) for camera in cameras
    }
    return {
        "device": "cpu",
        "push_to_hub": False,
        "input_features": {STATE: PolicyFeature(FeatureType.STATE, (JOINTS,)), **images},
        "output_features": {ACTION: PolicyFeature(FeatureType.ACTION, (JOINTS,))},
    }


def save(policy, folder: Path) -> None:
    """The checkpoint as LeRobot itself writes it, with statistics of plausible joints."""
    import torch
    from lerobot.policies import make_pre_post_processors

    joints = {
        "mean": torch.arange(JOINTS, dtype=torch.float32),
        "std": torch.full((JOINTS,), 30.0),
        "min": torch.full((JOINTS,), -100.0),
        "max": torch.full((JOINTS,), 100.0),
        "q01": torch.full((JOINTS,), -30.0),
        "q99": torch.full((JOINTS,), 30.0),
    }
    image = {
        "mean": torch.full((3, 1, 1), 0.5),
        "std": torch.full((3, 1, 1), 0.25),
        "min": torch.zeros((3, 1, 1)),
        "max": torch.ones((3, 1, 1)),
    }
    stats = {STATE: joints, ACTION: joints, **{f"observation.images.{camera}": image for camera in CAMERAS}}
    preprocessor, postprocessor = make_pre_post_processors(policy.config, dataset_stats=stats)
    policy.save_pretrained(folder)
    preprocessor.save_pretrained(folder)
    postprocessor.save_pretrained(folder)


def _make_clip(folder: Path) -> None:
    import json

    from transformers import CLIPConfig, CLIPModel, CLIPTokenizerFast

    folder.mkdir(exist_ok=True)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    tokenizer = CLIPTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"))
    tokenizer.save_pretrained(folder)
    tower = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1, "pad_token_id": len(words) - 1}
    text = {**tower, **ids, "vocab_size": len(words), "max_position_embeddings": 32}
    vision = {**tower, "image_size": 32, "patch_size": 16}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).save_pretrained(folder)


def _make_vlm(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        PreTrainedTokenizerFast,
        SmolVLMConfig,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    extra = {
        "fake_image_token": "<fake_token_around_image>",
        "image_token": "<image>",
        "global_image_token": "<global-img>",
        "end_of_utterance_token": "<end_of_utterance>",
        "video_token": "<video>",
    }
    model = Tokenizer(models.BPE(unk_token=None))
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", *extra.values()],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator(["pick the cube to place\n"] * 4, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=model,
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        pad_token="<|im_start|>",
        unk_token="<|endoftext|>",
        extra_special_tokens=extra,
    )
    size, patch, scale = 64, 16, 2
    config = SmolVLMConfig(
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
        scale_factor=scale,
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": size,
            "patch_size": patch,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "max_position_embeddings": 512,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
    )
    edge = {"longest_edge": size}
    processor = SmolVLMProcessor(
        SmolVLMImageProcessor(size=edge, max_image_size=edge, do_image_splitting=False),
        tokenizer,
        SmolVLMVideoProcessor(size=edge, max_image_size=edge),
        image_seq_len=(size // patch) ** 2 // scale**2,
    )
    config.save_pretrained(folder)
    processor.save_pretrained(folder)


MAKERS: dict[str, Callable[[Path], None]] = {
    "act": make_act,
    "smolvla": make_smolvla,
    "vqbet": make_vqbet,
    "diffusion": make_diffusion,
    "diffusion_1": partial(make_diffusion, steps=1),
    "multi_task_dit": make_multi_task_dit,
}

if __name__ == "__main__":
    MAKERS[sys.argv[1]](Path(sys.argv[2]))
