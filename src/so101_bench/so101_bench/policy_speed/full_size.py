# SPDX-License-Identifier: Apache-2.0
"""SmolVLA in its full size with random weights, made without any network.

The sizes are those of SmolVLM2-500M, of which SmolVLA takes the first 16 layers. How long a pass takes depends on them
and not on what the weights are; what the chunk is does not matter, only that it is of the usual size.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies import make_pre_post_processors
from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
)

CAMERAS: Final = ("front", "wrist", "top")
HEIGHT, WIDTH = 480, 640
JOINTS: Final = 6
LAYERS: Final = 16
_POOL: Final = 1 << 22
_SPECIAL: Final = {
    "fake_image_token": "<fake_token_around_image>",
    "image_token": "<image>",
    "global_image_token": "<global-img>",
    "end_of_utterance_token": "<end_of_utterance>",
    "video_token": "<video>",
}


def make(folder: Path) -> tuple[SmolVLAPolicy, Any, Any]:
    """The policy, in float32 on the CPU, with its pre- and postprocessor.

    Args:
        folder: for the configuration and tokenizer of the vision-language model; must exist.
    """
    _write_vlm(folder)
    pictures = {f"observation.images.{name}": PolicyFeature(FeatureType.VISUAL, (3, HEIGHT, WIDTH)) for name in CAMERAS}
    config = SmolVLAConfig(
        device="cpu",
        push_to_hub=False,
        input_features={"observation.state": PolicyFeature(FeatureType.STATE, (JOINTS,)), **pictures},
        output_features={"action": PolicyFeature(FeatureType.ACTION, (JOINTS,))},
        vlm_model_name=str(folder),
        load_vlm_weights=False,
        pad_language_to="max_length",  # as in lerobot/smolvla_base
        num_vlm_layers=LAYERS,
    )
    with torch.device("meta"):  # else seconds go into an initialisation that is overwritten
        policy = SmolVLAPolicy(config)
    policy = policy.to_empty(device="cpu").eval()
    _fill(policy)
    joints = {"mean": torch.zeros(JOINTS), "std": torch.full((JOINTS,), 30.0)}
    before, after = make_pre_post_processors(config, dataset_stats={"observation.state": joints, "action": joints})
    return policy, before, after


def _fill(policy: torch.nn.Module) -> None:
    """Random weights that keep numbers at their size from layer to layer; cut from one pool, at another place each."""
    pool = torch.randn(_POOL, generator=torch.Generator().manual_seed(0))
    start = 0
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if weight.ndim < 2:
                weight.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
                continue
            scale = 0.02 if "embed" in name else 1 / math.sqrt(weight[0].numel())
            flat, done = weight.view(-1), 0
            while done < len(flat):
                count = min(len(flat) - done, _POOL - start)
                torch.mul(pool[start : start + count], scale, out=flat[done : done + count])
                done, start = done + count, (start + count) % _POOL
            start = (start + 7919) % _POOL


def _write_vlm(folder: Path) -> None:
    words = ["<|endoftext|>", "<|im_start|>", *_SPECIAL.values(), *sorted(pre_tokenizers.ByteLevel.alphabet())]
    model = Tokenizer(models.BPE(vocab={word: number for number, word in enumerate(words)}, merges=[]))
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=model,
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        pad_token="<|im_start|>",
        unk_token="<|endoftext|>",
        extra_special_tokens=_SPECIAL,
    )
    ids = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id}
    config = SmolVLMConfig(
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
        scale_factor=4,
        vision_config={
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "image_size": 512,
            "patch_size": 16,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": 49280,
            "hidden_size": 960,
            "intermediate_size": 2560,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": 15,
            "num_key_value_heads": 5,
            "head_dim": 64,
            "max_position_embeddings": 8192,
            "rms_norm_eps": 1e-5,
            "eos_token_id": tokenizer.eos_token_id,
            **ids,
        },
    )
    edge = {"longest_edge": 512}
    processor = SmolVLMProcessor(
        SmolVLMImageProcessor(size=edge, max_image_size=edge, do_image_splitting=False),
        tokenizer,
        SmolVLMVideoProcessor(size=edge, max_image_size=edge),
        image_seq_len=64,
    )
    config.save_pretrained(folder)
    processor.save_pretrained(folder)
