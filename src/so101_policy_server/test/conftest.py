# SPDX-License-Identifier: Apache-2.0
"""Values that many tests need: a robot's spec, requests, frames, a policy's description; and tiny real checkpoints."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "SYSTEM_DEFAULT")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parent))

from so101_node.protocol import PolicySpec, ReceivedSpec
from so101_node.protocol.units import Units
from so101_policy_server.core.request import CameraNeed, PolicyRequest, ReceivedFrame, RequestKey, SessionKey
from so101_policy_server.core.server import PolicyServer
from so101_policy_server.core.server_config import ServerConfig
from so101_policy_server.core.spec_check import ServedSettings
from so101_policy_server.policy import ImageFeature, PolicyDescription, PolicySource, Prediction

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
NS = 1_000_000_000


class Examples:
    """Makers of core values with everything in order; keyword arguments replace single fields."""

    joints = JOINTS
    height, width = 24, 32

    def key(self, request_id: int = 1, session: int = 7, robot: str = "") -> RequestKey:
        return RequestKey(SessionKey(robot, session), request_id)

    def request(self, request_id: int = 1, *, session: int = 7, robot: str = "", **changes) -> PolicyRequest:
        request = PolicyRequest(
            key=self.key(request_id, session, robot),
            spec_id=9,
            step=10 * request_id,
            must_go=False,
            task="pick",
            joint_names=JOINTS,
            positions=np.full((1, 6), 0.1),
            leftover=np.zeros((0, 6)),
            expected_delay_steps=0,
            received_ns=0,
        )
        return replace(request, **changes)

    def frame(self, camera: str, request_id: int = 1, *, session: int = 7, robot: str = "", **changes) -> ReceivedFrame:
        frame = ReceivedFrame(
            key=self.key(request_id, session, robot),
            camera=camera,
            history_index=0,
            frame_seq=request_id,
            capture_age_s=0.01,
            format="png",
            data=np.frombuffer(self.png(), np.uint8),
            received_ns=0,
        )
        return replace(frame, **changes)

    def picture(self, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, (self.height, self.width, 3), dtype=np.uint8)

    def png(self, seed: int = 0) -> bytes:
        return cv2.imencode(".png", cv2.cvtColor(self.picture(seed), cv2.COLOR_RGB2BGR))[1].tobytes()

    def needs(self, *cameras: str) -> tuple[CameraNeed, ...]:
        return tuple(CameraNeed(camera, f"observation.images.{camera}", self.height, self.width) for camera in cameras)

    def description(self, *cameras: str, **changes) -> PolicyDescription:
        images = tuple(
            ImageFeature(f"observation.images.{name}", name, 3, self.height, self.width)
            for name in cameras or ("front", "wrist")
        )
        return replace(PolicyDescription("act", "/models/pick", "cpu", 50, images, 6, 6), **changes)

    def spec(self, **changes) -> ReceivedSpec:
        """`changes`: fields of both classes; path, device and rename_map stand for the longer names."""
        changes = {
            {"path": "pretrained_name_or_path", "device": "policy_device"}.get(k, k): v for k, v in changes.items()
        }
        if "rename_map" in changes:
            rename_map = changes.pop("rename_map")
            changes |= {"rename_from": tuple(rename_map), "rename_to": tuple(rename_map.values())}
        received = ReceivedSpec(
            session=7,
            spec_id=9,
            task="pick",
            spec=PolicySpec(
                policy_type="",
                pretrained_name_or_path="",
                policy_device="",
                actions_per_chunk=50,
                fps=30.0,
                cameras=("front", "wrist"),
                joint_names=JOINTS,
                units=0,
                range_lower=(-1.5,) * 6,
                range_upper=(1.5,) * 6,
                drive_mode=(0,) * 6,
                rename_from=(),
                rename_to=(),
            ),
        )
        own = {name: changes.pop(name) for name in ("session", "spec_id", "task") if name in changes}
        return replace(received, **own, spec=replace(received.spec, **changes))

    def served(self, **changes) -> ServedSettings:
        return replace(ServedSettings(JOINTS, Units.DEGREES, 30.0, 50), **changes)

    def config(self, **changes) -> ServerConfig:
        return replace(ServerConfig(PolicySource("/models/pick"), self.served()), **changes)

    def ready_server(self, **changes) -> PolicyServer:
        """Active, policy loaded, the spec of robot "" accepted."""
        server = PolicyServer(self.config(**changes))
        server.start()
        server.activate()
        server.loaded(self.description(), 0)
        server.spec("", self.spec(), 0)
        return server


class SpyPolicy:
    """Remembers what it was asked; answers with row i = base + i in every joint, in the policy's units."""

    def __init__(self, description: PolicyDescription, base: float = 0.0) -> None:
        self.description = description
        self.base = base
        self.asked: list[tuple] = []
        self.resets = 0

    def infer(self, observation, leftover) -> Prediction:
        self.asked.append((observation, leftover))
        rows = np.arange(self.description.horizon, dtype=np.float32)[:, None] + np.float32(self.base)
        return Prediction(np.repeat(rows, self.description.action_dim, axis=1), 0.001, 0.002, 0.003)

    def reset(self) -> None:
        self.resets += 1


@pytest.fixture(scope="session")
def examples() -> Examples:
    return Examples()


@pytest.fixture(scope="session")
def spy_policy() -> type[SpyPolicy]:
    return SpyPolicy


def _checkpoint(kind: str) -> Path:
    import tiny_policies

    return tiny_policies.cached(kind)


@pytest.fixture(scope="session")
def tiny_act() -> Path:
    return _checkpoint("act")


@pytest.fixture(scope="session")
def tiny_smolvla() -> Path:
    return _checkpoint("smolvla")


@pytest.fixture(scope="session")
def tiny_vqbet() -> Path:
    return _checkpoint("vqbet")


@pytest.fixture(scope="session")
def tiny_diffusion() -> Path:
    return _checkpoint("diffusion")


@pytest.fixture(scope="session")
def tiny_checkpoint() -> Callable[[str], Path]:
    """Makes a checkpoint of the kind that it is called with."""
    return _checkpoint
