# SPDX-License-Identifier: Apache-2.0
"""Networks and files with random weights, of the size that is trained."""

from dataclasses import replace

import numpy as np
from so101_correction.core.correction_file import CorrectionFile
from so101_correction.core.features import feature_count

JOINTS = ("pan", "lift", "elbow", "flex", "roll", "gripper")


def random_weights(
    cameras: int = 2, joints: int = 6, seed: int = 0, units: tuple[int, int] = (192, 128), channels: int = 4
) -> dict:
    """Weights as a fresh network of torch has them (uniform, by fan-in), so that no layer saturates.

    channels: of a prepared frame; 5 = with an earlier one.
    """
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        bound = 1 / np.sqrt(np.prod(shape[1:]) or 1)
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    weights = {}
    for camera in range(cameras):
        for name, shape in (("conv1", (12, channels, 5, 5)), ("conv2", (24, 12, 3, 3)), ("conv3", (24, 24, 3, 3))):
            weights[f"cameras.{camera}.{name}.weight"] = draw(*shape)
            weights[f"cameras.{camera}.{name}.bias"] = 0.1 * draw(shape[0], 1)[:, 0]
        weights[f"cameras.{camera}.sharpness"] = np.array([3.0], np.float32)
    features = feature_count(joints)
    size = features + cameras * 72
    for number, width in ((0, units[0]), (2, units[1]), (4, joints)):
        weights[f"mlp.{number}.weight"] = draw(width, size)
        weights[f"mlp.{number}.bias"] = 0.1 * draw(width, 1)[:, 0]
        size = width
    weights["input_mean"] = 0.1 * draw(features, 1)[:, 0]
    weights["input_std"] = rng.uniform(0.2, 1.0, features).astype(np.float32)
    weights["residual_scale"] = rng.uniform(0.5, 1.5, joints).astype(np.float32)
    return weights


def correction_file(cameras: tuple[str, ...] = ("top", "wrist"), **changes: object) -> CorrectionFile:
    file = CorrectionFile(
        weights=random_weights(len(cameras)),
        fingerprint="0123456789abcdef" * 4,
        cameras=cameras,
        height=64,
        width=80,
        joint_names=JOINTS,
        fps=30.0,
        oldest_age_steps=54,
        largest_delta_rad=0.5,
        largest_change_rad=0.06,
        trained={"tasks": "belt_changing", "episodes": "106"},
    )
    return replace(file, **changes)  # type: ignore[arg-type]
