# SPDX-License-Identifier: Apache-2.0
"""Each launch file's processes are pinned in launch_golden/, and real `launch` makes the same of the same file.

The pinned files are YAML for people to read in a review: change a launch file on purpose, then renew them with
`./so101 ros python test/test_launch_files.py`.
"""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from so101_launch_runner.find_file import find_launch_file, launch_files

from so101_launch_runner import resolve

GOLDEN = Path(__file__).parent / "launch_golden"

# Case: launch file and arguments. Together they take every branch of every file once.
CASES: dict[str, tuple[str, dict[str, str]]] = {
    "robot": ("robot.launch.xml", {}),
    "robot_with_one_camera_in_a_namespace": (
        "robot.launch.xml",
        {
            "camera_2": "none",
            "camera_3": "none",
            "namespace": "left",
            "server_address": "192.0.2.7",
            "dds_profile": "none",
        },
    ),
    "robot_with_eight_cameras_and_a_foreign_one": (
        "robot.launch.xml",
        {
            **{f"camera_{number}": f"camera{number}" for number in range(1, 9)},
            **{f"foreign_camera_{number}": f"depth{number}=/camera{number}/color/image_raw" for number in range(1, 5)},
        },
    ),
    "robot_with_a_link": (
        "robot.launch.xml",
        {"server_link": "gpu.example.org:31447", "link_keys": "/data/keys of arm1", "namespace": "arm1"},
    ),
    "robot_that_nobody_else_reaches": ("robot.launch.xml", {"dds_profile": "loopback"}),
    "robot_that_is_a_pair": ("robot.launch.xml", {"pair": "true", "namespace": "lab"}),
    "server": ("server.launch.xml", {}),
    "server_with_a_link": ("server.launch.xml", {"link_port": "7447", "link_keys": "/data/server keys"}),
    "server_for_one_robot": ("server.launch.xml", {"namespace": "left", "robot_address": "192.0.2.8"}),
    "sim": ("sim.launch.xml", {}),
    "sim_with_the_expert": (
        "sim.launch.xml",
        {"policy": "expert", "sim_dir": "/tmp/a run", "namespace": "lab/left"},
    ),
    "sim_with_a_slow_policy": ("sim.launch.xml", {"policy_delay": "0.15", "checkpoint": "/data/policy"}),
    "sim_over_shared_memory": ("sim.launch.xml", {"dds_profile": "shared_memory"}),
    "sim_with_the_belt": ("sim.launch.xml", {"task": "belt"}),
    "sim_with_the_belt_that_stops_and_waits": ("sim.launch.xml", {"task": "belt", "execution": "stop_and_wait"}),
    "sim_with_a_belt_that_changes": ("sim.launch.xml", {"task": "belt_changing"}),
    "sim_with_a_cube_that_is_moved": ("sim.launch.xml", {"task": "static_nudged"}),
    "sim_pair": ("sim_pair.launch.xml", {"policy_library": "twins"}),
    "sim_pair_in_a_namespace": (
        "sim_pair.launch.xml",
        {"checkpoint": "/data/policy", "namespace": "lab", "dds_profile": "none", "record": "true"},
    ),
    "robot_with_a_correction": ("robot.launch.xml", {"correction": "/data/a correction.npz"}),
    "robot_that_records": ("robot.launch.xml", {"record": "true", "record_dir": "/data/bag"}),
    "sim_that_records": ("sim.launch.xml", {"record": "true", "namespace": "left"}),
    "replay": ("replay.launch.xml", {"bag": "/data/a bag"}),
    "replay_to_a_new_policy": (
        "replay.launch.xml",
        {"bag": "/data/bag", "to": "policy_server", "checkpoint": "/data/policy", "namespace": "left"},
    ),
    "replay_to_an_arm": ("replay.launch.xml", {"bag": "/data/bag", "to": "arm"}),
    "replay_to_a_virtual_arm": ("replay.launch.xml", {"bag": "/data/bag", "to": "arm", "sim": "true"}),
    "robot_with_the_queue_plot": ("robot.launch.xml", {"debug_visualize_queue_size": "true"}),
    "sim_with_the_queue_plot": ("sim.launch.xml", {"debug_visualize_queue_size": "true"}),
    "view": ("view.launch.xml", {}),
    "view_without_rviz": ("view.launch.xml", {"rviz": "false", "meshes": "none", "dds_profile": "none"}),
    "view_of_a_bag_in_a_namespace": (
        "view.launch.xml",
        {"rqt": "true", "plotjuggler": "true", "namespace": "left", "use_sim_time": "true", "dds_profile": "udp"},
    ),
    "so101_lab_robot": ("so101_lab_robot.launch.xml", {}),
    "so101_lab_robot_without_the_queue_plot": (
        "so101_lab_robot.launch.xml",
        {"debug_visualize_queue_size": "false"},
    ),
    "so101_lab_server": ("so101_lab_server.launch.xml", {}),
}


def described(
    command: Sequence[str], environment: Mapping[str, str], respawn: object, shutdown: bool
) -> dict[str, Any]:
    """What a process is, from its final command line: the one form that both resolvers end in."""
    words = list(command)
    ros = words.index("--ros-args") if "--ros-args" in words else len(words)
    remappings, parameters = [], []
    for option, value in zip(words[ros + 1 :: 2], words[ros + 2 :: 2], strict=True):
        if option == "-r":
            remappings.append(value)
        else:
            assert option == "--params-file", option
            # Values in the launch file become a temporary file; files of the workspace are pinned by their name.
            own = _shortened(value) != value
            parameters.append(_shortened(value if own else yaml.safe_load(Path(value).read_text())))
    return {
        "command": [_shortened(word) for word in words[:ros]],
        "ros_arguments": remappings,
        "parameters": parameters,
        "environment": {name: _shortened(value) for name, value in sorted(environment.items())},
        "respawn": respawn,
        "shutdown_on_exit": shutdown,
    }


