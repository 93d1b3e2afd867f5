# SPDX-License-Identifier: Apache-2.0
"""SmolVLA's sampling without what LeRobot computes again in each denoising step, or for tokens that nobody reads.

What is left out changes no result but by the rounding of float32:

- cameras that are masked and tokens that pad the instruction: attention gives them a weight of exactly zero;
- of the last layer of the prefix all but keys and values: nothing reads the rest;
- in each denoising step the keys and values that the expert's cross attention makes of the prefix, masks, positions
  and the embedding of time: they are those of the step before, so they are made once a chunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from lerobot.policies.common.flow_matching import euler_integrate
from lerobot.policies.common.vla_utils import create_sinusoidal_pos_embedding, make_att_2d_masks
from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy, VLAFlowMatching
from torch import Tensor

from so101_policy_server.lerobot.optimize.trials import OptionUnavailableError, Undo

_MAX_WAVELENGTH = 10_000


@dataclass(frozen=True, slots=True)
class _Layer:
    """What a denoising step reads of one layer's attention.

    Attributes:
        keys: (batch, key heads, prefix, head) of the prefix; of cross attention already the expert's.
        values: the same.
        crosses: whether the expert attends to the prefix alone.
    """

    keys: Tensor
    values: Tensor
    crosses: bool


@dataclass(frozen=True, slots=True)
class Prefix:
    """All that the denoising steps of one chunk read of the observation.

    Attributes:
        layers: one per layer of the vision-language model.
        mask: (batch, 1, chunk, prefix + chunk), True where a row attends.
        cross_mask: (batch, 1, chunk, prefix).
        rope: cosine and sine at the rows' positions behind the prefix, (batch, chunk, 1, head / 2) each.
        cross_rope: the same from position 0.
    """

    layers: tuple[_Layer, ...]
    mask: Tensor
    cross_mask: Tensor
    rope: tuple[Tensor, Tensor]
    cross_rope: tuple[Tensor, Tensor]


class SmolVLASampler:
    """Stands in for `VLAFlowMatching.sample_actions`, with the same arguments and chunks."""

    def __init__(self, model: VLAFlowMatching) -> None:
        self._model = model
        self._pair = model.vlm_with_expert
        language = self._pair.get_vlm_model().text_model
        self._vlm_layers, self._expert_layers = self._pair.get_model_layers([language, self._pair.lm_expert])
        self._groups = self._pair.num_attention_heads // self._pair.num_key_value_heads
        self._head = self._pair.vlm.config.text_config.head_dim

    def __call__(
        self,
        images: list[Tensor],
        img_masks: list[Tensor],
        lang_tokens: Tensor,
        lang_masks: Tensor,
        state: Tensor,
        noise: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """See `VLAFlowMatching.sample_actions`; returns (batch, chunk, action) in the model's space."""
        model, config = self._model, self._model.config
        if noise is None:
            noise = model.sample_noise((state.shape[0], config.chunk_size, config.max_action_dim), state.device)
        prefix = self.prefix(images, img_masks, lang_tokens, lang_masks, state)
        return euler_integrate(  # type: ignore[no-any-return]
            lambda rows, time: self.denoise(prefix, rows, time),
            noise,
            config.num_steps,
            rtc_processor=model.rtc_processor,
            rtc_enabled=model._rtc_enabled(),
            inference_delay=kwargs.get("inference_delay"),
            prev_chunk_left_over=kwargs.get("prev_chunk_left_over"),
            execution_horizon=kwargs.get("execution_horizon"),
        )

    def prefix(
        self, images: list[Tensor], img_masks: list[Tensor], lang_tokens: Tensor, lang_masks: Tensor, state: Tensor
    ) -> Prefix:
        """Run the observation through the vision-language model, and prepare all that denoising reads of it."""
        if not self._model.add_image_special_tokens:  # which stand unmasked around a masked camera, too
            seen = [bool(mask.any()) for mask in img_masks]
            images = [image for image, keep in zip(images, seen, strict=True) if keep]
            img_masks = [mask for mask, keep in zip(img_masks, seen, strict=True) if keep]
        tokens, mask, blocks = self._model.embed_prefix(images, img_masks, lang_tokens, lang_masks, state=state)
        kept = mask.any(dim=0)
        if not bool(kept.all()):
            tokens, mask, blocks = tokens[:, kept], mask[:, kept], blocks[:, kept]
        cached = self._keys_and_values(tokens, make_att_2d_masks(mask, blocks)[:, None], torch.cumsum(mask, dim=1) - 1)
        return self._prepared(cached, mask)

    def _keys_and_values(self, tokens: Tensor, mask: Tensor, positions: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Of each layer, (batch, key heads, prefix, head), turned by their positions."""
        rope = self._rope(positions)
        cached = []
        hidden = tokens
        for number, layer in enumerate(self._vlm_layers):
            attention = layer.self_attn
            normed = layer.input_layernorm(hidden).to(attention.q_proj.weight.dtype)
            keys = _turned(_heads(attention.k_proj(normed), self._head), rope).transpose(1, 2)
            values = _heads(attention.v_proj(normed), self._head).transpose(1, 2)
            cached.append((keys, values))
            if number + 1 == len(self._vlm_layers):
                break
            queries = _turned(_heads(attention.q_proj(normed), self._head), rope)
            hidden = self._after_attention(layer, hidden, self._attend(queries, keys, values, mask))
        return cached

    def _prepared(self, cached: list[tuple[Tensor, Tensor]], mask: Tensor) -> Prefix:
        pair, rows = self._pair, self._model.config.chunk_size
        layers = []
        for number, (keys, values) in enumerate(cached):
            expert = self._expert_layers[number]
            crosses = "cross" in pair.attention_mode and not (
                pair.self_attn_every_n_layers > 0 and number % pair.self_attn_every_n_layers == 0
            )
            if crosses and expert is not None:
                own = expert.self_attn
                keys = _heads(own.k_proj(_rows(keys).to(own.k_proj.weight.dtype)), self._head).transpose(1, 2)
                values = _heads(own.v_proj(_rows(values).to(own.v_proj.weight.dtype)), self._head).transpose(1, 2)
            layers.append(_Layer(keys, values, crosses))
        batch, length = mask.shape
        cross_mask = mask[:, None, None, :].expand(batch, 1, rows, length)
        ahead = torch.ones(rows, rows, dtype=torch.bool, device=mask.device).tril()
        whole = torch.cat([cross_mask, ahead[None, None].expand(batch, 1, rows, rows)], dim=-1)
        steps = torch.arange(rows, device=mask.device)[None]
        return Prefix(
            tuple(layers),
            whole,
            cross_mask,
            self._rope(mask.sum(dim=-1, keepdim=True) + steps),
            self._rope(steps),
        )

    def denoise(self, prefix: Prefix, noisy: Tensor, time: Tensor) -> Tensor:
        """The velocity of noisy rows (batch, chunk, action) at a time (batch,); gradients pass through."""
        model = self._model
        hidden = self._embed(noisy, time)
        for number, layer in enumerate(self._expert_layers):
            if layer is None:
                continue
            cached, attention = prefix.layers[number], layer.self_attn
            normed = layer.input_layernorm(hidden).to(attention.q_proj.weight.dtype)
            queries = _heads(attention.q_proj(normed), self._head)
            if cached.crosses:
                queries = _turned(queries, prefix.cross_rope)
                attended = self._attend(queries, cached.keys, cached.values, prefix.cross_mask)
            else:
                own = _turned(_heads(attention.k_proj(normed), self._head), prefix.rope).transpose(1, 2)
                keys = torch.cat([cached.keys, own], dim=2)
                values = torch.cat([cached.values, _heads(attention.v_proj(normed), self._head).transpose(1, 2)], dim=2)
                attended = self._attend(_turned(queries, prefix.rope), keys, values, prefix.mask)
            hidden = self._after_attention(layer, hidden, attended)
        normed = self._pair.lm_expert.norm(hidden)[:, -model.config.chunk_size :]
        return model.action_out_proj(normed.to(torch.float32))  # type: ignore[no-any-return]

    def _embed(self, noisy: Tensor, time: Tensor) -> Tensor:
        model, config = self._model, self._model.config
        rows = model.action_in_proj(noisy)
        width = self._pair.expert_hidden_size
        at = create_sinusoidal_pos_embedding(time, width, config.min_period, config.max_period, device=rows.device)
        both = torch.cat([rows, at.to(rows.dtype)[:, None, :].expand_as(rows)], dim=2)
        return model.action_time_mlp_out(F.silu(model.action_time_mlp_in(both)))  # type: ignore[no-any-return]

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Grouped attention: (batch, rows, heads, head) to (batch, rows, heads * head).

        The heads that share a key stand below one another as rows, so that keys are not copied for each of them. As
        LeRobot's it weighs in float32 whatever the weights are.
        """
        batch, rows = queries.shape[:2]
        stacked = queries.view(batch, rows, -1, self._groups, self._head).permute(0, 2, 3, 1, 4)
        stacked = stacked.reshape(batch, -1, self._groups * rows, self._head).to(torch.float32)
        weights = torch.matmul(stacked, keys.to(torch.float32).transpose(-1, -2)) * self._head**-0.5
        lowest = torch.finfo(torch.float32).min
        weights = weights.unflatten(2, (self._groups, rows)).masked_fill(~mask[:, :, None], lowest).flatten(2, 3)
        attended = torch.matmul(torch.softmax(weights, dim=-1).to(values.dtype), values)
        attended = attended.view(batch, -1, self._groups, rows, self._head).permute(0, 3, 1, 2, 4)
        return attended.reshape(batch, rows, -1)

    @staticmethod
    def _after_attention(layer: Any, hidden: Tensor, attended: Tensor) -> Tensor:
        out = layer.self_attn.o_proj(attended.to(layer.self_attn.o_proj.weight.dtype))
        out = (out + hidden).to(out.dtype)  # LeRobot adds in place: what is added takes the type of the layer's weights
        ahead = layer.mlp(layer.post_attention_layernorm(out))
        return (ahead + out).to(ahead.dtype)  # type: ignore[no-any-return]

    def _rope(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine for positions (batch, rows): (batch, rows, 1, head / 2) each."""
        half = self._head // 2
        exponents = (2.0 / self._head) * torch.arange(half, dtype=torch.float32, device=positions.device)
        angles = positions[..., None].to(torch.float32) / (_MAX_WAVELENGTH**exponents)
        return torch.cos(angles)[:, :, None], torch.sin(angles)[:, :, None]


class OneTimePrefix:
    """The option: `SmolVLASampler` in place of LeRobot's sampling."""

    name = "prefix prepared once a chunk"

    def apply(self, policy: Any) -> Undo:
        """Put the sampler in.

        Raises:
            OptionUnavailableError: it is no SmolVLA, or one that LeRobot compiles or runs without cache.
        """
        if not isinstance(policy, SmolVLAPolicy):
            raise OptionUnavailableError("for SmolVLA")
        config = policy.config
        if config.compile_model or not config.use_cache:
            raise OptionUnavailableError("its configuration has compile_model, or no use_cache")
        model: Any = policy.model
        model.sample_actions = SmolVLASampler(policy.model)

        def undo() -> None:
            del model.sample_actions  # the class's own is behind it

        return undo


def _heads(projected: Tensor, head: int) -> Tensor:
    """(batch, rows, heads * head) to (batch, rows, heads, head)."""
    return projected.unflatten(-1, (-1, head))


def _rows(heads: Tensor) -> Tensor:
    """(batch, heads, rows, head) to (batch, rows, heads * head)."""
    return heads.transpose(1, 2).flatten(2)


def _turned(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary embedding of (batch, rows, heads, head), in float32 as LeRobot's."""
    cosine, sine = rope
    first, second = x.to(torch.float32).chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1).to(x.dtype)
