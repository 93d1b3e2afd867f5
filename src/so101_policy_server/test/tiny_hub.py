# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the models that policies name: the real classes with random weights, small, in folders as the hub's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMMIT = "0" * 40
SENTENCE = "pick the cube to place\n"
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


def snapshot(repository: str) -> str:
    """Where the hub's cache keeps a repository, below the cache."""
    return f"models--{repository.replace('/', '--')}/snapshots/{COMMIT}"


def publish(cache: Path, repository: str, write: Callable[[Path], Any]) -> None:
    """Put a stand-in into a cache of the hub, unless it is there."""
    folder = cache / snapshot(repository)
    done = folder.parents[1] / "refs" / "main"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write(folder)
        done.parent.mkdir(exist_ok=True)
        done.write_text(COMMIT, encoding="utf-8")


def write_tokenizer(folder: Path, *extra: str, kind: str = "", **special: str) -> Any:
    """A byte-level tokenizer with these special tokens, those of `special` by their roles such as `pad_token`.

    `kind`: the model type of the config.json beside it, which tells transformers that this is a folder of its own.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    model = Tokenizer(models.BPE(unk_token=None))
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    known = list(dict.fromkeys([*special.values(), *extra]))
    trainer = trainers.BpeTrainer(
        vocab_size=280 + len(known),
        special_tokens=known,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator([SENTENCE] * 4, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=model, additional_special_tokens=list(extra), **special)
    tokenizer.save_pretrained(folder)
    if kind:
        (folder / "config.json").write_text(json.dumps({"model_type": kind}), encoding="utf-8")
    return tokenizer


def write_paligemma_tokenizer(folder: Path) -> None:
    """The tokenizer of pi0 and its kin, which name it by its hub id only."""
    write_tokenizer(folder, kind="gemma", bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")


def vocabulary(folder: Path) -> int:
    """How many tokens the tokenizer there has."""
    from transformers import PreTrainedTokenizerFast

    return len(PreTrainedTokenizerFast.from_pretrained(folder))


def write_fast_tokenizer(folder: Path) -> None:
    """The tokenizer of pi0-FAST's actions: a repository with code, here that of LeRobot's own copy of it."""
    write_tokenizer(folder, kind="gpt2", pad_token="<pad>")
    code = "from lerobot.policies.molmoact2.molmoact2_hf_model.action_tokenizer import UniversalActionProcessor\n"
    (folder / "processing_action_tokenizer.py").write_text(f"{code}__all__ = ['UniversalActionProcessor']\n")
    processor = {
        "processor_class": "UniversalActionProcessor",
        "auto_map": {"AutoProcessor": "processing_action_tokenizer.UniversalActionProcessor"},
        "scale": 30000,
        "min_token": -100,
    }
    (folder / "processor_config.json").write_text(json.dumps(processor), encoding="utf-8")


def write_qwen25(folder: Path) -> None:
    """Qwen2.5-VL of 0.04 million weights with its processor."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    processor = write_qwen25_processor(folder)
    config = Qwen2_5_VLConfig(**qwen25_sizes(processor.tokenizer))
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)


def write_qwen25_processor(folder: Path, *extra: str) -> Any:
    """The processor alone, with more tokens."""
    from transformers import Qwen2_5_VLProcessor
    from transformers.models.qwen2_vl import Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    special = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    tokenizer = write_tokenizer(folder, "<|im_start|>", *QWEN_TOKENS, *extra, **special)
    pixels = {"min_pixels": 28 * 28, "max_pixels": 4 * 28 * 28}
    processor = Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor(**pixels), tokenizer, Qwen2VLVideoProcessor(**pixels), chat_template=CHAT
    )
    processor.save_pretrained(folder)
    return processor


def qwen25_sizes(tokenizer: Any) -> dict[str, Any]:
    """What Qwen2.5-VL's configuration is made of."""
    vision = {
        "depth": 1,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_heads": 2,
        "out_hidden_size": 32,
        "fullatt_block_indexes": [0],
    }
    return {"vision_config": vision, "text_config": _qwen_text(tokenizer), **_qwen_ids(tokenizer)}


