# SPDX-License-Identifier: Apache-2.0
"""The network that corrects, in numpy: frames and plan in, what to add to the setpoint out.

Each camera has an encoder of three convolutions, whose channels each become one place in the frame (the mean of a
softmax over it) and one value; an MLP turns these and `features.proprioception` into radians. Numpy instead of torch:
the robot's processes stay free of it, and for 20 MFLOP a call the overhead of numpy is no more than torch's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from so101_node.protocol import Float32Array, FloatArray

from so101_correction.core.features import feature_count
from so101_correction.errors import CorrectionInputError, expect_array

Thumbnail = NDArray[np.uint8]
"""(height, width, 3), red, green, blue."""

PREPARED_CHANNELS: Final = 4
"""Of a network that is shown no earlier frame; one that is has another."""
_MIDDLE, _SPREAD = np.float32(128), np.float32(64)
# Rounded to 1/256 of the usual 0.299, 0.587, 0.114: whole numbers are the same in numpy and in torch.
_GREY = np.array([77, 150, 29], np.uint16)
_VALUE_GAIN = np.float32(0.2)
# Multiplications of one product up to which OpenBLAS (65536 * 4) stays in the calling thread. A larger product is
# split: with two busy cores, waking OpenBLAS's threads in each tick took 14 ms of both instead of 0.7 ms of one.
_ONE_THREAD: Final = 250_000


@dataclass(frozen=True, slots=True)
class _Layer:
    """A convolution with weights as (kernel * kernel * channels in, channels out)."""

    weight: Float32Array
    bias: Float32Array
    kernel: int
    stride: int

    def __call__(self, image: Float32Array) -> Float32Array:
        """(H, W, C) -> (rows, columns, channels out), zero-padded by kernel // 2."""
        height, width, channels = image.shape
        pad = self.kernel // 2
        padded = np.zeros((height + 2 * pad, width + 2 * pad, channels), np.float32)
        padded[pad : pad + height, pad : pad + width] = image
        rows, columns = -(-height // self.stride), -(-width // self.stride)
        row, column, channel = padded.strides
        # A row of the kernel lies in one piece, since channels are last: far fewer and longer copies.
        patches = as_strided(
            padded,
            (rows, columns, self.kernel, self.kernel * channels),
            (self.stride * row, self.stride * column, row, channel),
            writeable=False,
        )
        out = np.empty((rows, columns, self.bias.size), np.float32)
        block = max(1, _ONE_THREAD // (columns * self.weight.size))
        for first in range(0, rows, block):
            part = np.ascontiguousarray(patches[first : first + block]).reshape(-1, len(self.weight))
            np.matmul(part, self.weight, out=out[first : first + block].reshape(-1, self.bias.size))
        out += self.bias
        return out


def grey(image: Thumbnail) -> NDArray[np.uint8]:
    """Return the brightness of (..., height, width, 3) RGB as (..., height, width)."""
    wide = image.astype(np.uint16)
    weighted = wide[..., 0] * _GREY[0] + wide[..., 1] * _GREY[1] + wide[..., 2] * _GREY[2]
    return np.asarray(weighted >> 8, np.uint8)


def prepare(now: Thumbnail, then: Thumbnail, earlier: Thumbnail | None = None) -> Float32Array:
    """Return what the network reads of a camera: the frame of now, and how its brightness changed.

    Args:
        now: (..., height, width, 3) uint8 RGB.
        then: the same, of the request behind the plan.
        earlier: the same, of a moment ago; None = for a network that is shown none.

    Returns:
        (..., height, width, 4 or 5): red, green, blue, change of brightness since the request, and since the earlier
        frame where there is one; each about -2 to 2, a change up to 4.

    Raises:
        CorrectionInputError: another shape or type.
    """
    frames = [("frame of now", now), ("frame of the request", then)]
    if earlier is not None:
        frames.append(("earlier frame", earlier))
    for what, image in frames:
        if image.dtype != np.uint8 or image.ndim < 3 or image.shape[-1] != 3:
            raise CorrectionInputError(
                f"{what}: expected (..., height, width, 3) uint8, got {image.shape} {image.dtype}"
            )
        expect_array(what, image.shape, now.shape)
    prepared = np.empty((*now.shape[:-1], PREPARED_CHANNELS + len(frames) - 2), np.float32)
    np.subtract(now, _MIDDLE, out=prepared[..., :3])
    bright = grey(now)
    for channel, (_, image) in enumerate(frames[1:], 3):
        np.subtract(bright, grey(image).astype(np.float32), out=prepared[..., channel])
    prepared /= _SPREAD
    return prepared


class CorrectionNetwork:
    """One trained network.

    Weights are named and shaped as torch's state_dict() of the network in training:
    `cameras.<n>.conv1.weight` (channels, 4 or 5, 5, 5) with stride 2, `conv2` 3 x 3 with stride 2, `conv3` 3 x 3, each
    with a `bias`, and `cameras.<n>.sharpness` (1,); `mlp.0`, `mlp.2`, `mlp.4` with `weight` and `bias`; `input_mean`
    and `input_std` of the proprioception; `residual_scale` (joints,). Without cameras it is blind.

    Raises:
        CorrectionInputError: a weight is missing, unknown, not float32, not finite, or of another shape; by name.
    """

    def __init__(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        left = dict(weights)
        self._scale = _take(left, "residual_scale", ("joints",))
        features = feature_count(self.joints)
        self._mean = _take(left, "input_mean", (features,))
        self._std = _take(left, "input_std", (features,))
        if not np.all(self._std > 0):
            raise CorrectionInputError(f"weight input_std: expected positive values, got {self._std.min():g}")
        self._channels = PREPARED_CHANNELS + _sees_earlier(left)
        self._encoders: list[tuple[tuple[_Layer, _Layer, _Layer], np.float32]] = []
        while any(name.startswith(f"cameras.{self.cameras}.") for name in left):
            self._encoders.append(_encoder(left, f"cameras.{self.cameras}", self._channels))
        size = features + sum(3 * layers[-1].bias.size for layers, _ in self._encoders)
        self._mlp = []
        for number, width in ((0, "units"), (2, "units"), (4, self.joints)):
            weight = _take(left, f"mlp.{number}.weight", (width, size))
            size = weight.shape[0]
            self._mlp.append((weight, _take(left, f"mlp.{number}.bias", (size,))))
        if left:
            raise CorrectionInputError(
                f"weight {min(left)}: expected no such weight in a network of {self.cameras} cameras"
            )
        self._grids: dict[tuple[int, int], tuple[Float32Array, Float32Array]] = {}

    @property
    def cameras(self) -> int:
        """Number of cameras whose frames it reads."""
        return len(self._encoders)

    @property
    def sees_earlier(self) -> bool:
        """Whether it is shown an earlier frame of each camera."""
        return self._channels > PREPARED_CHANNELS

    @property
    def joints(self) -> int:
        """Number of joints that it corrects."""
        return int(self._scale.size)

    def empty_images(self, height: int, width: int) -> Float32Array:
        """Return room for what `prepare` makes of each camera's frames of that size: `images` of `residual`."""
        return np.empty((self.cameras, height, width, self._channels), np.float32)

    def residual(self, images: Float32Array, proprioception: Float32Array) -> FloatArray:
        """Return what the network would add to the setpoint, without any bound.

        Args:
            images: (cameras, height, width, 4 or 5) from `prepare`, in the order of the file's cameras.
            proprioception: (5 * joints + 1,) from `features.proprioception`.

        Returns:
            (joints,), rad.

        Raises:
            CorrectionInputError: another shape.
        """
        expect_array("proprioception", proprioception.shape, self._mean.shape)
        if len(images) != self.cameras or (self.cameras and images.shape[3:] != (self._channels,)):
            raise CorrectionInputError(
                f"images: expected shape {self.cameras} x height x width x {self._channels}, got {images.shape}"
            )
        parts = [self._places(image, *encoder) for image, encoder in zip(images, self._encoders, strict=True)]
        values = np.concatenate([*parts, (proprioception - self._mean) / self._std])
        for weight, bias in self._mlp[:-1]:
            values = np.maximum(weight @ values + bias, 0)
        weight, bias = self._mlp[-1]
        return np.asarray((weight @ values + bias) * self._scale, np.float64)

    def _places(
        self, image: Float32Array, layers: tuple[_Layer, _Layer, _Layer], sharpness: np.float32
    ) -> Float32Array:
        """(height, width, 4 or 5) -> (3 * channels,): the place of each channel, x then y, -1 to 1, and its value."""
        for layer in layers[:-1]:
            image = layer(image)
            np.maximum(image, 0, out=image)
        features = layers[-1](image)
        across, down = self._grid(features.shape[0], features.shape[1])
        flat = features.reshape(across.size, -1)
        attention = flat * sharpness
        attention -= attention.max(axis=0)
        np.exp(attention, out=attention)
        attention /= attention.sum(axis=0)
        value = np.tanh(np.einsum("nc,nc->c", attention, flat) * _VALUE_GAIN)
        return np.concatenate([across @ attention, down @ attention, value])

    def _grid(self, rows: int, columns: int) -> tuple[Float32Array, Float32Array]:
        """Place across and down of each pixel, row by row, -1 to 1; the same as torch's linspace, to the bit or so."""
        if (rows, columns) not in self._grids:
            down, across = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
            self._grids[rows, columns] = across.ravel().astype(np.float32), down.ravel().astype(np.float32)
        return self._grids[rows, columns]


def _sees_earlier(weights: Mapping[str, NDArray[np.float32]]) -> bool:
    """Whether the first camera's weights are for an earlier frame too; where it has none, it is not for here to say."""
    first = weights.get("cameras.0.conv1.weight", np.empty(0))
    return first.shape[1:2] == (PREPARED_CHANNELS + 1,)


def _encoder(
    left: dict[str, NDArray[np.float32]], prefix: str, channels: int
) -> tuple[tuple[_Layer, _Layer, _Layer], np.float32]:
    layers = []
    for name, kernel, stride in (("conv1", 5, 2), ("conv2", 3, 2), ("conv3", 3, 1)):
        weight = _take(left, f"{prefix}.{name}.weight", ("channels", channels, kernel, kernel))
        channels = weight.shape[0]
        flat = np.ascontiguousarray(weight.transpose(2, 3, 1, 0).reshape(-1, channels))
        layers.append(_Layer(flat, _take(left, f"{prefix}.{name}.bias", (channels,)), kernel, stride))
    sharpness = _take(left, f"{prefix}.sharpness", (1,))
    return (layers[0], layers[1], layers[2]), np.float32(sharpness[0])


def _take(left: dict[str, NDArray[np.float32]], name: str, shape: tuple[int | str, ...]) -> Float32Array:
    """Remove and return a weight, as a copy."""
    if name not in left:
        raise CorrectionInputError(f"weight {name}: missing")
    weight = left.pop(name)
    if weight.dtype != np.float32:
        raise CorrectionInputError(f"weight {name}: expected float32, got {weight.dtype}")
    expect_array(f"weight {name}", weight.shape, shape)
    if not weight.size:
        raise CorrectionInputError(f"weight {name}: expected values, got an empty one of shape {weight.shape}")
    if not np.isfinite(weight).all():
        raise CorrectionInputError(
            f"weight {name}: expected finite values, got {np.sum(~np.isfinite(weight))} that are not"
        )
    return np.array(weight, np.float32)