def _shortened[T](value: T) -> T:
    """The value without the place where the workspace is installed."""
    if isinstance(value, str):
        return re.sub(r"/\S*?/(lib|share)/(so101_\w+)(?=/)", r"<prefix>/\1/\2", value)  # type: ignore[return-value]
    if isinstance(value, dict):
        return {name: _shortened(item) for name, item in value.items()}  # type: ignore[return-value]
    return value


def by_our_runner(case: str, folder: Path) -> list[dict[str, Any]]:
    file, arguments = CASES[case]
    return [
        described(
            spec.command(folder),
            spec.environment,
            {"delay_s": spec.respawn_delay_s} if spec.respawn else False,
            spec.shutdown_on_exit,
        )
        for spec in resolve(find_launch_file(file), arguments)
    ]


def by_real_launch(case: str, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Let `launch` visit the file as `ros2 launch` does, but note each process where it would be started."""
    from launch.actions.execute_local import ExecuteLocal
    from launch.launch_description_sources import AnyLaunchDescriptionSource
    from launch.utilities import visit_all_entities_and_collect_futures

    import launch

    found = []
    before = dict(os.environ)

    def note(action: Any, context: Any) -> None:
        action.prepare(context)
        details = action.process_details
        delay = getattr(action, "_ExecuteLocal__respawn_delay")  # noqa: B009 (launch offers no reader for these three)
        found.append(
            described(
                details["cmd"],
                {name: value for name, value in details["env"].items() if before.get(name) != value},
                {"delay_s": delay or 0.0} if getattr(action, "_ExecuteLocal__respawn") else False,  # noqa: B009
                bool(getattr(action, "_ExecuteLocal__on_exit")),  # noqa: B009
            )
        )

    monkeypatch.setattr(os, "environ", dict(before))  # where launch's <set_env> writes
    monkeypatch.setattr(ExecuteLocal, "execute", note)
    file, arguments = CASES[case]
    context = launch.LaunchContext()
    context.launch_configurations.update(arguments)
    source = launch.actions.IncludeLaunchDescription(AnyLaunchDescriptionSource(str(find_launch_file(file))))
    visit_all_entities_and_collect_futures(launch.LaunchDescription([source]), context)
    return found


@pytest.fixture(autouse=True)
def _a_users_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the files set is seen as what differs from the shell, and the tests' own has some of it already."""
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "ROS_AUTOMATIC_DISCOVERY_RANGE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _bags_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pinned is what is started once $(command ...) has found nothing wrong with a bag; these bags do not exist."""
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, "", ""))


@pytest.mark.parametrize("case", CASES)
def test_the_runner_starts_exactly_the_pinned_processes(case: str, tmp_path: Path) -> None:
    assert by_our_runner(case, tmp_path) == yaml.safe_load((GOLDEN / f"{case}.yaml").read_text())


@pytest.mark.skipif(importlib.util.find_spec("launch_xml") is None, reason="the launch package is not installed here")
@pytest.mark.parametrize("case", CASES)
def test_real_launch_starts_exactly_the_pinned_processes(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert by_real_launch(case, monkeypatch) == yaml.safe_load((GOLDEN / f"{case}.yaml").read_text())


def test_a_link_port_of_0_is_none_like_an_empty_one() -> None:
    file = find_launch_file("server.launch.xml")
    assert resolve(file, {"link_port": "0"}) == resolve(file, {"link_port": ""}) == resolve(file, {})


def test_every_launch_file_is_pinned() -> None:
    files = set(launch_files())
    assert files == {file for file, _arguments in CASES.values()}


@pytest.mark.parametrize(
    ("file", "argument"), [("robot.launch.xml", "server_address"), ("server.launch.xml", "robot_address")]
)
def test_the_shells_own_peers_stay_where_no_address_is_given(file: str, argument: str) -> None:
    def peers(**arguments: str) -> set[str | None]:
        found = resolve(find_launch_file(file), arguments, {**os.environ, "ROS_STATIC_PEERS": "192.0.2.1"})
        return {spec.environment.get("ROS_STATIC_PEERS") for spec in found}

    assert peers() == peers(**{argument: ""}) == {None}
    assert peers(**{argument: "192.0.2.9"}) == {"192.0.2.9"}


def _renew(folder: Path) -> None:
    for case in CASES:
        text = yaml.safe_dump(by_our_runner(case, folder), sort_keys=False, width=120)
        (GOLDEN / f"{case}.yaml").write_text(text)


LAUNCH_FILES = list(launch_files().values())


@pytest.mark.parametrize("file", LAUNCH_FILES, ids=lambda path: path.name)
def test_no_prefix_takes_the_place_of_a_nodes_name_in_the_output(file: Path) -> None:
    """`ros2 launch` labels lines with the name of the program: nice, for a node that is started through it."""
    assert "launch-prefix" not in file.read_text(), "use the node's parameter niceness"


if __name__ == "__main__":
    import tempfile

    subprocess.run = lambda command, **_: subprocess.CompletedProcess(command, 0, "", "")  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as scratch:
        _renew(Path(scratch))
    sys.exit(0)