def write_qwen3(folder: Path) -> None:
    """Qwen3-VL of 0.05 million weights with its processor."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration, Qwen3VLProcessor, Qwen3VLVideoProcessor
    from transformers.models.qwen2_vl import Qwen2VLImageProcessor

    tokenizer = write_tokenizer(folder, "<|im_start|>", *QWEN_TOKENS, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    size = {"shortest_edge": 32 * 32, "longest_edge": 4 * 32 * 32}
    pictures = Qwen2VLImageProcessor(size=size, patch_size=16)
    Qwen3VLProcessor(pictures, tokenizer, Qwen3VLVideoProcessor(), chat_template=CHAT).save_pretrained(folder)
    Qwen3VLForConditionalGeneration(
        Qwen3VLConfig(
            vision_config={
                "depth": 1,
                "hidden_size": 32,
                "intermediate_size": 32,
                "num_heads": 2,
                "patch_size": 16,
                "out_hidden_size": 32,
                "num_position_embeddings": 16,
                "deepstack_visual_indexes": [0],
            },
            text_config={**_qwen_text(tokenizer), "head_dim": 16},
            **_qwen_ids(tokenizer),
        )
    ).save_pretrained(folder)


def _qwen_ids(tokenizer: Any) -> dict[str, int]:
    names = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
    return dict(zip(names, tokenizer.convert_tokens_to_ids(list(QWEN_TOKENS)), strict=True))


def _qwen_text(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer) + 64,  # policies add tokens of their own
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 512,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.eos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def write_internvl(folder: Path) -> None:
    """InternVL3 of 0.04 million weights, whose pictures of 28 x 28 become one token each."""
    from transformers import InternVLConfig, InternVLModel

    tokenizer = write_tokenizer(
        folder, "<IMG_CONTEXT>", "<img>", "</img>", eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    text = _qwen_text(tokenizer)
    del text["rope_parameters"]
    InternVLModel(
        InternVLConfig(
            vision_config={
                "hidden_size": 32,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "intermediate_size": 32,
                "image_size": [28, 28],
                "patch_size": [14, 14],
            },
            text_config={"model_type": "qwen2", **text},
            image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
            image_seq_length=1,
        )
    ).save_pretrained(folder)


def write_molmoact2_processor(folder: Path) -> dict[str, int]:
    """MolmoAct2's processor for one crop of 28 x 28; returns its ids by the names of the model's configuration."""
    pictures = {
        "image_start_token_id": "<im_start>",
        "low_res_image_start_token_id": "<low_res_im_start>",
        "image_end_token_id": "<im_end>",
        "image_low_res_id": "<im_low>",
        "image_patch_id": "<im_patch>",
        "image_col_id": "<im_col>",
        "frame_start_token_id": "<frame_start>",
        "frame_end_token_id": "<frame_end>",
    }
    marks = {
        f"{name}_{end}_token_id": f"<{name}_{end}>" for name in ("action", "state") for end in ("start", "end")
    } | {"action_output_token_id": "<action_output>"}
    others = [f"<{name}_{end}>" for name in ("setup", "control") for end in ("start", "end")]
    states = [f"<state_{index}>" for index in range(256)]
    known = [*pictures.values(), *marks.values(), *others, *states, "<|image|>", "<|video|>", "<|im_start|>"]
    tokenizer = write_tokenizer(folder, *known, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    processor = {
        "image_processor": {"size": {"height": 28, "width": 28}, "max_crops": 1, "crop_mode": "resize"},
        "video_processor": {"size": {"height": 28, "width": 28}},
    }
    (folder / "processor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in {**pictures, **marks}.items()}
    return ids | {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}


def write_wan(folder: Path) -> None:
    """Wan 2.2's frozen parts, of 0.1 million weights: its picture encoder, UMT5 and the tokenizer, in their folders."""
    from diffusers import AutoencoderKLWan
    from transformers import UMT5Config, UMT5EncoderModel

    tokenizer = write_umt5_tokenizer(folder / "tokenizer")
    small = {"d_model": 32, "d_kv": 16, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    UMT5EncoderModel(UMT5Config(**small, vocab_size=len(tokenizer))).save_pretrained(folder / "text_encoder")
    AutoencoderKLWan(
        base_dim=4,
        decoder_base_dim=4,
        z_dim=48,
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.0] * 48,
        latents_std=[1.0] * 48,
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
    ).save_pretrained(folder / "vae")


def write_umt5_tokenizer(folder: Path) -> Any:
    """The tokenizer alone, as google keeps it: one token for each letter."""
    from transformers import T5TokenizerFast

    letters = ["\u2581", *(chr(code) for code in range(33, 127))]
    tokenizer = T5TokenizerFast(
        vocab=[(token, 0.0) for token in ("<pad>", "</s>", "<unk>")] + [(one, -4.0) for one in letters]
    )
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "umt5"}), encoding="utf-8")
    return tokenizer
