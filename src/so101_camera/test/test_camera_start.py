# SPDX-License-Identifier: Apache-2.0
"""A camera that has just been started is no error; one that still gives nothing is."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from so101_node.timing.start_grace import GRACE_S


@pytest.mark.long
def test_a_camera_without_a_frame_is_opening_first_and_an_error_after_the_grace(tmp_path: Path) -> None:
    context = Context()
    rclpy.init(args=[], context=context, domain_id=int(os.environ["ROS_DOMAIN_ID"]))
    listener = rclpy.create_node("listener", context=context, enable_rosout=False)
    heard: list[tuple[float, DiagnosticStatus]] = []
    began = time.monotonic()
    listener.create_subscription(
        DiagnosticArray,
        "/diagnostics",
        lambda array: heard.extend((time.monotonic() - began, one) for one in array.status if "front" in one.name),
        10,
    )
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(listener)
    words = ["-m", "so101_camera.ros.start", "--ros-args", "-r", "__node:=front", "-p", f"device:={tmp_path}"]
    camera = subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True)
    try:
        while time.monotonic() < began + GRACE_S + 20.0:
            executor.spin_once(timeout_sec=0.1)
            if heard and heard[-1][1].level == DiagnosticStatus.ERROR:
                break
    finally:
        camera.send_signal(signal.SIGINT)
        _, said = camera.communicate(timeout=20)
        listener.destroy_node()
        executor.shutdown(timeout_sec=0.5)
        rclpy.shutdown(context=context)
    assert heard[0][1].message.startswith("OPENING: ")
    assert heard[0][1].level == DiagnosticStatus.WARN
    assert heard[-1][1].message.startswith("NO_FRAMES: ")
    assert heard[-1][0] >= GRACE_S
    first = next(line for line in said.splitlines() if "front: " in line)
    assert "WARN" in first
    assert "waiting for the camera" in first
