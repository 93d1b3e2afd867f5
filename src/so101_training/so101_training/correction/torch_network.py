# SPDX-License-Identifier: Apache-2.0
"""The network of so101_correction in torch, to be trained: its state_dict() holds that network's weights by name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from so101_correction.core.features import feature_count
from so101_correction.core.network import PREPARED_CHANNELS
from torch import Tensor, nn

CONV_CHANNELS = (12, 24, 24)
MLP_WIDTHS = (192, 128)
VALUE_GAIN = 0.2
FIRST_SHARPNESS = 3.0


class FrameEncoder(nn.Module):  # type: ignore[misc]  # torch is not looked into
    """One camera: three convolutions, whose channels each become a place in the frame and a value."""

    def __init__(self, height: int, width: int, channels: int = PREPARED_CHANNELS) -> None:
        super().__init__()
        first, second, third = CONV_CHANNELS
        self.conv1 = nn.Conv2d(channels, first, 5, 2, 2)
        self.conv2 = nn.Conv2d(first, second, 3, 2, 1)
        self.conv3 = nn.Conv2d(second, third, 3, 1, 1)
        self.sharpness = nn.Parameter(torch.full((1,), FIRST_SHARPNESS))
        rows, columns = (height + 3) // 4, (width + 3) // 4
        down, across = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
        self.across: Tensor
        self.down: Tensor
        self.register_buffer("across", across.reshape(-1).clone(), persistent=False)
        self.register_buffer("down", down.reshape(-1).clone(), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(batch, 4 or 5, height, width) -> (batch, 3 * channels): places across, places down, values."""
        hidden = torch.relu(self.conv2(torch.relu(self.conv1(image))))
        flat = self.conv3(hidden).flatten(2)
        attention = torch.softmax(flat * self.sharpness, -1)
        value = torch.tanh((attention * flat).sum(-1) * VALUE_GAIN)
        return torch.cat([attention @ self.across, attention @ self.down, value], 1)


class TorchCorrection(nn.Module):  # type: ignore[misc]
    """Frames and plan in, radians to add to the setpoint out; without cameras it is blind. Begins with adding nothing.

    sees_earlier: it is shown an earlier frame of each camera, too.
    input_mean, input_std: (5 * joints + 1,) of the proprioception; residual_scale: (joints,), rad. All three are set
    once from the data.
    """

    def __init__(self, cameras: int, joints: int, height: int, width: int, *, sees_earlier: bool = False) -> None:
        super().__init__()
        features = feature_count(joints)
        channels = PREPARED_CHANNELS + sees_earlier
        self.cameras = nn.ModuleList(FrameEncoder(height, width, channels) for _ in range(cameras))
        wide, narrow = MLP_WIDTHS
        self.mlp = nn.Sequential(
            nn.Linear(features + cameras * 3 * CONV_CHANNELS[-1], wide),
            nn.ReLU(),
            nn.Linear(wide, narrow),
            nn.ReLU(),
            nn.Linear(narrow, joints),
        )
        last = self.mlp[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.input_mean: Tensor
        self.input_std: Tensor
        self.residual_scale: Tensor
        self.register_buffer("input_mean", torch.zeros(features))
        self.register_buffer("input_std", torch.ones(features))
        self.register_buffer("residual_scale", torch.ones(joints))

    def forward(self, images: list[Tensor], proprioception: Tensor) -> Tensor:
        """images: (batch, 4 or 5, height, width) each camera; proprioception: (batch, features); -> (batch, joints)."""
        seen = [encoder(image) for encoder, image in zip(self.cameras, images, strict=True)]
        told = (proprioception - self.input_mean) / self.input_std
        corrected: Tensor = self.mlp(torch.cat([*seen, told], 1)) * self.residual_scale
        return corrected

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """What so101_correction's CorrectionNetwork takes."""
        return {name: value.detach().cpu().numpy().astype(np.float32) for name, value in self.state_dict().items()}


def widened(weights: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Weights of a network that is shown no earlier frame -> of one that is shown one, and does not look at it yet."""
    return {
        name: np.concatenate([value, np.zeros_like(value[:, :1])], axis=1) if name.endswith("conv1.weight") else value
        for name, value in weights.items()
    }
