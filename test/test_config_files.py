# SPDX-License-Identifier: Apache-2.0
"""Every value in config/*.yaml and in the launch files is one that its node declares and accepts."""

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import rclpy
import yaml
from so101_launch_runner.find_file import launch_files
from so101_node.parameters import build, rules

from so101_launch_runner import resolve

CONFIG = Path(__file__).parents[1] / "config"
FILES = sorted(set(CONFIG.glob("*.yaml")) - {CONFIG / "view_diagnostics.yaml"})  # that is for another package's node

# The dataclass behind each executable. Cameras are named by the robot, hence listed by executable.
DECLARED = {
    ("so101_driver", "so101_driver"): "so101_driver.ros.driver_parameters:DriverParameters",
    ("so101_driver", "driver_pair"): "so101_driver.ros.pair_parameters:DriverPairParameters",
    ("so101_action_queue", "action_queue"): "so101_action_queue.ros.parameters:QueueParameters",
    ("so101_camera", "camera"): "so101_camera.ros.camera_node:CameraParameters",
    ("so101_policy_server", "policy_server"): "so101_policy_server.parameters:ServerParameters",
    ("so101_link", "link_robot"): "so101_link.ros.parameters:LinkRobotParameters",
    ("so101_link", "link_server"): "so101_link.ros.parameters:LinkServerParameters",
    ("so101_bag", "recorder"): "so101_bag.record.recorder_parameters:RecorderParameters",
    ("so101_viewer", "queue_plot"): "so101_viewer.queue_plot.queue_plot_node:QueuePlotParameters",
    ("so101_viewer", "gripper_path"): "so101_viewer.view.gripper_path_parameters:GripperPathParameters",
    ("so101_viewer", "numbers"): "so101_viewer.view.numbers_node:NumbersParameters",
    ("so101_sim", "virtual_cameras"): "so101_sim.ros.parameters:VirtualCamerasParameters",
    ("so101_sim", "judge"): "so101_sim.ros.parameters:JudgeParameters",
}
LIFECYCLE = {"autostart"}  # declared by the base of driver, queue and server
EVERY_NODE = {"use_sim_time"}  # declared by rclpy
CAMERAS = {"front", "top", "wrist", "camera1", "camera2", "camera3"}


def declared_by(node: str) -> type[Any]:
    """The parameter dataclass of the node of that name, `left/so101_driver` in a namespace."""
    name = node.rpartition("/")[2]
    executable = "camera" if name in CAMERAS else name
    path = next(path for (_package, name), path in DECLARED.items() if name == executable)
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]


def sections(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(node name, parameters) of each section; a file for any name (/**) is called after its node."""
    for key, content in yaml.safe_load(file.read_text()).items():
        yield (file.stem if key == "/**" else key.removeprefix("/**/")), content["ros__parameters"]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found = {}
    for name, value in values.items():
        found.update(flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value})
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_value_in_a_parameter_file_is_accepted_by_its_node(file: Path) -> None:
    for node, values in sections(file):
        node_class = declared_by(node)
        unknown = set(flat(values)) - set(rules(node_class)) - LIFECYCLE
        assert not unknown, f"{file.name}: {node} does not declare {', '.join(sorted(unknown))}"
        for name, value in flat(values).items():
            if name not in LIFECYCLE:
                rules(node_class)[name].check(name, value)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_ros_reads_a_parameter_file_for_a_node_in_any_namespace(file: Path) -> None:
    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    try:
        for name, values in sections(file):
            inner, _, own = name.rpartition("/")
            arguments = ["--ros-args", "-r", f"__node:={own}", "--params-file", str(file)]
            for outer in ("/", "/lab/left"):
                namespace = f"{outer.rstrip('/')}/{inner}" if inner else outer
                node = rclpy.create_node(
                    "any",
                    context=context,
                    namespace=namespace,
                    cli_args=arguments,
                    automatically_declare_parameters_from_overrides=True,
                    start_parameter_services=False,
                    enable_rosout=False,
                )
                for parameter, value in flat(values).items():
                    read = node.get_parameter(parameter).value
                    assert (list(read) if isinstance(value, list) else read) == value, f"{name}.{parameter}"
                node.destroy_node()
    finally:
        rclpy.shutdown(context=context)


@pytest.mark.parametrize("file", list(launch_files().values()), ids=lambda file: file.name)
def test_every_value_in_a_launch_file_is_accepted_by_its_node(file: Path) -> None:
    choices: dict[str, list[dict[str, str]]] = {
        "robot.launch.xml": [{}, {"pair": "true"}],
        "sim.launch.xml": [{"policy": "act"}, {"policy": "expert"}],
        "replay.launch.xml": [
            {"bag": "bag", "play": "false", "to": "arm", "sim": "true"},
            {"bag": "bag", "play": "false", "to": "policy_server", "checkpoint": "policy"},
        ],
        "view.launch.xml": [{"rviz": "false", "model": "false"}],  # those two become programs of other packages
    }
    for arguments in choices.get(file.name, [{}]):
        for spec in resolve(file, arguments):
            if (spec.package, spec.executable) not in DECLARED:
                assert not spec.is_node
                continue
            node_class = declared_by(str(spec.executable))
            values: dict[str, Any] = {}
            for source in spec.parameters:
                if isinstance(source, Path):
                    names = {str(spec.name), str(spec.executable), f"{spec.namespace}/{spec.name}".lstrip("/")}
                    found = [section for name, section in sections(source) if name in names]
                    assert found, f"{source.name} has nothing for {spec.name}"
                    values.update(flat(found[0]))
                else:
                    values.update(source)
            build(node_class, {name: value for name, value in values.items() if name not in EVERY_NODE})


def parameters_of(file: str, node: str) -> dict[str, Any]:
    return dict(next(values for name, values in sections(CONFIG / file) if name == node))


@pytest.mark.parametrize(
    ("file", "node"),
    [
        ("robot.yaml", "action_queue"),
        ("server.yaml", "policy_server"),
        ("pair.yaml", "action_queue"),
        ("pair.yaml", "policy_server"),
        ("so101_lab.yaml", "action_queue"),
        ("so101_lab.yaml", "policy_server"),
    ],
)
def test_a_deployment_says_in_which_units_its_policy_was_trained(file: str, node: str) -> None:
    assert parameters_of(file, node)["units"] in ("degrees", "normalized")


@pytest.mark.parametrize(
    ("file", "node"),
    [("robot.yaml", "action_queue"), ("pair.yaml", "action_queue"), ("action_queue.yaml", "action_queue")],
)
def test_a_file_to_copy_leaves_the_task_to_be_set(file: str, node: str) -> None:
    assert parameters_of(file, node)["task"] == ""


def test_the_labs_smolvla_may_fetch_its_tokenizer_at_the_first_start() -> None:
    server = parameters_of("so101_lab.yaml", "policy_server")
    assert (server["policy_type"], server["allow_download"]) == ("smolvla", True)
