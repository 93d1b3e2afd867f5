# SPDX-License-Identifier: Apache-2.0
"""The line with which a node ends: whose it is, and who hears it."""

import os
import subprocess
import sys
import time

import pytest
import rclpy
from rcl_interfaces.msg import Log
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile
from so101_node.process.last_line import name_in

BROKEN = """
import sys
from rclpy.node import Node
from so101_node.process import NodeError, run_node
class Broken(Node):
    def __init__(self):
        super().__init__("camera")
        raise NodeError("device = '/dev/video9': no such camera")
sys.exit(run_node(Broken))
"""


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["/ws/lib/so101_camera/camera", "--ros-args", "-r", "__node:=front", "-r", "__ns:=/left"], "front"),
        (["camera", "--ros-args", "--remap", "__name:=top"], "top"),
        (["/ws/lib/so101_camera/camera"], "camera"),
        (["/ws/src/so101_camera/start.py", "--ros-args", "-p", "device:=x"], "node"),
        (["-c", "-r"], "node"),
        ([], "node"),
    ],
)
def test_the_name_is_the_one_that_the_arguments_give(arguments: list[str], name: str) -> None:
    assert name_in(arguments) == name


def test_an_error_while_the_node_is_made_has_its_name_and_reaches_rosout() -> None:
    context = Context()
    rclpy.init(args=[], context=context, domain_id=int(os.environ["ROS_DOMAIN_ID"]))
    listener = rclpy.create_node("listener", context=context, enable_rosout=False)
    heard: list[Log] = []
    profile = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    listener.create_subscription(Log, "/rosout", heard.append, profile)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(listener)
    words = ["--ros-args", "-r", "__node:=front", "-r", "__ns:=/left"]
    try:
        for _ in range(3):  # discovery may take longer than a node that ends waits for it
            broken = subprocess.Popen(
                [sys.executable, "-c", BROKEN, *words], stderr=subprocess.PIPE, text=True, env=os.environ.copy()
            )
            end = time.monotonic() + 15.0
            while broken.poll() is None and time.monotonic() < end:
                executor.spin_once(timeout_sec=0.05)
            _, said = broken.communicate(timeout=10)
            assert (broken.returncode, said) == (1, "[front] error: device = '/dev/video9': no such camera\n")
            executor.spin_once(timeout_sec=0.2)
            if heard:
                break
        assert (heard[0].name, heard[0].msg) == ("left.front", "device = '/dev/video9': no such camera")
        assert heard[0].level == Log.ERROR
    finally:
        listener.destroy_node()
        executor.shutdown(timeout_sec=0.5)
        rclpy.shutdown(context=context)
