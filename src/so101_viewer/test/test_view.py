# SPDX-License-Identifier: Apache-2.0
"""The view's parts without ROS and without a browser: shapes, paths, table, ports, command line."""

import math
import socket
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from so101_description.mesh_files import robot_description
from so101_description.robot_description import urdf_folder
from so101_description.robot_model import RobotModel
from so101_node.metrics.latency import LatencyBreakdown, LatencyWindow
from so101_viewer.view.__main__ import ros_arguments
from so101_viewer.view.arm_shapes import box_triangles, link_shapes
from so101_viewer.view.paths import GRIPPER_FRAME, Trail, planned_path

pytest.importorskip("rerun", reason="rerun-sdk is not installed here")
import rerun.blueprint as rrb
from so101_viewer.errors import ViewerError
from so101_viewer.view.layout import STATES, blueprint
from so101_viewer.view.rerun_log import correction_table, latency_table
from so101_viewer.view.row_listener import CorrectedRow, corrected_row
from so101_viewer.view.view_node import silence
from so101_viewer.view.viewer_server import HOST, ViewerServer, free_port, is_free

ARM = RobotModel.parse(robot_description(urdf_folder(), "none"))


def no_mesh(file: str) -> NDArray[np.float32]:
    raise AssertionError(file)


def test_a_box_is_closed_and_looks_outwards() -> None:
    triangles = box_triangles((1.0, 2.0, 3.0))
    across = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    assert (np.einsum("ij,ij->i", across, triangles.mean(axis=1)) > 0).all()
    assert np.linalg.norm(across, axis=1).sum() / 2 == pytest.approx(2 * (1 * 2 + 2 * 3 + 1 * 3))
    volume = np.einsum("ij,ij->i", triangles[:, 0], np.cross(triangles[:, 1], triangles[:, 2])).sum() / 6
    assert volume == pytest.approx(6.0)


