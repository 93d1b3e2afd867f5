# SPDX-License-Identifier: Apache-2.0
"""The layouts for rviz, rqt and PlotJuggler: of the right form, with plugins that exist and topics that are ours.

None of the three programs is installed where these tests run. The layouts of rviz and rqt were saved by the programs
themselves; these tests keep them at that.
"""

import ast
import json
import os
import re
import struct
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import rclpy
import yaml
from sensor_msgs.msg import JointState
from so101_launch_runner.find_file import find_launch_file
from so101_launch_runner.process_spec import ProcessSpec
from so101_msgs.msg import QueueNumbers, QueueStatus, ServoNumbers
from so101_node.diagnostics.publishing import node_name
from so101_viewer.view.desktop_program import PROGRAMS

from so101_launch_runner import resolve

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "config"

# Plugins by the names under which ROS 2 Jazzy registers them: rviz_default_plugins/plugins_description.xml and
# rviz_common (ros2/rviz, branch jazzy); plugin.xml of the rqt packages (ros-visualization).
RVIZ_CLASSES = {
    "rviz_common/Displays",
    "rviz_default_plugins/Grid",
    "rviz_default_plugins/RobotModel",
    "rviz_default_plugins/TF",
    "rviz_default_plugins/Path",
    "rviz_default_plugins/Image",
    "rviz_default_plugins/Interact",
    "rviz_default_plugins/MoveCamera",
    "rviz_default_plugins/Select",
    "rviz_default_plugins/FocusCamera",
    "rviz_default_plugins/Measure",
    "rviz_default_plugins/Orbit",
}
RQT_PLUGINS = {"rqt_image_view/ImageView", "rqt_plot/Plot", "rqt_robot_monitor/RobotMonitor", "rqt_console/Console"}

# Topics that the layouts may name: those of docs/reference/topics.md and of view.launch.xml, each with what it carries.
PICTURES = {f"/{camera}/image_raw{end}" for camera in ("front", "top", "wrist") for end in ("", "/compressed")}
PICTURES.add("/queue_plot/image")
PATHS = {"/gripper_path/measured", "/gripper_path/planned"}
NUMBERS = {
    "/action_queue/status": QueueStatus,
    "/numbers/queue": QueueNumbers,
    "/numbers/servos": ServoNumbers,
}
POSES = ("/joint_states", "/joint_command")

RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"


def rviz() -> dict[str, Any]:
    layout: dict[str, Any] = yaml.safe_load((CONFIG / "view.rviz").read_text(encoding="utf-8"))
    return layout


def perspective() -> dict[str, Any]:
    layout: dict[str, Any] = json.loads((CONFIG / "view.perspective").read_text(encoding="utf-8"))
    return layout


def classes(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["Class"]} if part.get("Class") else set()
        return own.union(*(classes(value) for value in part.values()))
    return set().union(*(classes(item) for item in part)) if isinstance(part, list) else set()


def test_rviz_finds_every_class_and_every_display_has_a_name_of_its_own() -> None:
    assert classes(rviz()) == RVIZ_CLASSES
    names = [display["Name"] for display in rviz()["Visualization Manager"]["Displays"]]
    assert len(set(names)) == len(names)


def test_rviz_shows_model_paths_cameras_and_queue_plot_with_qos_that_matches_their_publishers() -> None:
    """Its topics are relative: rviz resolves them in the namespace that view.launch.xml gives its node."""
    topics = {}
    for display in rviz()["Visualization Manager"]["Displays"]:
        for key in ("Topic", "Description Topic"):
            if key in display:
                topics[display[key]["Value"]] = display[key]
    compressed = {picture.removeprefix("/") for picture in PICTURES if picture.endswith("/compressed")}
    paths = {path.removeprefix("/") for path in PATHS}
    assert set(topics) == {"robot_description", "queue_plot/image", *paths, *compressed}
    # The cameras' streams are offered reliably, for tools that ask for that; a viewer needs no old picture again.
    assert all(topics[topic]["Reliability Policy"] == "Best Effort" for topic in compressed)
    assert topics["robot_description"]["Durability Policy"] == "Transient Local"


