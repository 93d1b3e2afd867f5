# SPDX-License-Identifier: Apache-2.0
"""The network in torch and the one of so101_correction in numpy are one network."""

import numpy as np
import pytest
import torch
from so101_correction.core.features import feature_count
from so101_correction.core.network import CorrectionNetwork
from so101_training.correction.torch_network import TorchCorrection, widened


def network(cameras: int, joints: int, size: tuple[int, int], channels: int = 4) -> TorchCorrection:
    """One with random weights in each layer, the last included, and random scales."""
    torch.manual_seed(1)
    made = TorchCorrection(cameras, joints, *size, sees_earlier=channels == 5)
    torch.nn.init.normal_(made.mlp[-1].weight, std=0.1)  # type: ignore[arg-type]
    made.input_mean.normal_()
    made.input_std.uniform_(0.5, 1.5)
    made.residual_scale.uniform_(0.5, 1.5)
    return made


@pytest.mark.parametrize(
    ("cameras", "joints", "size", "channels"),
    [(2, 6, (64, 80), 4), (1, 7, (50, 66), 4), (0, 6, (64, 80), 4), (2, 6, (64, 80), 5)],
)
def test_numpy_computes_what_torch_does(cameras: int, joints: int, size: tuple[int, int], channels: int) -> None:
    trained, rng = network(cameras, joints, size, channels), np.random.default_rng(0)
    in_numpy, largest = CorrectionNetwork(trained.weights()), 0.0
    for _ in range(5):
        images = rng.normal(size=(cameras, *size, channels)).astype(np.float32)
        told = rng.normal(size=feature_count(joints)).astype(np.float32)
        batch = [torch.from_numpy(image.transpose(2, 0, 1).copy())[None] for image in images]
        with torch.no_grad():
            expected = trained(batch, torch.from_numpy(told)[None])[0].numpy()
        got = in_numpy.residual(images, told)
        assert np.abs(expected).max() > 0.05  # else there is nothing to compare
        largest = max(largest, float(np.abs(got - expected).max()))
    assert largest < 1e-5


def test_a_new_network_adds_nothing() -> None:
    fresh = TorchCorrection(1, 6, 64, 80)
    assert not fresh([torch.randn(3, 4, 64, 80)], torch.randn(3, feature_count(6))).any()


def test_widened_weights_compute_the_same_whatever_the_earlier_frame_shows() -> None:
    before = network(2, 6, (16, 20))
    after, rng = CorrectionNetwork(widened(before.weights())), np.random.default_rng(2)
    images = rng.normal(size=(2, 16, 20, 5)).astype(np.float32)
    told = rng.normal(size=feature_count(6)).astype(np.float32)
    expected = CorrectionNetwork(before.weights()).residual(images[..., :4], told)
    np.testing.assert_allclose(after.residual(images, told), expected, atol=1e-5)
    assert after.sees_earlier
