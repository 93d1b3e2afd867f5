# SPDX-License-Identifier: Apache-2.0
"""Real LeRobot checkpoints of the larger policies, with random weights and tiny sizes; see `tiny_policies`."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import tiny_hub
import tiny_policies

PI = ("pi0", "pi05", "pi0_fast")
PLUGINS = {"act_ttt": "lerobot_policy_act_ttt", "turbovla_so101": "lerobot_policy_turbovla_so101"}
"""Types of other packages that are served too, and the packages."""

PLUGIN_REMARKS = {
    "act_ttt": "tunes its weights at each inference and keeps them: what one robot's cameras show changes the next "
    "chunk of every robot, and parity holds within 0.01 rad only"
}
PLUGINS_NOT_SERVED = {
    "act_smooth": "lerobot_policy_act_smooth 0.1.0 reads the actions under way from keys of its own in the batch, "
    "which LeRobot's programs do not give either: its `select_action` refuses"
}

PALIGEMMA = "google/paligemma-3b-pt-224"


@contextlib.contextmanager
def surroundings(kind: str) -> Iterator[None]:
    """What a policy of this kind needs around it, when it is made and when it is served.

    Some name a tokenizer or a processor by its hub id alone, so the hub's cache must have one. The sizes of pi0 and its
    kin are the two of a table in LeRobot's source, here a third.
    """
    hub = tiny_policies.place() / "hub"
    with mock.patch("huggingface_hub.constants.HF_HUB_CACHE", str(hub)):
        if kind in PI:
            tiny_hub.publish(hub, PALIGEMMA, tiny_hub.write_paligemma_tokenizer)
            tiny_hub.publish(hub, "lerobot/fast-action-tokenizer", tiny_hub.write_fast_tokenizer)
            with _small_pi(kind, tiny_hub.vocabulary(hub / tiny_hub.snapshot(PALIGEMMA))):
                yield
            return
        if kind == "groot":
            tiny_hub.publish(hub, "nvidia/Cosmos-Reason2-2B", tiny_hub.write_qwen3)
        if kind == "fastwam":
            tiny_hub.publish(hub, "Wan-AI/Wan2.2-TI2V-5B-Diffusers", tiny_hub.write_wan)
            tiny_hub.publish(hub, "google/umt5-xxl", tiny_hub.write_umt5_tokenizer)
        yield


@contextlib.contextmanager
def _small_pi(kind: str, vocabulary: int) -> Iterator[None]:
    module = importlib.import_module(f"lerobot.policies.{kind}.modeling_{kind}")
    name = "PaliGemmaForConditionalGenerationWithPiGemma"
    gemma = module.GemmaConfig(width=16, depth=1, mlp_dim=32, num_heads=8, num_kv_heads=1, head_dim=8)
    with (
        mock.patch.object(module, "get_gemma_config", lambda _variant: gemma),
        mock.patch.object(module, name, partial(_small_paligemma, getattr(module, name), vocabulary)),
    ):
        yield


def _small_paligemma(whole: Any, vocabulary: int, config: Any) -> Any:
    """PaliGemma with a vision tower, a projection and a vocabulary as small as the rest."""
    config.text_config.vocab_size = vocabulary
    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    for name, value in {**vision, "patch_size": 14, "projection_dim": 16}.items():
        setattr(config.vision_config, name, value)
    return whole(config=config)


def _make(kind: str, folder: Path, **changes: Any) -> None:
    import torch
    from lerobot.configs import PreTrainedConfig
    from lerobot.policies import get_policy_class

    torch.manual_seed(0)
    config = PreTrainedConfig.get_choice_class(kind)(**{**tiny_policies.features(), **changes})
    tiny_policies.save(get_policy_class(kind)(config), folder)


def make_pi0(folder: Path, kind: str = "pi0") -> None:
    """pi0 or pi0.5: PaliGemma and its expert of width 16; most of 4 million weights are the vocabulary's."""
    _make(
        kind,
        folder,
        image_resolution=(28, 28),
        chunk_size=20,
        n_action_steps=20,
        max_state_dim=8,
        max_action_dim=8,
        num_inference_steps=3,
        tokenizer_max_length=48,
    )


def make_pi0_fast(folder: Path) -> None:
    """pi0-FAST, which writes its actions as tokens; random weights do not begin them with `Action:` as it wants."""
    _make(
        "pi0_fast",
        folder,
        chunk_size=10,
        n_action_steps=10,
        max_state_dim=8,
        max_action_dim=8,
        tokenizer_max_length=64,
        max_decoding_steps=24,
        fast_skip_tokens=0,
        temperature=1.0,
        validate_action_token_prefix=False,
    )