def test_rvizs_frames_are_links_of_the_arm() -> None:
    from so101_description.robot_description import urdf_folder
    from so101_description.robot_model import RobotModel

    links = RobotModel.parse((urdf_folder() / "so101.urdf").read_text(encoding="utf-8")).links
    text = (CONFIG / "view.rviz").read_text(encoding="utf-8")
    frames = set(re.findall(r"(?:Fixed Frame|Reference Frame|Target Frame): (\S+)", text))
    assert frames == {"base_link"} and frames <= set(links)


def test_rqt_runs_plugins_that_exist_and_each_setting_belongs_to_one_that_runs() -> None:
    manager = perspective()["groups"]["pluginmanager"]
    running = ast.literal_eval(manager["keys"]["running-plugins"]["repr"])
    assert set(running) == RQT_PLUGINS
    instances = {
        f"plugin__{name.replace('/', '__')}__{number}" for name, numbers in running.items() for number in numbers
    }
    assert set(manager["groups"]) <= instances


def test_rqt_shows_pictures_and_numbers_that_are_published() -> None:
    manager = perspective()["groups"]["pluginmanager"]
    shown, plotted = set(), set()
    for group in manager["groups"].values():
        keys = group["groups"]["plugin"]["keys"]
        if "topic" in keys:
            shown.add(ast.literal_eval(keys["topic"]["repr"]))
        if "topics" in keys:
            plotted.update(ast.literal_eval(keys["topics"]["repr"]))
    assert shown == {picture for picture in PICTURES if not picture.endswith("/compressed")}
    assert plotted and all(is_number(name) for name in plotted)


def test_plotjugglers_layout_has_its_form_and_plots_what_is_published() -> None:
    root = ElementTree.parse(CONFIG / "view_plotjuggler.xml").getroot()
    tabs = root.findall("tabbed_widget/Tab")
    assert [tab.get("tab_name") for tab in tabs] == ["queue", "server", "joints", "correction", "servos"]
    for splitter in root.iter("DockSplitter"):
        areas = splitter.findall("DockArea")
        sizes = [float(size) for size in splitter.attrib["sizes"].split(";")]
        assert len(areas) == int(splitter.attrib["count"]) == len(sizes)
        assert sum(sizes) == pytest.approx(1.0, abs=0.01)
        assert all(area.find("plot/curve") is not None for area in areas)
    curves = [curve.attrib["name"] for curve in root.iter("curve")]
    assert len(set(curves)) == len(curves)
    assert [curve for curve in curves if not is_number(curve)] == []


def test_plotjuggler_is_given_only_topics_that_any_version_of_it_can_plot() -> None:
    """Before 3.17 it ends at a bounded array; any version refuses an integer that no float64 holds, such as an id."""
    root = ElementTree.parse(CONFIG / "view_plotjuggler.xml").getroot()
    plotted = {
        match[0] for curve in root.iter("curve") if (match := re.match(r"(/numbers)?/\w+", curve.attrib["name"]))
    }
    assert plotted == {"/numbers/queue", "/numbers/servos", *POSES}
    for message in (QueueNumbers, ServoNumbers):
        kinds = set(message.get_fields_and_field_types().values())
        assert kinds <= {"std_msgs/Header", "double", "sequence<double>"}, message
    # What is to be chosen in its dialog is written where people look.
    for text in (
        (CONFIG / "view_plotjuggler.xml").read_text("utf-8"),
        (ROOT / "docs" / "how-to" / "viewing.md").read_text("utf-8"),
    ):
        assert all(topic in text for topic in plotted)


def is_number(name: str) -> bool:
    """Whether a series, `topic/field`, `topic/field[i]` or `pose/joint/position`, is a number that is published."""
    from so101_node.protocol import JOINT_NAMES

    for topic in POSES:
        if name.startswith(f"{topic}/"):
            joint, _, kind = name.removeprefix(f"{topic}/").partition("/")
            return joint in JOINT_NAMES and kind in JointState.get_fields_and_field_types()
    for topic, message in NUMBERS.items():
        if name.startswith(f"{topic}/"):
            field, index, _ = name.removeprefix(f"{topic}/").partition("[")
            kind = message.get_fields_and_field_types().get(field, "")
            return ("sequence" in kind) == bool(index) and any(word in kind for word in ("double", "float", "uint"))
    return False


