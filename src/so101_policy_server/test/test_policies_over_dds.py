# SPDX-License-Identifier: Apache-2.0
"""Every policy of LeRobot through the real node over DDS, against LeRobot itself on the same pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("lerobot", reason="LeRobot is not installed")

import tiny_vlas
import torch
from dds_robot import JOINTS, Robot, RunningServer
from lerobot.common.control_utils import predict_action
from lerobot.configs import PreTrainedConfig
from lerobot.policies import get_policy_class, make_pre_post_processors
from lerobot.policies.utils import prepare_observation_for_inference
from so101_msgs.msg import ActionChunk
from so101_policy_server.lerobot.kinds import NOT_SERVED
from so101_policy_server.lerobot.library import load as load_lerobot
from so101_policy_server.policy import Policy, PolicySource, Progress
from tiny_policies import CAMERAS

CAMERA_OF = {"observation.image": "front"}
TASK = "pick the cube to place"
CPU = torch.device("cpu")
SEED = 3
TOLERANCE_RAD = 1e-5
"""The chunk travels as float32 rad: 1e-7 of 2 rad, and as much again for the conversion on either side."""

APART_RAD = {"act_ttt": 0.01}
"""act_ttt tunes its backbone at each inference and keeps that: the server's warm-up has changed it by 6e-4 rad."""

VARIANTS = ("diffusion_1",)
"""The same type again, with other settings."""

FAST = ("act", "diffusion", "pi0", "smolvla")
KINDS = [
    pytest.param(kind, marks=() if kind in FAST else pytest.mark.long, id=kind) for kind in sorted(tiny_vlas.MAKERS)
]


loaded: list[Policy] = []


def seeded(source: PolicySource, progress: Progress) -> Policy:
    """Load with LeRobot; each inference draws its noise from one seed, so that both sides draw the same."""
    policy = load_lerobot(source, progress)
    own = policy.infer

    def infer(observation, leftover):
        torch.manual_seed(SEED)
        return own(observation, leftover)

    policy.infer = infer  # type: ignore[method-assign]
    loaded.append(policy)
    return policy


class LocalLeRobot:
    """The checkpoint as LeRobot's own programs load it, asked with the pictures and joints of the request."""

    def __init__(self, folder: Path) -> None:
        self.config = PreTrainedConfig.from_pretrained(folder)
        self.config.pretrained_path = str(folder)
        if hasattr(self.config, "pretrained_backbone_weights"):
            self.config.pretrained_backbone_weights = None
        self.policy = get_policy_class(self.config.type).from_pretrained(folder, config=self.config).eval()
        self.played = getattr(self.config, "n_action_steps", None) or self.config.action_chunk_size
        queues = getattr(self.policy, "_queues", None) or {}
        self.reads_queues = "observation.state" in queues or "observation.images" in queues
        self.before, self.after = make_pre_post_processors(self.config, pretrained_path=str(folder))

    def rows_of_select_action(self, frames: list[dict[str, Any]], count: int) -> np.ndarray:
        """(count, joints): what `predict_action` returns tick by tick from the newest frame on.

        A policy of several steps has read the older frames at the ticks before, and it looks again only when its queue
        of actions has run out: so often is it asked with the oldest frame first.
        """
        self.policy.reset()
        ticks = [frames[0]] * ((1 - len(frames)) % self.played) + frames[:-1] + [frames[-1]] * count
        rows = []
        for number, frame in enumerate(ticks):
            if number == len(ticks) - count:
                torch.manual_seed(SEED)
            action = predict_action(dict(frame), self.policy, CPU, self.before, self.after, False, TASK, "so101")
            rows.append(action[0].numpy())
        return np.stack(rows[-count:])

    def rows_of_the_chunk(self, frame: dict[str, Any]) -> np.ndarray:
        """(rows, joints): `predict_action_chunk` itself, for policies that read one step."""
        self.policy.reset()
        batch = self.before(prepare_observation_for_inference(dict(frame), CPU, TASK, "so101"))
        torch.manual_seed(SEED)
        with torch.no_grad():
            return self.after(self.policy.predict_action_chunk(batch))[0].numpy()


