# SPDX-License-Identifier: Apache-2.0
"""The network in numpy, beside a direct one that follows the definition pixel by pixel."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from correction_weights import random_weights
from so101_correction.core.network import CorrectionNetwork, grey, prepare
from so101_correction.errors import CorrectionInputError


def by_definition(weights: dict, images: np.ndarray, told: np.ndarray) -> np.ndarray:
    """The same network in float64, with loops instead of views."""

    def convolve(image: np.ndarray, name: str, stride: int) -> np.ndarray:
        weight, bias = weights[f"{name}.weight"].astype(float), weights[f"{name}.bias"].astype(float)
        kernel = weight.shape[2]
        padded = np.pad(image, ((kernel // 2,) * 2, (kernel // 2,) * 2, (0, 0)))
        rows, columns = -(-image.shape[0] // stride), -(-image.shape[1] // stride)
        out = np.empty((rows, columns, len(bias)))
        for row in range(rows):
            for column in range(columns):
                patch = padded[row * stride : row * stride + kernel, column * stride : column * stride + kernel]
                out[row, column] = np.einsum("ijc,ocij->o", patch, weight) + bias
        return out

    parts = []
    for camera, image in enumerate(images):
        hidden = np.maximum(convolve(image.astype(float), f"cameras.{camera}.conv1", 2), 0)
        hidden = np.maximum(convolve(hidden, f"cameras.{camera}.conv2", 2), 0)
        features = convolve(hidden, f"cameras.{camera}.conv3", 1)
        rows, columns, channels = features.shape
        places = [[], [], []]
        for channel in range(channels):
            attention = np.exp(features[..., channel] * float(weights[f"cameras.{camera}.sharpness"][0]))
            attention /= attention.sum()
            places[0].append((attention.sum(0) * np.linspace(-1, 1, columns)).sum())
            places[1].append((attention.sum(1) * np.linspace(-1, 1, rows)).sum())
            places[2].append(np.tanh((attention * features[..., channel]).sum() * 0.2))
        parts += [np.array(place) for place in places]
    values = np.concatenate([*parts, (told - weights["input_mean"]) / weights["input_std"]])
    for number in (0, 2):
        values = np.maximum(weights[f"mlp.{number}.weight"] @ values + weights[f"mlp.{number}.bias"], 0)
    return (weights["mlp.4.weight"] @ values + weights["mlp.4.bias"]) * weights["residual_scale"]


@pytest.mark.parametrize(
    ("cameras", "joints", "size", "channels"),
    [(2, 6, (16, 20), 4), (1, 6, (15, 21), 4), (3, 5, (8, 8), 4), (0, 6, (16, 20), 4), (2, 6, (16, 20), 5)],
)
def test_it_is_the_network_of_the_definition(cameras: int, joints: int, size: tuple[int, int], channels: int) -> None:
    weights, rng = random_weights(cameras, joints, channels=channels), np.random.default_rng(1)
    images = rng.normal(size=(cameras, *size, channels)).astype(np.float32)
    told = rng.normal(size=5 * joints + 1).astype(np.float32)
    residual = CorrectionNetwork(weights).residual(images, told)
    expected = by_definition(weights, images, told)
    assert residual.shape == (joints,) and np.abs(expected).max() > 0.01
    np.testing.assert_allclose(residual, expected, atol=1e-5)


def test_a_call_leaves_nothing_behind() -> None:
    network, rng = CorrectionNetwork(random_weights()), np.random.default_rng(2)
    inputs = [
        (rng.normal(size=(2, 64, 80, 4)).astype(np.float32), rng.normal(size=31).astype(np.float32)) for _ in "ab"
    ]
    kept = [(images.copy(), told.copy()) for images, told in inputs]
    first = [network.residual(*one) for one in inputs]
    again = [network.residual(*one) for one in reversed(inputs)]
    np.testing.assert_array_equal(first, again[::-1])
    assert all(
        np.array_equal(a, b) for one, other in zip(inputs, kept, strict=True) for a, b in zip(one, other, strict=True)
    )


def test_the_place_of_a_bright_spot_moves_with_it() -> None:
    """By hand: one channel passes the brightness on, so its place is that of the spot."""
    weights = random_weights(1, units=(1, 1))
    for name in ("conv1", "conv2", "conv3"):
        weight = np.zeros_like(weights[f"cameras.0.{name}.weight"])
        weight[0, 0, weight.shape[2] // 2, weight.shape[2] // 2] = 1
        weights[f"cameras.0.{name}.weight"] = weight
        weights[f"cameras.0.{name}.bias"] = np.zeros_like(weights[f"cameras.0.{name}.bias"])
    for number in (0, 2, 4):
        weights[f"mlp.{number}.weight"] = np.zeros_like(weights[f"mlp.{number}.weight"])
        weights[f"mlp.{number}.bias"] = np.zeros_like(weights[f"mlp.{number}.bias"])
        weights[f"mlp.{number}.weight"][:, 0] = 1  # the place across of channel 0
    weights["mlp.0.bias"] += 1  # the rectifiers pass -1 to 1 as 0 to 2
    weights["residual_scale"][:] = 1
    weights["cameras.0.sharpness"][:] = 50
    network, places = CorrectionNetwork(weights), []
    for column in (0, 8, 16):
        image = np.zeros((1, 20, 20, 4), np.float32)
        image[0, 8, column, 0] = 1
        places.append(network.residual(image, np.zeros(31, np.float32))[0] - 1)
    np.testing.assert_allclose(places, [-1, 0, 1], atol=1e-3)


def test_brightness_is_whole_and_never_overflows() -> None:
    image = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    np.testing.assert_array_equal(grey(image), [[0, 255, 76, 149, 28]])


def test_prepared_frames_by_hand_and_many_at_once() -> None:
    now, then = np.full((2, 4, 5, 3), 192, np.uint8), np.full((2, 4, 5, 3), 128, np.uint8)
    prepared = prepare(now, then)
    assert prepared.shape == (2, 4, 5, 4) and prepared.dtype == np.float32
    np.testing.assert_array_equal(prepared[0, 0, 0], [1, 1, 1, 1])
    np.testing.assert_array_equal(prepare(then, now)[1, 3, 4], [0, 0, 0, -1])
    np.testing.assert_array_equal(prepare(now[0], then[0]), prepared[0])
    earlier = np.full((2, 4, 5, 3), 160, np.uint8)
    np.testing.assert_array_equal(prepare(now, then, earlier)[0, 0, 0], [1, 1, 1, 1, 0.5])


@pytest.mark.parametrize(
    ("now", "then", "message"),
    [
        (np.zeros((4, 5, 3), np.float32), np.zeros((4, 5, 3), np.uint8), "frame of now: .* float32"),
        (np.zeros((4, 5, 4), np.uint8), np.zeros((4, 5, 3), np.uint8), r"frame of now: .*\(4, 5, 4\)"),
        (
            np.zeros((4, 5, 3), np.uint8),
            np.zeros((4, 6, 3), np.uint8),
            "frame of the request: expected shape 4 x 5 x 3",
        ),
    ],
)
def test_frames_of_another_shape_are_refused(now: np.ndarray, then: np.ndarray, message: str) -> None:
    with pytest.raises(CorrectionInputError, match=message):
        prepare(now, then)


def test_an_earlier_frame_of_another_shape_is_refused() -> None:
    now = np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(CorrectionInputError, match="earlier frame: expected shape 4 x 5 x 3, got 4 x 6 x 3"):
        prepare(now, now, np.zeros((4, 6, 3), np.uint8))


def broken(name: str, value: object) -> dict:
    weights = random_weights()
    if value is None:
        del weights[name]
    else:
        weights[name] = value(weights[name]) if callable(value) else value
    return weights


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mlp.2.bias", None, "weight mlp.2.bias: missing"),
        ("cameras.1.sharpness", None, "weight cameras.1.sharpness: missing"),
        ("cameras.0.conv2.weight", lambda w: w[:, :5], "conv2.weight: expected shape channels x 12 x 3 x 3, got 24"),
        ("cameras.1.conv1.weight", lambda w: w[:, :, :3, :3], "conv1.weight: expected shape channels x 4 x 5 x 5"),
        ("mlp.0.weight", lambda w: w[:, 1:], "mlp.0.weight: expected shape units x 175, got 192 x 174"),
        ("mlp.4.weight", lambda w: w[:5], "mlp.4.weight: expected shape 6 x 128, got 5 x 128"),
        ("mlp.4.bias", lambda w: w * np.nan, "mlp.4.bias: expected finite values, got 6 that are not"),
        ("input_std", lambda w: w * 0, "input_std: expected positive values, got 0"),
        ("input_mean", lambda w: w.astype(float), "input_mean: expected float32, got float64"),
        ("residual_scale", lambda w: w[:0], "residual_scale: expected values, got an empty one"),
        ("mlp.6.weight", np.zeros((1, 1), np.float32), "mlp.6.weight: expected no such weight in a network"),
    ],
)  # fmt: skip
def test_wrong_weights_are_refused_by_name(name: str, value: object, message: str) -> None:
    with pytest.raises(CorrectionInputError, match=message):
        CorrectionNetwork(broken(name, value))


def test_cameras_differ_in_nothing_but_weights() -> None:
    mixed = random_weights(2, channels=5) | {
        name: weight for name, weight in random_weights(2).items() if name == "cameras.1.conv1.weight"
    }
    with pytest.raises(CorrectionInputError, match=r"cameras\.1\.conv1\.weight: expected shape channels x 5 x 5 x 5"):
        CorrectionNetwork(mixed)


def test_a_network_with_an_earlier_frame_is_given_one() -> None:
    network = CorrectionNetwork(random_weights(channels=5))
    assert network.sees_earlier and not CorrectionNetwork(random_weights()).sees_earlier
    with pytest.raises(CorrectionInputError, match="images: expected shape 2 x height x width x 5"):
        network.residual(np.zeros((2, 64, 80, 4), np.float32), np.zeros(31, np.float32))


def test_inputs_of_another_shape_are_refused() -> None:
    network = CorrectionNetwork(random_weights())
    with pytest.raises(CorrectionInputError, match="images: expected shape 2 x height x width x 4"):
        network.residual(np.zeros((1, 64, 80, 4), np.float32), np.zeros(31, np.float32))
    with pytest.raises(CorrectionInputError, match=r"images: .* 3"):
        network.residual(np.zeros((2, 64, 80, 3), np.float32), np.zeros(31, np.float32))
    with pytest.raises(CorrectionInputError, match="proprioception: expected shape 31, got 26"):
        network.residual(np.zeros((2, 64, 80, 4), np.float32), np.zeros(26, np.float32))


def test_it_stays_in_one_thread_however_many_the_library_may_use() -> None:
    """Processor time of the process is that of the calling thread: no other one was woken for it."""
    program = """
import sys, time
import numpy as np
from correction_weights import random_weights
from so101_correction.core.network import CorrectionNetwork
network = CorrectionNetwork(random_weights())
inputs = np.ones((2, 64, 80, 4), np.float32), np.ones(31, np.float32)
network.residual(*inputs)
time.sleep(0.5)  # the library's threads spin for a while after they are made
begin, begin_thread = time.process_time(), time.thread_time()
for _ in range(50):
    network.residual(*inputs)
print(time.process_time() - begin, time.thread_time() - begin_thread)
"""
    environment = {
        **os.environ,
        "OPENBLAS_NUM_THREADS": "4",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    process, thread = map(float, done.stdout.split())
    assert process < 1.2 * thread + 0.01


def test_the_weights_are_its_own() -> None:
    weights = random_weights(0)
    network = CorrectionNetwork(weights)
    inputs = np.zeros((0, 64, 80, 4), np.float32), np.ones(31, np.float32)
    before = network.residual(*inputs)
    weights["mlp.4.bias"] += 1
    np.testing.assert_array_equal(network.residual(*inputs), before)
