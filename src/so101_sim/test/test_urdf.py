# SPDX-License-Identifier: Apache-2.0
"""The committed URDF against the MuJoCo model that it was made from, by a walk over its XML that is this test's own."""

import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("mujoco", reason="the simulator's model is not installed here")
import mujoco
from so101_node.protocol import JOINT_NAMES
from so101_sim.core.joints import JointRanges
from so101_sim.generate_urdf import texts
from so101_sim.world.robot_from_mujoco import GRIPPER_FRAME, link_name
from so101_sim.world.scene import CAMERAS, build_model

URDF = Path(__file__).parents[2] / "so101_description" / "urdf" / "so101.urdf"
ARM = ("base", "shoulder", "upper_arm", "lower_arm", "wrist", "gripper", "camera_mount", "moving_jaw_so101_v1")


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return build_model()


def turn(axis: str, angle: float) -> NDArray[np.float64]:
    c, s = math.cos(angle), math.sin(angle)
    if axis == "x":
        return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    if axis == "y":
        return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def frames(positions: dict[str, float]) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Position and rotation of each link in base_link, from the XML alone."""
    robot = ElementTree.parse(URDF).getroot()
    found: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {"base_link": (np.zeros(3), np.eye(3))}
    for joint in robot.findall("joint"):  # written parents first
        parent, child = joint.find("parent"), joint.find("child")
        origin, axis = joint.find("origin"), joint.find("axis")
        assert parent is not None and child is not None and origin is not None
        at, facing = found[parent.attrib["link"]]
        xyz = np.array(origin.attrib["xyz"].split(), float)
        roll, pitch, yaw = (float(word) for word in origin.attrib["rpy"].split())
        facing_child = facing @ turn("z", yaw) @ turn("y", pitch) @ turn("x", roll)
        if joint.attrib["type"] == "revolute":
            assert axis is not None and axis.attrib["xyz"] == "0 0 1"
            facing_child = facing_child @ turn("z", positions[joint.attrib["name"]])
        found[child.attrib["link"]] = (at + facing @ xyz, facing_child)
    return found


def test_every_link_camera_and_the_gripper_frame_are_where_mujoco_has_them(model: mujoco.MjModel) -> None:
    ranges = JointRanges.of(model)
    data = mujoco.MjData(model)
    random = np.random.default_rng(4)
    for _ in range(200):
        angles = random.uniform(ranges.lower, ranges.upper)
        data.qpos[: len(JOINT_NAMES)] = angles
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        found = frames(dict(zip(JOINT_NAMES, ranges.to_driver(angles), strict=True)))
        for body in ARM:
            at, facing = found[link_name(body)]
            assert np.abs(at - data.body(body).xpos).max() < 1e-5, body
            assert np.abs(facing.ravel() - data.body(body).xmat).max() < 1e-5, body
        at, _ = found[GRIPPER_FRAME]
        assert np.abs(at - data.site("gripperframe").xpos).max() < 1e-5
        for camera in CAMERAS:
            at, facing = found[f"{camera}_optical_frame"]
            seen = data.cam(camera)
            assert np.abs(at - seen.xpos).max() < 1e-5, camera
            axes = seen.xmat.reshape(3, 3)  # columns: right, up, backward
            optical = np.stack([axes[:, 0], -axes[:, 1], -axes[:, 2]], axis=1)  # REP 103: right, down, forward
            assert np.abs(facing - optical).max() < 1e-5, camera


def test_a_camera_link_looks_along_its_x_axis(model: mujoco.MjModel) -> None:
    found = frames(dict.fromkeys(JOINT_NAMES, 0.0))
    for camera in CAMERAS:
        assert np.allclose(
            found[f"{camera}_camera_link"][1][:, 0], found[f"{camera}_optical_frame"][1][:, 2], atol=1e-6
        )


def test_joint_limits_are_the_models_ranges_about_the_zero_of_the_topics(model: mujoco.MjModel) -> None:
    ranges = JointRanges.of(model)
    limits = {}
    for joint in ElementTree.parse(URDF).getroot().findall("joint"):
        limit = joint.find("limit")
        if limit is not None:
            limits[joint.attrib["name"]] = (float(limit.attrib["lower"]), float(limit.attrib["upper"]))
    assert tuple(limits) == JOINT_NAMES
    for index, name in enumerate(JOINT_NAMES):
        half = (ranges.upper[index] - ranges.lower[index]) / 2
        assert limits[name] == pytest.approx((-half, half), abs=1e-6)


def test_the_committed_files_are_what_the_generator_writes() -> None:
    for name, text in texts().items():
        remedy = "run ./so101 ros python -m so101_sim.generate_urdf"
        assert (URDF.parent / name).read_text(encoding="utf-8") == text, f"{name} is out of date: {remedy}"


def test_the_two_files_differ_in_what_they_draw_only() -> None:
    boxes, meshes = (ElementTree.parse(URDF.parent / name).getroot() for name in ("so101.urdf", "so101_meshes.urdf"))
    assert len(boxes.findall(".//visual")) == len(meshes.findall(".//visual")) == 18
    assert not boxes.findall(".//mesh") and len(meshes.findall(".//visual/geometry/mesh")) == 18
    for root in (boxes, meshes):
        for link in root.findall("link"):
            for visual in link.findall("visual"):
                link.remove(visual)
    plain = [ElementTree.canonicalize(ElementTree.tostring(root), strip_text=True) for root in (boxes, meshes)]
    assert plain[0] == plain[1]
