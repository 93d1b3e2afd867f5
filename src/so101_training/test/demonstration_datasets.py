# SPDX-License-Identifier: Apache-2.0
"""Small LeRobotDatasets as people record them, and a policy that predicts from what it is shown."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lerobot.configs.video import RGBEncoderConfig
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from so101_node.protocol import JOINT_NAMES
from so101_policy_server.policy import ImageFeature, Observation, PolicyDescription, Prediction

FRAMES, SIZE = 13, (48, 60)


def record(
    root: Path,
    episodes: int = 2,
    *,
    fps: int = 30,
    joints: Sequence[str] = JOINT_NAMES,
    cameras: Sequence[str] = ("top",),
    scale: float = 1.0,
    videos: bool = False,
) -> Path:
    """Joints run from -40 degrees up by 4 a frame; frame t of an episode is as bright as 10 t."""
    column = {"dtype": "float32", "shape": (len(joints),), "names": [f"{joint}.pos" for joint in joints]}
    kind = "video" if videos else "image"
    image = {"dtype": kind, "shape": (*SIZE, 3), "names": ["height", "width", "channels"]}
    features = {"observation.state": column, "action": dict(column)}
    features |= {f"observation.images.{camera}": dict(image) for camera in cameras}
    # The encoder of LeRobot's choice, SVT-AV1, puts this process under SCHED_FIFO where it may.
    encoder = RGBEncoderConfig(vcodec="h264")
    dataset = LeRobotDataset.create(
        "local/test", fps, features, root=root, use_videos=videos, video_backend="pyav", rgb_encoder=encoder
    )
    for _ in range(episodes):
        for frame in range(FRAMES):
            at = np.full(len(joints), (4.0 * frame - 40.0) * scale, np.float32)
            seen = {f"observation.images.{camera}": np.full((*SIZE, 3), 10 * frame, np.uint8) for camera in cameras}
            dataset.add_frame({"observation.state": at, "action": at + scale, "task": "Lift it", **seen})
        dataset.save_episode()
    dataset.finalize()
    return root


class ShownPolicy:
    """Predicts the joint positions that it is shown, plus the brightness of its frame; counts its chunks."""

    def __init__(self, rows: int = 6, size: tuple[int, int] = SIZE, *, native: bool = False, n_obs_steps: int = 1):
        image = ImageFeature("observation.images.top", "top", 3, *size, native=native)
        self.description = PolicyDescription("shown", "", "cpu", rows, (image,), 6, 6, n_obs_steps=n_obs_steps)
        self.shown: list[Observation] = []

    def reset(self) -> None:
        """Forget nothing: there is nothing to forget."""

    def infer(self, observation: Observation, leftover: object) -> Prediction:
        """The same row again and again."""
        self.shown.append(observation)
        frame = observation.images["observation.images.top"][-1]
        row = observation.state[-1] + frame.mean() / 10
        return Prediction(np.repeat(row[None], self.description.horizon, 0).astype(np.float32), 0.0, 0.0, 0.0)