@pytest.mark.parametrize(
    "name", ["/action_queue/status/cause", "/action_queue/status/lenght", "/joint_states/elbow/position"]
)
def test_the_check_of_plotted_names_knows_what_is_wrong(name: str) -> None:
    assert not is_number(name)


def started(**arguments: str) -> dict[str, ProcessSpec]:
    return {spec.label: spec for spec in resolve(find_launch_file("view.launch.xml"), arguments)}


def test_the_launch_file_opens_each_program_with_its_layout(tmp_path: Path) -> None:
    """PlotJuggler without one: a layout that is loaded before there are data leaves its plots empty."""
    specs = started(rqt="true", plotjuggler="true", meshes="none", namespace="left")
    assert specs["numbers"].executable == "numbers"
    for label, executable, option, file in (
        ("rviz2", "rviz2", "-d", "view.rviz"),
        ("rqt", "rqt_gui", "--perspective-file", "view.perspective"),
        ("diagnostic_aggregator", "aggregator_node", "--params-file", "view_diagnostics.yaml"),
    ):
        assert specs[label].executable == executable
        words = specs[label].command(tmp_path)
        layout = Path(words[words.index(option) + 1])
        assert layout.name == file and layout.is_file()
    assert "--layout" not in specs["plotjuggler"].command(tmp_path)
    assert "meshes:=none" in specs["robot_state_publisher"].command(tmp_path)
    for label in ("queue_plot", "gripper_path", "numbers", "robot_state_publisher", "rviz2"):
        assert specs[label].namespace == "/left"
    # The frames of every arm have the same names.
    assert dict(specs["rviz2"].remappings) == dict(specs["robot_state_publisher"].remappings)
    assert dict(specs["rviz2"].remappings) == {"/tf": "tf", "/tf_static": "tf_static"}


def test_without_a_word_rviz_alone_is_opened() -> None:
    assert set(started()) == {"queue_plot", "gripper_path", "robot_state_publisher", "rviz2"}


@pytest.mark.parametrize("value", [False, True])
def test_every_program_that_knows_a_time_follows_the_clock_of_a_bag_when_asked(value: bool) -> None:
    """robot_state_publisher drops joint states older than the last it saw: a second pass of a bag shows no motion."""
    specs = started(rqt="true", plotjuggler="true", use_sim_time=str(value).lower())
    told = {
        label: source["use_sim_time"]
        for label, spec in specs.items()
        for source in spec.parameters
        if isinstance(source, dict)
    }
    assert told == dict.fromkeys(set(specs) - {"plotjuggler"}, value)  # PlotJuggler's node has no use for it


@pytest.mark.parametrize(
    ("profile", "variables"),
    [
        ("", {"FASTRTPS_DEFAULT_PROFILES_FILE": "fastdds_network.xml"}),
        ("udp", {"FASTRTPS_DEFAULT_PROFILES_FILE": "fastdds_udp.xml", RANGE: "SYSTEM_DEFAULT"}),
        ("none", {}),
    ],
)
def test_a_viewer_hears_the_robot_over_the_robots_own_transport(profile: str, variables: dict[str, str]) -> None:
    own = ("FAST", "ROS_STATIC", "ROS_AUTO")
    bare = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    arguments = {"rqt": "true", "plotjuggler": "true", **({"dds_profile": profile} if profile else {})}
    specs = resolve(find_launch_file("view.launch.xml"), arguments, environment=bare)
    for spec in specs:
        assert {name: Path(value).name for name, value in spec.environment.items()} == variables, spec.label


# The sizes at which the programs saved their layouts. A layout without them opens as a row of slivers.


def test_rviz_opens_in_a_window_in_which_every_picture_has_its_place() -> None:
    window = rviz()["Window Geometry"]
    assert window["Width"] >= 1400 and window["Height"] >= 800
    pictures = [d["Name"] for d in rviz()["Visualization Manager"]["Displays"] if d["Class"].endswith("/Image")]
    assert len(pictures) == 4 and all(name in window for name in pictures)
    state = bytes.fromhex(window["QMainWindow State"])
    for name in ["Displays", *pictures]:
        assert name.encode("utf-16-be") in state, f"no dock for {name}"


