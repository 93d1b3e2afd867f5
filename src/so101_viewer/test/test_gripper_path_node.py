# SPDX-License-Identifier: Apache-2.0
"""The gripper's paths over DDS, compared with forward kinematics of what was sent."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("nav_msgs.msg", reason="nav_msgs is not installed here")
from nav_msgs.msg import Path
from sensor_msgs.msg import JointState
from so101_description.robot_description import urdf_folder
from so101_description.robot_model import RobotModel
from so101_node.topics.qos import JOINT_STATES_WRITER, PLAN
from so101_viewer.view.paths import GRIPPER_FRAME
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

ARM = RobotModel.parse((urdf_folder() / "so101.urdf").read_text(encoding="utf-8"))
NAMES = list(ARM.joint_names)


@pytest.fixture
def node(domain: int) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "so101_viewer.view.gripper_path_node"], env=dict(os.environ))
    yield
    process.terminate()
    assert process.wait(20) == 0


def point(positions: list[float]) -> list[float]:
    place = ARM.link_poses(dict(zip(NAMES, positions, strict=True)))[GRIPPER_FRAME][:3, 3]
    return [float(value) for value in place]


def points(path: Path) -> list[list[float]]:
    return [[pose.pose.position.x, pose.pose.position.y, pose.pose.position.z] for pose in path.poses]


def test_measured_and_planned_path_are_where_forward_kinematics_puts_them(
    node: None, domain: int, peer_in: Callable[[int], Any]
) -> None:
    peer = peer_in(domain)
    heard: dict[str, Path] = {}
    for name in ("measured", "planned"):
        peer.node.create_subscription(Path, f"gripper_path/{name}", lambda m, name=name: heard.update({name: m}), 1)
    states = peer.node.create_publisher(JointState, "joint_states", JOINT_STATES_WRITER)
    plans = peer.node.create_publisher(JointTrajectory, "action_plan", PLAN)
    positions = [0.3, -0.2, 0.4, 0.1, 0.0, 0.2]
    rows = [[0.3 + 0.1 * row, -0.2, 0.4, 0.1, 0.0, 0.2] for row in range(4)]

    def heard_both() -> bool:
        states.publish(JointState(name=NAMES, position=positions))
        plans.publish(JointTrajectory(joint_names=NAMES, points=[JointTrajectoryPoint(positions=row) for row in rows]))
        return set(heard) == {"measured", "planned"}

    assert peer.spin_until(heard_both, 60.0), f"heard {sorted(heard)} only"
    assert heard["planned"].header.frame_id == heard["measured"].header.frame_id == "base_link"
    for measured, expected in zip(points(heard["planned"]), map(point, rows), strict=True):
        assert measured == pytest.approx(expected, abs=1e-9)
    assert points(heard["measured"])[-1] == pytest.approx(point(positions), abs=1e-9)
