# SPDX-License-Identifier: Apache-2.0
"""Options about single layers of whatever policy has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from so101_policy_server.lerobot.optimize.trials import OptionUnavailableError, Undo

_SMALLEST: Final = 1 << 14
"""Weights of a linear layer below which bfloat16 gains nothing."""


class ContiguousTokens:
    """Tokens of a vision transformer side by side in memory.

    Made of a convolution's channels they lie a whole picture apart, and each layer copies them to be together.
    """

    name = "tokens side by side"

    def apply(self, policy: Any) -> Undo:
        """Copy them once, behind the embeddings.

        Raises:
            OptionUnavailableError: no vision transformer whose embeddings can be told.
        """
        found = [
            module
            for module in policy.modules()
            if isinstance(getattr(module, "patch_embedding", None), nn.Conv2d)
            and isinstance(getattr(module, "position_embedding", None), nn.Embedding)
        ]
        if not found:
            raise OptionUnavailableError("no vision transformer")
        hooks = [module.register_forward_hook(_contiguous) for module in found]

        def undo() -> None:
            for hook in hooks:
                hook.remove()

        return undo


class FoldedNormalization:
    """Frozen batch normalisation as part of the convolution before it."""

    name = "normalisation within convolutions"

    def apply(self, policy: Any) -> Undo:
        """Fold where a ResNet has the two.

        Raises:
            OptionUnavailableError: it has none.
        """
        undos: list[Undo] = []
        for module in policy.modules():
            for convolution, normalization in _RESNET_PAIRS:
                pair = getattr(module, convolution, None), getattr(module, normalization, None)
                if isinstance(pair[0], nn.Conv2d) and isinstance(pair[1], FrozenBatchNorm2d):
                    undos.append(_fold(module, convolution, normalization))
            if isinstance(module, nn.Sequential) and len(module) == 2:  # a ResNet's shortcut
                first, second = module
                if isinstance(first, nn.Conv2d) and isinstance(second, FrozenBatchNorm2d):
                    undos.append(_fold(module, "0", "1"))
        if not undos:
            raise OptionUnavailableError("no convolution with frozen normalisation")

        def undo_all() -> None:
            for undo in undos:
                undo()

        return undo_all


class ChannelsLast:
    """Weights of convolutions in the order in which the processor multiplies them."""

    name = "channels last"

    def apply(self, policy: Any) -> Undo:
        """Lay them out so.

        Raises:
            OptionUnavailableError: no convolution of more than one pixel.
        """
        found = [
            module for module in policy.modules() if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)
        ]
        if not found:
            raise OptionUnavailableError("no convolution")
        before = [module.weight.data for module in found]
        for module in found:
            module.weight.data = module.weight.data.to(memory_format=torch.channels_last)

        def undo() -> None:
            for module, weight in zip(found, before, strict=True):
                module.weight.data = weight

        return undo


class BFloat16Linear(nn.Module):  # type: ignore[misc]
    """A linear layer that multiplies in bfloat16, and takes and gives what the float32 layer does.

    Args:
        linear: float32.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        # LeRobot asks a layer's weight for its dtype, and casts to it: this one has no memory.
        self.weight = torch.empty_like(linear.weight, device="meta")
        self._weight = linear.weight.detach().to(torch.bfloat16)
        self._bias = None if linear.bias is None else linear.bias.detach().to(torch.bfloat16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in) to (..., out)."""
        return nn.functional.linear(x.to(torch.bfloat16), self._weight, self._bias).to(x.dtype)


class BFloat16:
    """Linear layers that multiply in bfloat16: as fast as it gets, and beyond the usual bound."""

    name = "bfloat16"

    def __init__(self, run: Callable[[], object], smallest: int = _SMALLEST) -> None:
        """Take what runs the policy once, without arguments: only layers that it calls are exchanged.

        Args:
            run: see above.
            smallest: weights of a layer below which it stays as it is.
        """
        self._run, self._smallest = run, smallest

    def apply(self, policy: Any) -> Undo:
        """Exchange the layers.

        Raises:
            OptionUnavailableError: no float32 layer of some size is called, or the processor would only emulate it.
        """
        device = next(policy.parameters()).device.type
        if device == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            raise OptionUnavailableError("this processor does not multiply in it")
        called = _called_linears(policy, self._run, self._smallest)
        changed = [
            (parent, name, child)
            for parent in policy.modules()
            for name, child in parent.named_children()
            if child in called
        ]
        if not changed:
            raise OptionUnavailableError("no float32 layer of some size")
        exchanged = {child: BFloat16Linear(child) for _, _, child in changed}  # a layer may have two names
        for parent, name, child in changed:
            setattr(parent, name, exchanged[child])

        def undo() -> None:
            for parent, name, child in changed:
                setattr(parent, name, child)

        return undo


_RESNET_PAIRS: Final = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))


def _contiguous(_module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
    return output.contiguous()


def _fold(parent: nn.Module, convolution: str, normalization: str) -> Undo:
    old, norm = getattr(parent, convolution), getattr(parent, normalization)
    scale = (norm.weight * (norm.running_var + norm.eps).rsqrt()).detach()
    own = 0.0 if old.bias is None else old.bias.detach()
    new = nn.Conv2d(
        old.in_channels,
        old.out_channels,
        old.kernel_size,
        old.stride,
        old.padding,
        old.dilation,
        old.groups,
        padding_mode=old.padding_mode,
        device="meta",
    )
    new.weight = nn.Parameter(old.weight.detach() * scale[:, None, None, None], requires_grad=False)
    new.bias = nn.Parameter((own - norm.running_mean) * scale + norm.bias, requires_grad=False)
    setattr(parent, convolution, new)
    setattr(parent, normalization, nn.Identity())

    def undo() -> None:
        setattr(parent, convolution, old)
        setattr(parent, normalization, norm)

    return undo


def _called_linears(policy: nn.Module, run: Callable[[], object], smallest: int) -> set[nn.Module]:
    called: set[nn.Module] = set()

    def note(module: nn.Module, _inputs: object) -> None:
        called.add(module)

    hooks = [
        module.register_forward_pre_hook(note)
        for module in policy.modules()
        if type(module) is nn.Linear and module.weight.numel() >= smallest and module.weight.dtype == torch.float32
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return called