def test_rqt_opens_in_a_window_in_which_every_plugin_has_its_place() -> None:
    keys = perspective()["groups"]["mainwindow"]["keys"]
    state, geometry = (
        bytes.fromhex(re.search(r"b'([0-9a-f]+)'", keys[name]["repr(QByteArray.hex)"])[1])  # type: ignore[index]
        for name in ("state", "geometry")
    )
    running = ast.literal_eval(perspective()["groups"]["pluginmanager"]["keys"]["running-plugins"]["repr"])
    for plugin, numbers in running.items():
        for number in numbers:
            dock = f"{plugin.replace('/', '__')}__{number}__"
            assert dock.encode("utf-16-be") in state, f"no dock for {plugin} {number}"
    left, top, right, bottom = struct.unpack(">4i", geometry[8:24])  # QWidget::saveGeometry: magic, version, frame
    assert right - left >= 1400 and bottom - top >= 800


@pytest.mark.parametrize("file", sorted(CONFIG.glob("view*")), ids=lambda file: file.name)
def test_a_layout_names_no_place_of_the_machine_it_was_saved_on(file: Path) -> None:
    assert re.findall(r"/(?:home|root|tmp|work|usr|opt|mnt)/\S*", file.read_text(encoding="utf-8")) == []


# /diagnostics for rqt_robot_monitor.


@pytest.mark.parametrize("namespace", ["/", "/left", "/lab/left"])
def test_the_aggregator_takes_in_every_node_of_every_namespace(namespace: str, tmp_path: Path) -> None:
    """Read by ROS itself as the aggregator reads it, and matched as GenericAnalyzer matches: `contains` in the name."""
    spec = started(rqt="true")["diagnostic_aggregator"]
    words = spec.command(tmp_path)
    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    try:
        node = rclpy.create_node(
            "analyzers",  # its name within diagnostic_aggregator
            namespace=namespace,
            context=context,
            cli_args=words[words.index("--ros-args") :],
            automatically_declare_parameters_from_overrides=True,
            start_parameter_services=False,
            enable_rosout=False,
        )
        assert node.get_parameter("path").value == "SO101"
        analyzers = {name for name in node.get_parameters_by_prefix("") if name.endswith(".type")}
        assert analyzers == {"all.type"}
        assert node.get_parameter("all.type").value == "diagnostic_aggregator/GenericAnalyzer"
        contains = node.get_parameter("all.contains").value
        node.destroy_node()
        for name in ("so101_driver", "action_queue", "front", "policy_server", "camera_7"):
            node = rclpy.create_node(name, namespace=namespace, context=context, cli_args=[], enable_rosout=False)
            published = f"{node_name(node)}: a part"
            assert any(part in published for part in contains), published
            node.destroy_node()
    finally:
        rclpy.shutdown(context=context)


# What rosdep is told.


def dependencies(package: Path) -> set[str]:
    root = ElementTree.parse(package).getroot()
    return {str(entry.text) for kind in ("depend", "exec_depend") for entry in root.findall(kind)}


def test_rosdep_is_told_of_every_program_and_plugin_that_is_opened_and_a_robot_of_none() -> None:
    opened = {program.package for program in PROGRAMS.values()}
    opened.update(plugin for program in PROGRAMS.values() for plugin in program.plugins)
    opened.add("robot_state_publisher")
    assert dependencies(ROOT / "src" / "so101_desktop" / "package.xml") == opened
    # Every plugin of the layouts belongs to a package that is named.
    assert {name.partition("/")[0] for name in RQT_PLUGINS} <= opened
    assert {name.partition("/")[0] for name in RVIZ_CLASSES} - {"rviz_common"} <= opened
    for folder in ("msg", "config", "launch", "src"):
        for package in (ROOT / folder).rglob("package.xml"):
            if package.parent.name != "so101_desktop":
                assert dependencies(package) & opened <= {"robot_state_publisher"}, package
