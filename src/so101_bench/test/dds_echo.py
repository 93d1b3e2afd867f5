# SPDX-License-Identifier: Apache-2.0
"""An observation's worth of messages there and a chunk's worth back, to see what a DDS profile does on a wire.

`python dds_echo.py server` replies; `python dds_echo.py robot COUNT PERIOD_S` requests. Either prints `up` when it is
ready; the robot then one line of JSON: the round trips in ms, None for a chunk that did not come within a second.
"""

import array
import json
import sys
import time

import rclpy
from rclpy.node import Node
from so101_msgs.msg import ActionChunk, ObservationImage
from so101_node.topics import qos

CAMERAS = ("front", "top", "wrist")
IMAGE_BYTES = 50_000
ROWS = 50
CHUNK_TIMEOUT_S = 1.0


def serve(node: Node) -> None:
    publisher = node.create_publisher(ActionChunk, "action_chunk", qos.CHUNK_WRITER)
    arrived: dict[int, set[str]] = {}

    def on_image(message: ObservationImage) -> None:
        cameras = arrived.setdefault(message.request_id, set())
        cameras.add(message.camera)
        if len(cameras) == len(CAMERAS):
            chunk = ActionChunk(request_id=message.request_id, rows=ROWS, positions=[0.5] * ROWS * 6)
            publisher.publish(chunk)
            time.sleep(0.010)
            publisher.publish(chunk)

    for camera in CAMERAS:
        node.create_subscription(ObservationImage, f"{camera}/observation", on_image, qos.OBSERVATION)
    print("up", flush=True)
    while True:
        rclpy.spin_once(node, timeout_sec=0.1)


def request_chunks(node: Node, count: int, period_s: float) -> None:
    publishers = {c: node.create_publisher(ObservationImage, f"{c}/observation", qos.OBSERVATION) for c in CAMERAS}
    arrived: dict[int, float] = {}

    def on_chunk(message: ActionChunk) -> None:
        arrived.setdefault(message.request_id, time.monotonic())

    node.create_subscription(ActionChunk, "action_chunk", on_chunk, qos.CHUNK_READER)
    while node.count_subscribers("wrist/observation") == 0 or node.count_publishers("action_chunk") == 0:
        rclpy.spin_once(node, timeout_sec=0.1)
    spin(node, 2.0)
    data = array.array("B", bytes(IMAGE_BYTES))
    times = []
    print("up", flush=True)
    for request in range(count):
        began = time.monotonic()
        for camera, publisher in publishers.items():
            message = ObservationImage(request_id=request, camera=camera)
            message.image.data = data
            publisher.publish(message)
        while request not in arrived and time.monotonic() - began < CHUNK_TIMEOUT_S:
            rclpy.spin_once(node, timeout_sec=0.01)
        times.append(round((arrived[request] - began) * 1e3, 2) if request in arrived else None)
        spin(node, period_s - (time.monotonic() - began))
    print(json.dumps(times), flush=True)


def spin(node: Node, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=max(0.0, end - time.monotonic()))


if __name__ == "__main__":
    rclpy.init()
    node = rclpy.create_node("dds_echo")
    if sys.argv[1] == "server":
        serve(node)
    else:
        request_chunks(node, int(sys.argv[2]), float(sys.argv[3]))
