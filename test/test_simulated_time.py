# SPDX-License-Identifier: Apache-2.0
"""Every node under use_sim_time: before anybody publishes /clock, and when /clock begins at 0."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rclpy
from ament_index_python.packages import get_package_prefix
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rosgraph_msgs.msg import Clock
from so101_link.keys.authority import Authority
from so101_link.sros2.rights import policy
from so101_msgs.msg import PolicyStatus, QueueStatus
from so101_node.topics import qos
from test_parameter_names import executables
from test_sros2_policy import beyond

LIMIT_S = 90.0  # for anything to happen on a busy machine
PARAMETERS: dict[str, dict[str, str]] = {
    "so101_driver": {"robot_id": "nobody"},
    "camera": {"device": "{folder}"},
    "virtual_cameras": {"sim_dir": "{folder}"},
    "judge": {"sim_dir": "{folder}"},
    "recorder": {"folder": "{folder}/bag"},
    "film_recorder": {"folder": "{folder}/reel"},
    "link_robot": {"server_link": "127.0.0.1:9", "link_keys": "{folder}/keys/robots/left"},  # nothing listens there
    "link_server": {"link_address": "127.0.0.1", "link_port": "{port}", "link_keys": "{folder}/keys/server"},
    "observer": {"report_file": "{folder}/report.json"},
    "view": {"port": "47110", "open_browser": "false"},
}
ENTRIES = {
    "action_queue": {"left/action_queue: queue", "left/action_queue: servers"},
    "camera": {"left/camera: capture"},
    "frame_gate": {"left/frame_gate: capture"},
    "link_robot": {"left/link_robot: link"},
    "link_server": {"left/link_server: port"},
    "policy_server": {"left/policy_server: policy for /left"},
    "virtual_cameras": {f"left/virtual_cameras: {camera}" for camera in ("front", "top", "wrist")},
}
"""Entries of /diagnostics, by the executables that have any without an arm."""

UNDER_SROS2 = {
    "action_queue", "camera", "driver_pair", "gripper_path", "numbers", "policy_server", "queue_plot", "recorder",
    "view",
}  # fmt: skip
"""Executables of which `./so101 link sros2` says what they may do; the driver ends before it is up."""

STATUS: dict[str, tuple[type[Any], str]] = {
    "action_queue": (QueueStatus, "/left/action_queue/status"),
    "policy_server": (PolicyStatus, "/left/policy_status"),
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Listener:
    """A node of the test, in the domain of this run."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(args=[], context=self.context)
        self.node = rclpy.create_node("listener", context=self.context, enable_rosout=False)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.entries: set[str] = set()
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._hear, 50)

    def _hear(self, array: DiagnosticArray) -> None:
        self.entries |= {status.name for status in array.status}

    def wait(self, condition: Callable[[], bool], limit_s: float = LIMIT_S) -> bool:
        deadline = time.monotonic() + limit_s
        while not condition() and time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.05)
        return condition()

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(executables()))
def test_a_node_works_before_the_clock_runs_and_when_it_begins(listener: Listener, tmp_path: Path, name: str) -> None:
    cv2.imwrite(str(tmp_path / "0.jpg"), np.zeros((120, 160, 3), np.uint8))
    package = executables()[name]
    words = ["--ros-args", "-r", "__ns:=/left", "-p", "use_sim_time:=true"]
    if package == "so101_link":
        Authority.create(tmp_path / "keys", time.time()).make(["server", "left"], 30, time.time())
    for key, value in PARAMETERS.get(name, {}).items():
        words += ["-p", f"{key}:={value.format(folder=tmp_path, port=free_port())}"]
    heard: list[Any] = []
    if name in STATUS:
        listener.node.create_subscription(*STATUS[name], heard.append, qos.STATUS)
    clock = listener.node.create_publisher(Clock, "/clock", 10)
    log = (tmp_path / "log").open("w+")
    program = Path(get_package_prefix(package)) / "lib" / package / name
    process = subprocess.Popen([str(program), *words], stdout=log, stderr=subprocess.STDOUT, env=os.environ)

    def said() -> str:
        log.seek(0)
        return log.read()

    try:
        if name == "so101_driver":  # it configured itself, and found no calibration
            assert process.wait(LIMIT_S) == 1
            assert "robot_id nobody" in said() or "nobody.json" in said(), said()
            return
        assert listener.wait(lambda: name in listener.node.get_node_names() or process.poll() is not None)
        assert listener.wait(lambda: ENTRIES.get(name, set()) <= listener.entries, 20.0), listener.entries
        assert name not in STATUS or listener.wait(lambda: len(heard) > 3, 20.0), said()
        assert listener.wait(lambda: clock.get_subscription_count() > 0)
        if name in UNDER_SROS2:
            assert beyond(listener.node, name, "/left", policy(["left"], ["camera"])) == set()
        for tenths in range(20):
            clock.publish(Clock(clock=Time(sec=tenths // 10, nanosec=tenths % 10 * 100_000_000)))
            listener.wait(lambda: False, 0.05)
        assert process.poll() is None, said()
        assert all(entry.startswith(f"left/{name}: ") for entry in listener.entries)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(30)
        log.close()
    assert process.returncode == 0 and "Traceback" not in Path(log.name).read_text(), Path(log.name).read_text()