def make_xvla(folder: Path) -> None:
    """X-VLA in its action space `auto`: twenty model channels of which six are the joints."""
    tokenizer = folder.with_name(folder.name + "_bart")
    known = tiny_hub.write_tokenizer(
        tokenizer, kind="bart", bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
    text = {
        "vocab_size": len(known),
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "max_position_embeddings": 256,
        "pad_token_id": known.pad_token_id,
    }
    vision = {
        "depths": [1, 1],
        "patch_size": [7, 3],
        "patch_stride": [4, 2],
        "patch_padding": [3, 1],
        "patch_prenorm": [False, True],
        "embed_dim": [16, 32],
        "num_heads": [2, 2],
        "num_groups": [2, 2],
        "window_size": 4,
        "projection_dim": 32,
    }
    _make(
        "xvla",
        folder,
        florence_config={"text_config": text, "vision_config": vision, "pad_token_id": known.pad_token_id},
        tokenizer_name=str(tokenizer),
        tokenizer_max_length=16,
        action_mode="auto",
        resize_imgs_with_padding=(64, 64),
        chunk_size=12,
        n_action_steps=12,
        hidden_size=32,
        depth=1,
        num_heads=2,
        num_domains=2,
        len_soft_prompts=4,
        max_len_seq=256,
        max_state_dim=8,
        num_denoising_steps=3,
    )


def make_eo1(folder: Path) -> None:
    """EO-1 on a tiny Qwen2.5-VL."""
    vlm = folder.with_name(folder.name + "_vlm")
    tiny_hub.write_qwen25(vlm)
    _make(
        "eo1",
        folder,
        vlm_base=str(vlm),
        image_min_pixels=28 * 28,
        image_max_pixels=4 * 28 * 28,
        max_state_dim=8,
        max_action_dim=8,
        num_denoise_steps=3,
        dtype="float32",
    )


def make_evo1(folder: Path) -> None:
    """EVO1 on a tiny InternVL3."""
    vlm = folder.with_name(folder.name + "_vlm")
    tiny_hub.write_internvl(vlm)
    _make(
        "evo1",
        folder,
        vlm_model_name=str(vlm),
        vlm_num_layers=1,
        vlm_dtype="float32",
        image_resolution=(28, 28),
        chunk_size=12,
        n_action_steps=12,
        max_state_dim=8,
        max_action_dim=8,
        embed_dim=32,
        hidden_dim=32,
        state_hidden_dim=32,
        num_heads=2,
        num_layers=1,
        num_inference_timesteps=3,
    )


def make_vla_jepa(folder: Path) -> None:
    """VLA-JEPA on a tiny Qwen3-VL, without the world model that only its training runs."""
    vlm = folder.with_name(folder.name + "_vlm")
    tiny_hub.write_qwen3(vlm)
    _make(
        "vla_jepa",
        folder,
        qwen_model_name=str(vlm),
        enable_world_model=False,
        torch_dtype="float32",
        action_hidden_size=32,
        action_num_layers=1,
        action_num_heads=2,
        action_attention_head_dim=16,
        num_target_vision_tokens=4,
        num_embodied_action_tokens_per_instruction=4,
        num_action_tokens_per_timestep=2,
        action_max_seq_len=64,
        num_inference_timesteps=3,
        binarize_gripper_action=False,
        pre_snap_gripper_action=False,
    )


def make_wall_x(folder: Path) -> None:
    """Wall-X on a tiny Qwen2.5-VL with experts; LeRobot runs it in bfloat16 only."""
    import torch
    from lerobot.policies.wall_x.modeling_wall_x import Qwen2_5_VLMoEForAction
    from lerobot.policies.wall_x.qwen_model.configuration_qwen2_5_vl import Qwen2_5_VLConfig

    vlm = folder.with_name(folder.name + "_vlm")
    processor = tiny_hub.write_qwen25_processor(vlm, "<|propri|>", "<|action|>")
    torch.manual_seed(0)
    config = Qwen2_5_VLConfig(**tiny_hub.qwen25_sizes(processor.tokenizer))
    expert = {"hidden_size": 32, "intermediate_size": 32, "hidden_act": "silu"}
    for name, value in {"num_experts": 2, "experts": [expert] * 2, "dim_inputs": (32, 32), "mlp_moe": True}.items():
        setattr(config.text_config, name, value)
    config.text_config.dof_config = {"joints": 20}
    config.agent_pos_config = {"joints": 20}
    config._attn_implementation = "eager"
    model = Qwen2_5_VLMoEForAction(config, processor=processor)
    model.resize_token_embeddings(len(processor.tokenizer))
    model.save_pretrained(vlm)
    _make("wall_x", folder, pretrained_name_or_path=str(vlm), chunk_size=12, n_action_steps=12)


def make_molmoact2(folder: Path) -> None:
    """MolmoAct2 with the sizes of its released action space: 32 channels of which six are the joints."""
    from lerobot.policies.molmoact2.molmoact2_hf_model.configuration_molmoact2 import MolmoAct2Config
    from lerobot.policies.molmoact2.molmoact2_hf_model.modeling_molmoact2 import MolmoAct2ForConditionalGeneration

    vlm = folder.with_name(folder.name + "_vlm")
    ids = tiny_hub.write_molmoact2_processor(vlm)
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
    small = {"hidden_size": 32, "intermediate_size": 32, **heads}
    config = MolmoAct2Config(
        vit_config={
            **small,
            "num_hidden_layers": 2,
            "image_default_input_size": (28, 28),
            "image_num_pos": 4,
        },
        adapter_config={**small, "vit_layers": (-1,), "text_hidden_size": 32},
        text_config={
            **small,
            "num_hidden_layers": 1,
            "vocab_size": ids.pop("vocab_size"),
            "max_position_embeddings": 512,
        },
        action_expert_config={"hidden_size": 32, "num_layers": 1, "num_heads": 2, "timestep_embed_dim": 16},
        action_mode="continuous",
        max_action_horizon=12,
        **ids,
    )
    MolmoAct2ForConditionalGeneration(config).save_pretrained(vlm)
    _make(
        "molmoact2",
        folder,
        checkpoint_path=str(vlm),
        chunk_size=12,
        n_action_steps=12,
        action_mode="continuous",
        inference_action_mode="continuous",
        model_dtype="float32",
        num_inference_steps=3,
        enable_inference_cuda_graph=False,
    )


def make_groot(folder: Path) -> None:
    """GR00T N1.7 on a tiny Qwen3-VL: 40 rows of 132 channels of which six are the joints."""
    import torch
    from lerobot.policies.groot.groot_n1_7 import GR00TN17, GR00TN17Config

    base, vlm = (
        folder.with_name(folder.name + "_base"),
        tiny_policies.place() / "hub" / tiny_hub.snapshot("nvidia/Cosmos-Reason2-2B"),
    )
    torch.manual_seed(0)
    attention = {"positional_embeddings": None, "num_attention_heads": 2, "attention_head_dim": 16, "dropout": 0.0}
    config = GR00TN17Config(
        model_name=str(vlm),
        model_dtype="float32",
        dtype="float32",
        backbone_embedding_dim=32,
        select_layer=1,
        hidden_size=32,
        input_embedding_dim=32,
        max_seq_len=256,
        max_num_embodiments=32,
        diffusion_model_cfg={
            **attention,
            "num_layers": 2,
            "norm_type": "ada_norm",
            "final_dropout": True,
            "output_dim": 32,
            "interleave_self_attention": True,
        },
        vl_self_attention_cfg={**attention, "num_layers": 1, "final_dropout": True},
    )
    GR00TN17(config, load_backbone_weights=False).save_pretrained(base)
    _make("groot", folder, base_model_path=str(base), use_bf16=False)


def make_fastwam(folder: Path) -> None:
    """FastWAM on a tiny Wan: three cameras side by side, 32 rows."""
    from lerobot.configs import FeatureType, PolicyFeature
    from lerobot.policies.fastwam.configuration_fastwam import default_action_dit_config, default_video_dit_config

    features = tiny_policies.features()
    for camera in tiny_policies.CAMERAS:
        features["input_features"][f"observation.images.{camera}"] = PolicyFeature(FeatureType.VISUAL, (3, 32, 32))
    small = {"hidden_dim": 32, "ffn_dim": 32, "freq_dim": 16, "text_dim": 32, "num_heads": 2, "attn_head_dim": 16}
    _make(
        "fastwam",
        folder,
        **features,
        action_dim=6,
        proprio_dim=6,
        image_size=(32, 96),
        base_model_id=None,
        torch_dtype="float32",
        num_inference_steps=2,
        video_dit_config={**default_video_dit_config(6), **small, "num_layers": 1},
        action_dit_config={**default_action_dit_config(6), **small, "num_layers": 1},
    )


def make_lingbot_va(folder: Path) -> None:
    """LingBot-VA on a tiny Wan: of four frames with four rows each the first is the present one, so 12 rows."""
    wan = folder.with_name(folder.name + "_wan")
    tiny_hub.write_wan(wan)
    _make(
        "lingbot_va",
        folder,
        wan_pretrained_path=str(wan),
        obs_cam_keys=[f"observation.images.{camera}" for camera in tiny_policies.CAMERAS],
        used_action_channel_ids=list(range(6)),
        num_attention_heads=2,
        attention_head_dim=24,
        text_dim=32,
        freq_dim=16,
        ffn_dim=32,
        num_layers=1,
        height=32,
        width=32,
        dtype="float32",
        num_inference_steps=2,
        action_num_inference_steps=2,
        max_sequence_length=16,
    )


def make_tdmpc(folder: Path) -> None:
    """TD-MPC, which plans five steps from one square picture and finds it by the key `observation.image` only."""
    from lerobot.configs import FeatureType, PolicyFeature

    features = tiny_policies.features(cameras=())
    features["input_features"]["observation.image"] = PolicyFeature(FeatureType.VISUAL, (3, 64, 64))
    _make(
        "tdmpc",
        folder,
        **features,
        n_action_repeats=1,
        n_action_steps=5,
        latent_dim=32,
        mlp_dim=32,
        state_encoder_hidden_dim=32,
        image_encoder_hidden_dim=32,
        n_gaussian_samples=16,
        n_pi_samples=4,
        n_elites=4,
    )


def make_act_ttt(folder: Path) -> None:
    """ACT that tunes its backbone on each picture before it predicts: the plugin lerobot_policy_act_ttt."""
    importlib.import_module(PLUGINS["act_ttt"])
    _make(
        "act_ttt",
        folder,
        chunk_size=12,
        n_action_steps=12,
        dim_model=32,
        n_heads=2,
        dim_feedforward=32,
        n_encoder_layers=1,
        n_decoder_layers=1,
        n_vae_encoder_layers=1,
        latent_dim=8,
        pretrained_backbone_weights=None,
        ttt_steps=1,
        ttt_n_samples=1,
        ttt_ss_head_latent_dim=16,
    )


def make_turbovla_so101(folder: Path) -> None:
    """TurboVLA on a tiny DINOv3 and a tiny BERT: the plugin lerobot_policy_turbovla_so101."""
    from transformers import BertConfig, DINOv3ViTConfig

    importlib.import_module(PLUGINS["turbovla_so101"])
    vision, language = (folder.with_name(f"{folder.name}_{name}") for name in ("dinov3", "bert"))
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    DINOv3ViTConfig(**small).save_pretrained(vision)
    special = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    tokenizer = tiny_hub.write_tokenizer(language, **special)
    BertConfig(**small, vocab_size=len(tokenizer), max_position_embeddings=64).save_pretrained(language)
    _make(
        "turbovla_so101",
        folder,
        vision_backbone=str(vision),
        language_backbone=str(language),
        load_pretrained_backbones=False,
        image_size=32,
        dim_model=32,
        n_heads=2,
        dim_feedforward=32,
        n_fusion_layers=1,
        n_decoder_layers=1,
    )


def cached(kind: str) -> Path:
    """The checkpoint of this kind, made at the first call on this machine; ImportError where a package is missing."""
    with surroundings(kind):
        return tiny_policies.cached(kind, MAKERS[kind])


MAKERS: dict[str, Callable[[Path], None]] = {
    **tiny_policies.MAKERS,
    "pi0": make_pi0,
    "pi05": lambda folder: make_pi0(folder, "pi05"),
    "pi0_fast": make_pi0_fast,
    "xvla": make_xvla,
    "eo1": make_eo1,
    "evo1": make_evo1,
    "vla_jepa": make_vla_jepa,
    "wall_x": make_wall_x,
    "molmoact2": make_molmoact2,
    "groot": make_groot,
    "fastwam": make_fastwam,
    "lingbot_va": make_lingbot_va,
    "tdmpc": make_tdmpc,
    "act_ttt": make_act_ttt,
    "turbovla_so101": make_turbovla_so101,
}
