# SPDX-License-Identifier: Apache-2.0
"""Forward kinematics on hand-solved arms and on the arm itself."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_description.errors import RowsShapeError, UrdfError
from so101_description.robot_model import RobotModel

URDF = (Path(__file__).parents[1] / "urdf" / "so101.urdf").read_text(encoding="utf-8")
ARM = RobotModel.parse(URDF)
TWO_LINKS = """<robot name="two">
  <joint name="elbow" type="revolute"><origin xyz="2 0 0"/><parent link="upper"/><child link="lower"/>
    <axis xyz="0 0 2"/><limit lower="-1" upper="1" effort="1" velocity="1"/></joint>
  <joint name="shoulder" type="revolute"><origin xyz="0 0 1" rpy="0 0 0"/><parent link="base"/><child link="upper"/>
    <axis xyz="0 0 1"/><limit lower="-2" upper="2" effort="1" velocity="1"/></joint>
  <joint name="tip_joint" type="fixed"><origin xyz="1 0 0"/><parent link="lower"/><child link="tip"/></joint>
  <link name="base"/><link name="upper"/><link name="lower"/><link name="tip"/></robot>"""


def test_two_links_bent_by_a_right_angle_each() -> None:
    arm = RobotModel.parse(TWO_LINKS)
    assert arm.joint_names == ("shoulder", "elbow")  # parents first, whatever the order of the text
    poses = arm.link_poses({"shoulder": math.pi / 2, "elbow": -math.pi / 2})
    assert poses["tip"][:3, 3] == pytest.approx([1.0, 2.0, 1.0])
    assert arm.path("tip", ("elbow", "shoulder"), np.array([[-math.pi / 2, math.pi / 2]]))[0] == pytest.approx(
        [1, 2, 1]
    )


def test_a_joint_without_a_position_stands_at_zero_and_an_unknown_one_moves_nothing() -> None:
    arm = RobotModel.parse(TWO_LINKS)
    assert arm.link_poses({"knee": 1.0})["tip"][:3, 3] == pytest.approx([3.0, 0.0, 1.0])
    assert arm.path("tip", ("knee",), np.array([[1.0], [2.0]])) == pytest.approx(np.array([[3.0, 0, 1], [3, 0, 1]]))


@given(st.lists(st.lists(st.floats(-2, 2), min_size=6, max_size=6), min_size=1, max_size=4))
def test_the_path_of_many_rows_is_each_rows_own_pose(rows: list[list[float]]) -> None:
    names = ARM.joint_names
    points = ARM.path("gripper_frame_link", names, np.array(rows))
    for row, point in zip(rows, points, strict=True):
        poses = ARM.link_poses(dict(zip(names, row, strict=True)))
        assert point == pytest.approx(poses["gripper_frame_link"][:3, 3], abs=1e-9)
        assert all(np.allclose(p[:3, :3] @ p[:3, :3].T, np.eye(3)) for p in poses.values())


def test_an_empty_plan_is_an_empty_path() -> None:
    assert ARM.path("gripper_frame_link", ARM.joint_names, np.empty((0, 6))).shape == (0, 3)


def test_the_arm_has_its_joints_in_the_order_of_the_topics_and_a_shape_for_each_moving_link() -> None:
    names = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
    assert ARM.joint_names == names
    assert all(ARM.shapes[joint.child] for joint in ARM.joints if joint.moves)
    assert ARM.root == "base_link"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<robot", "not a URDF"),
        ('<robot><link name="a"/><link name="b"/></robot>', "one link without a parent"),
        (TWO_LINKS.replace('"fixed"', '"floating"'), "expected fixed or revolute, got floating"),
        (TWO_LINKS.replace("1 0 0", "1 0"), "expected 3 numbers"),
    ],
)
def test_what_is_not_readable_is_one_line(text: str, words: str) -> None:
    with pytest.raises(UrdfError) as caught:
        RobotModel.parse(text)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_rows_of_another_arm_are_refused_with_both_shapes() -> None:
    with pytest.raises(RowsShapeError, match=r"rows has shape \(4, 5\): expected \(n, 6\), one column for each name"):
        ARM.path("gripper", ARM.joint_names, np.zeros((4, 5)))