@dataclass(frozen=True)
class Scene:
    """What cameras and joints show: `steps` observations, oldest first."""

    pictures: list[dict[str, np.ndarray]]
    joints_rad: np.ndarray

    @classmethod
    def random(cls, steps: int, size: tuple[int, int]) -> Scene:
        noise = np.random.default_rng(5)
        pictures = [
            {camera: noise.integers(0, 256, (*size, 3), dtype=np.uint8) for camera in CAMERAS} for _ in range(steps)
        ]
        return cls(pictures, noise.uniform(-1, 1, (steps, 6)))

    def frames(self, keys: list[str]) -> list[dict[str, Any]]:
        """As LeRobot's robots give them: degrees, the gripper in 0..100 of its range of -1.5..1.5 rad."""
        state = np.degrees(self.joints_rad)
        state[:, 5] = (self.joints_rad[:, 5] + 1.5) / 3.0 * 100.0
        return [
            {"observation.state": row.astype(np.float32)}
            | {key: shown[CAMERA_OF.get(key, key.rsplit(".", 1)[-1])] for key in keys}
            for row, shown in zip(state, self.pictures, strict=True)
        ]


def in_radians(rows: np.ndarray) -> np.ndarray:
    """LeRobot's degrees and gripper as rad, the gripper within its range as LeRobot's own bus clamps it."""
    rad = np.radians(rows.astype(np.float64))
    rad[:, 5] = np.clip(rows[:, 5], 0.0, 100.0) / 100.0 * 3.0 - 1.5
    return rad


@pytest.fixture
def served() -> Iterator[Callable[..., Robot]]:
    running: list[Any] = []

    def start(folder: Path, **parameters: Any) -> Robot:
        server = RunningServer(
            seeded,
            pretrained_name_or_path=str(folder),
            torch_threads=1,
            max_frame_age_s=10.0,
            robots=["/parity"],
            **parameters,
        )
        running.append(server)
        robot = Robot("/parity", CAMERAS)
        running.insert(0, robot)
        robot.send_spec(task=TASK)
        robot.wait_until_heard()
        return robot

    yield start
    for one in running:
        one.close()
    loaded.clear()


@pytest.mark.parametrize("kind", KINDS)
def test_a_chunk_over_dds_is_what_lerobot_itself_gives(kind: str, served: Callable) -> None:
    try:
        folder = tiny_vlas.cached(kind)
    except ImportError as error:
        pytest.skip(f"{kind} needs a package that is not installed: {error}")
    with tiny_vlas.surroundings(kind):
        local = LocalLeRobot(folder)
        # TD-MPC's one picture has no camera's name in its key.
        robot = served(folder, **({"cameras": ["front"]} if kind == "tdmpc" else {}))
        described = loaded[-1].description
        keys = [image.key for image in described.images]
        # A policy that scales pictures itself gets those of the camera, others those of the size that trained them.
        size = (96, 128) if described.images[0].native else (described.images[0].height, described.images[0].width)
        scene = Scene.random(described.n_obs_steps, size)
        frames = scene.frames(keys)
        robot.ask(1, task=TASK, history=described.n_obs_steps, positions=scene.joints_rad.ravel().tolist())
        for index, shown in enumerate(reversed(scene.pictures)):
            for camera in CAMERAS:
                png = cv2.imencode(".png", cv2.cvtColor(shown[camera], cv2.COLOR_RGB2BGR))[1].tobytes()
                robot.show(camera, 1, png, history_index=index, frame_seq=described.n_obs_steps - index)
        chunk = robot.answer_to(1)
        assert chunk.status == ActionChunk.OK, chunk.message
        rows = np.asarray(chunk.positions).reshape(chunk.rows, len(JOINTS))
        assert chunk.rows == min(described.horizon, 50)

        began = time.monotonic()
        tolerance_rad = APART_RAD.get(kind, TOLERANCE_RAD)
        played = min(local.played, chunk.rows)
        assert np.abs(rows[:played] - in_radians(local.rows_of_select_action(frames, played))).max() < tolerance_rad
        if not local.reads_queues:  # diffusion's kind predicts only from queues that `select_action` has filled
            direct = in_radians(local.rows_of_the_chunk(frames[-1]))
            assert np.abs(rows - direct[: chunk.rows]).max() < tolerance_rad
        print(f"{kind}: {chunk.rows} rows, {played} played; LeRobot took {time.monotonic() - began:.2f} s")


def test_each_policy_of_lerobot_is_served_here_or_named_with_the_reason() -> None:
    import lerobot.policies  # noqa: F401 - registers every policy type

    known = {
        name
        for name in PreTrainedConfig.get_known_choices()
        if PreTrainedConfig.get_choice_class(name).__module__.startswith("lerobot.policies.")
    }
    assert (
        known
        == {kind for kind in tiny_vlas.MAKERS if kind not in VARIANTS} - tiny_vlas.PLUGINS.keys() | NOT_SERVED.keys()
    )
