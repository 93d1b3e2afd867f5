"""The layouts for rviz, rqt and PlotJuggler: of the right form, with plugins that exist and topics that are ours.

None of the three programs is installed where these tests run; what can be checked without them is.
"""

import ast
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from sensor_msgs.msg import JointState
from so101_msgs.msg import ActionChunk, PolicyStatus, QueueStatus, ServoTelemetry
from so101_tools.launching import resolve
from so101_tools.launching.find_file import launch_folder

CONFIG = Path(__file__).parents[1] / "config"

# Plugins by the names under which ROS 2 Jazzy registers them: rviz_default_plugins/plugins_description.xml and
# rviz_common (ros2/rviz, branch jazzy); plugin.xml of the rqt packages (ros-visualization).
RVIZ_CLASSES = {
    "rviz_common/Displays",
    "rviz_common/Views",
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

# Topics that the layouts may name: those of docs/topics.md and those of view.launch.xml, each with what it carries.
PICTURES = {f"/{camera}/image_raw{end}" for camera in ("front", "top", "wrist") for end in ("", "/compressed")}
PICTURES.add("/queue_plot/image")
PATHS = {"/gripper_path/measured", "/gripper_path/planned"}
NUMBERS = {
    "/action_queue/status": QueueStatus,
    "/action_chunk": ActionChunk,
    "/policy_status": PolicyStatus,
    "/servo_telemetry": ServoTelemetry,
}
POSES = ("/joint_states", "/joint_command")


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
    # The cameras' streams are best effort: a reliable reader would match nothing and show nothing.
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
        else:
            plotted.update(ast.literal_eval(keys["topics"]["repr"]))
    assert shown == {picture for picture in PICTURES if not picture.endswith("/compressed")}
    assert plotted and all(is_number(name) for name in plotted)


def test_plotjugglers_layout_has_its_form_and_plots_what_is_published() -> None:
    root = ElementTree.parse(CONFIG / "view_plotjuggler.xml").getroot()
    tabs = root.findall("tabbed_widget/Tab")
    assert [tab.get("tab_name") for tab in tabs] == ["queue", "server", "joints", "servos"]
    for splitter in root.iter("DockSplitter"):
        areas = splitter.findall("DockArea")
        sizes = [float(size) for size in splitter.attrib["sizes"].split(";")]
        assert len(areas) == int(splitter.attrib["count"]) == len(sizes)
        assert sum(sizes) == pytest.approx(1.0, abs=0.01)
        assert all(area.find("plot/curve") is not None for area in areas)
    curves = [curve.attrib["name"] for curve in root.iter("curve")]
    assert len(set(curves)) == len(curves)
    assert [curve for curve in curves if not is_number(curve)] == []


def is_number(name: str) -> bool:
    """Whether a series, `topic/field`, `topic/field[i]` or `pose/joint/position`, is a number that is published."""
    from so101_sim.joints import JOINT_NAMES

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


def test_the_launch_file_opens_each_program_with_its_layout(tmp_path: Path) -> None:
    """Resolved as on a machine that has the programs: their packages are made up, everything else is the real thing."""
    from ament_index_python.packages import get_package_prefix

    for package, program in (("rviz2", "rviz2"), ("rqt_gui", "rqt_gui"), ("plotjuggler", "plotjuggler")):
        folder = tmp_path / "lib" / package
        folder.mkdir(parents=True)
        (folder / program).touch(mode=0o755)

    def prefix(package: str) -> Path:
        return tmp_path if (tmp_path / "lib" / package).is_dir() else Path(get_package_prefix(package))

    arguments = {"rqt": "true", "plotjuggler": "true", "meshes": "none", "namespace": "left"}
    specs = {spec.label: spec for spec in resolve(launch_folder() / "view.launch.xml", arguments, find_prefix=prefix)}
    assert set(specs) == {"queue_plot", "gripper_path", "robot_state_publisher", "rviz2", "rqt", "plotjuggler"}
    for label, option, file in (
        ("rviz2", "-d", "view.rviz"),
        ("rqt", "--perspective-file", "view.perspective"),
        ("plotjuggler", "--layout", "view_plotjuggler.xml"),
    ):
        words = specs[label].command(tmp_path)
        layout = Path(words[words.index(option) + 1])
        assert layout.name == file and layout.is_file()
    assert "meshes:=none" in specs["robot_state_publisher"].command(tmp_path)
    for label in ("queue_plot", "gripper_path", "robot_state_publisher", "rviz2"):
        assert specs[label].namespace == "/left"
    # The frames of every arm have the same names.
    assert dict(specs["rviz2"].remappings) == dict(specs["robot_state_publisher"].remappings)
    assert dict(specs["rviz2"].remappings) == {"/tf": "tf", "/tf_static": "tf_static"}