def test_every_link_with_a_visual_has_a_shape_with_a_normal_and_a_colour_for_each_corner() -> None:
    shapes = link_shapes(ARM, no_mesh)
    assert set(shapes) == {link for link, parts in ARM.shapes.items() if parts}
    for shape in shapes.values():
        assert len(shape.corners) == len(shape.normals) == len(shape.colours) > 0
        assert np.linalg.norm(shape.normals, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_meshes_stand_in_their_links_pose() -> None:
    model = RobotModel.parse(
        '<robot name="r"><link name="a"><visual><origin xyz="1 0 0" rpy="0 0 1.5707963267948966"/>'
        '<geometry><mesh filename="file:///x/part.stl"/></geometry></visual></link></robot>'
    )
    loaded = []

    def read(file: str) -> NDArray[np.float32]:
        loaded.append(file)
        return np.array([[[1, 0, 0], [2, 0, 0], [1, 1, 0]]], np.float32)

    assert link_shapes(model, read)["a"].corners == pytest.approx(np.array([[1, 1, 0], [1, 2, 0], [0, 1, 0]]), abs=1e-6)
    assert loaded == ["file:///x/part.stl"]


def test_the_trail_forgets_what_is_older_than_its_length_and_takes_no_point_that_is_not_finite() -> None:
    trail = Trail(1.0)
    for tick in range(40):
        trail.add(tick * 100_000_000, np.array([float(tick), 0.0, 0.0]))
    trail.add(3_950_000_000, np.array([math.nan, 0.0, 0.0]))
    assert trail.points()[:, 0].tolist() == [float(tick) for tick in range(30, 40)]


def test_where_time_goes_back_the_trail_begins_again() -> None:
    """A bag that is played again with its clock: what the first pass left would stay for as long as the pass took."""
    trail = Trail(1.0)
    for time_ns in (5_000_000_000, 5_100_000_000, 1_000_000_000, 1_100_000_000):
        trail.add(time_ns, np.array([time_ns * 1e-9, 0.0, 0.0]))
    assert trail.points()[:, 0] == pytest.approx([1.0, 1.1])


def test_a_plan_is_the_path_of_its_rows_and_a_row_that_does_not_fit_gives_none() -> None:
    names = ARM.joint_names
    rows = [[0.0] * 6, [0.5, 0.0, 0.0, 0.0, 0.0, 0.0]]
    path = planned_path(ARM, names, rows)
    assert path[1] == pytest.approx(ARM.link_poses({"shoulder_pan": 0.5})[GRIPPER_FRAME][:3, 3])
    assert planned_path(ARM, names, [[0.0] * 5]).shape == planned_path(ARM, names, []).shape == (0, 3)


def test_the_table_names_every_stage_and_says_what_is_an_estimate() -> None:
    window = LatencyWindow()
    newest = LatencyBreakdown(math.nan, 0.020, 0.001, 0.004, 0.003, 0.002, 0.0451, 0.001, 0.0, 0.02)
    window.add(newest)
    table = latency_table(newest, window)
    for word in ("frame age", "both ways", "mailbox", "frames awaited", "decode", "preprocess", "postprocess", "queue"):
        assert word in table
    assert "| *one way (estimate: half)* | 10.0 | 10.0 | 10.0 |" in table
    assert "| **inference** | 45.1 | 45.1 | 45.1 |" in table
    assert "| frame age |  |  |  |" in table  # not known is not zero
    assert len({line.count("|") for line in table.splitlines()}) == 1


def test_the_states_are_named_as_in_the_messages() -> None:
    from so101_msgs.msg import DriverStatus, EpisodeEvent, PolicyStatus, QueueStatus

    messages = {"queue": QueueStatus, "driver": DriverStatus, "server": PolicyStatus, "episode": EpisodeEvent}
    for lane, message in messages.items():
        assert [getattr(message, name) for name in STATES[lane]] == list(range(len(STATES[lane])))


def views(part: object) -> list[rrb.View]:
    """The views in a part of the page."""
    if isinstance(part, rrb.View):
        return [part]
    return [view for inner in getattr(part, "contents", []) for view in views(inner)]


def test_the_page_has_an_image_for_each_camera_and_a_plot_for_each_joint() -> None:
    page = blueprint(["top", "wrist"], ARM.joint_names)
    names = {str(view.name) for view in views(page.root_container)}
    assert {"top", "wrist", "states", "log", *ARM.joint_names} <= names


def test_where_rows_are_corrected_the_page_shows_what_is_added_and_why_nothing_is() -> None:
    row = CorrectedRow({"shoulder_pan": 0.5, "gripper": 0.1}, {"shoulder_pan": -0.1, "gripper": 0.0})
    assert row.corrected == pytest.approx({"shoulder_pan": 0.4, "gripper": 0.1})
    table = correction_table(row, 0.023, "")
    assert table.startswith("**correcting**: gripper 2.3 cm off its plan\n")
    assert "| shoulder_pan | 28.6 | 22.9 | -5.7 |" in table
    assert correction_table(row, 0.0, "top is frozen").startswith("**as planned**: top is frozen\n")
    plain, corrected = (
        {str(view.name) for view in views(blueprint(["top"], ARM.joint_names, corrected=on).root_container)}
        for on in (False, True)
    )
    assert corrected - plain >= {"correction", "correction of each joint, degrees"} and "correction" not in plain


def test_a_tick_without_a_correction_or_that_does_not_fit_its_joints_gives_no_row() -> None:
    from so101_msgs.msg import QueueDecision

    tick = QueueDecision(joint_names=["a", "b"], setpoint=[1.0, 2.0], correction=[0.0, 0.5])
    assert corrected_row(tick) == CorrectedRow({"a": 1.0, "b": 2.0}, {"a": 0.0, "b": 0.5})
    tick.correction = [0.5]
    assert corrected_row(tick) is None
    assert corrected_row(QueueDecision(joint_names=["a"], setpoint=[1.0])) is None


def test_a_port_in_use_is_refused_in_one_line_that_names_it() -> None:
    port = free_port(19100)
    with socket.socket() as taken:
        taken.bind((HOST, port + 1))
        taken.listen()
        assert is_free(port) and not is_free(port + 1)
        with pytest.raises(ViewerError) as caught:
            ViewerServer(port, 50, lambda name, line: None)
        assert str(port + 1) in str(caught.value) and "--port" in str(caught.value)
        run = subprocess.run(
            [sys.executable, "-m", "so101_viewer.view", "--no-browser", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1 and f"port {port + 1} is in use" in run.stderr


@pytest.mark.parametrize("port", ["0", "65535", "x", "-1"])
def test_a_port_that_is_none_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        ros_arguments(["--port", port])
    assert caught.value.code == 2
    [said] = capsys.readouterr().err.splitlines()
    assert f"{port}: must be 1 to 65534" in said


def test_a_view_that_hears_no_robot_says_in_which_domain_it_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    assert silence(lambda _topic: 0).startswith("no robot is heard in ROS_DOMAIN_ID=42 yet")
    assert silence({"joint_states": 1, "action_queue/status": 0}.__getitem__) == ""


def test_the_verbs_options_become_parameters_of_the_node() -> None:
    words = ros_arguments(["--port", "9300", "--no-browser", "--namespace", "left"])
    assert words[:3] == ["--ros-args", "-r", "__ns:=/left"]
    assert {"port:=9300", "open_browser:=false", "meshes:=auto"} == set(words[4::2])
