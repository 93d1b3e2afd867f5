# SPDX-License-Identifier: Apache-2.0
"""The gripper's measured and planned path for rviz, from joint_states and action_plan by forward kinematics."""

import math

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from so101_description.mesh_files import robot_description
from so101_description.robot_description import urdf_folder
from so101_description.robot_model import RobotModel
from so101_node.parameters.declaring import declare
from so101_node.process import run_process
from so101_node.process.precedence import take_precedence
from so101_node.timing.timers import create_timer
from so101_node.topics.qos import JOINT_STATES_READER, PLAN
from trajectory_msgs.msg import JointTrajectory

from so101_viewer.polled import PolledTopic
from so101_viewer.view.gripper_path_parameters import GripperPathParameters
from so101_viewer.view.paths import GRIPPER_FRAME, Trail, planned_path

_PATH = QoSProfile(depth=1)


class GripperPathNode(Node):
    """Publishes `~/measured` and `~/planned` in the base frame."""

    def __init__(self) -> None:
        super().__init__("gripper_path")
        self._settings = declare(self, GripperPathParameters)
        take_precedence(self, self._settings.niceness)
        self._model = RobotModel.parse(robot_description(urdf_folder(), "none"))
        self._trail = Trail(self._settings.trail_s)
        self._measured = self.create_publisher(Path, "~/measured", _PATH)
        self._planned = self.create_publisher(Path, "~/planned", _PATH)
        self._joint_states = PolledTopic(self, JointState, "joint_states", JOINT_STATES_READER.depth)
        self.create_subscription(JointTrajectory, "action_plan", self._on_plan, PLAN)
        create_timer(self, 1.0 / self._settings.rate_hz, self._on_timer)

    def _on_plan(self, plan: JointTrajectory) -> None:
        if self._planned.get_subscription_count():
            rows = [point.positions for point in plan.points]
            self._planned.publish(self._path(planned_path(self._model, plan.joint_names, rows)))

    def _on_timer(self) -> None:
        state = self._joint_states.newest()
        if state is None or len(state.name) != len(state.position) or not all(map(math.isfinite, state.position)):
            return
        links = self._model.link_poses(dict(zip(state.name, state.position, strict=True)))
        self._trail.add(self.get_clock().now().nanoseconds, links[GRIPPER_FRAME][:3, 3])
        if self._measured.get_subscription_count():
            self._measured.publish(self._path(self._trail.points()))

    def _path(self, points: NDArray[np.float64]) -> Path:
        path = Path()
        path.header.stamp = self.get_clock().now().to_msg()
        path.header.frame_id = self._settings.frame_prefix + self._model.root
        for x, y, z in points.tolist():
            pose = PoseStamped(header=path.header)
            pose.pose.position.x, pose.pose.position.y, pose.pose.position.z = x, y, z
            path.poses.append(pose)
        return path


def main() -> None:
    """Run the gripper's path."""
    run_process(GripperPathNode)


if __name__ == "__main__":
    main()
