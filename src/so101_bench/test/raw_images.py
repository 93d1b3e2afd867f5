# SPDX-License-Identifier: Apache-2.0
"""A camera's raw images read best effort, to see what a DDS profile lets through.

`python raw_images.py send` sends 640x480 at 30 Hz until it is ended; `python raw_images.py count SECONDS` counts
for so long after the first and prints `[arrived, sent]` as one line of JSON. `... wait` reads reliably, prints `up`
after the first and goes on until it is ended.
"""

import array
import json
import sys
import time

import rclpy
from rclpy.node import Node
from sensor_msgs.msg import Image
from so101_node.topics import qos

WIDTH, HEIGHT, FPS = 640, 480, 30.0


def send(node: Node) -> None:
    publisher = node.create_publisher(Image, "top/image_raw", qos.IMAGE_WRITER)
    message = Image(width=WIDTH, height=HEIGHT, step=3 * WIDTH, encoding="bgr8")
    message.data = array.array("B", bytes(3 * WIDTH * HEIGHT))
    due = time.monotonic()
    number = 0
    while True:
        number += 1
        message.header.stamp.sec = number
        publisher.publish(message)
        due = max(due + 1 / FPS, time.monotonic())
        rclpy.spin_once(node, timeout_sec=max(0.0, due - time.monotonic()))


def count(node: Node, seconds: float) -> None:
    numbers: list[int] = []
    node.create_subscription(Image, "top/image_raw", lambda one: numbers.append(one.header.stamp.sec), qos.IMAGE)
    while not numbers:
        rclpy.spin_once(node, timeout_sec=0.1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.1)
    print(json.dumps([len(numbers), numbers[-1] - numbers[0] + 1]), flush=True)


def wait(node: Node) -> None:
    heard: list[int] = []
    node.create_subscription(Image, "top/image_raw", lambda one: heard.append(one.width), qos.IMAGE_WRITER)
    while not heard:
        rclpy.spin_once(node, timeout_sec=0.1)
    print("up", flush=True)
    rclpy.spin(node)


if __name__ == "__main__":
    rclpy.init()
    node = rclpy.create_node("raw_images")
    node.create_timer(1.0, lambda: None)
    if sys.argv[1] == "send":
        send(node)
    elif sys.argv[1] == "wait":
        wait(node)
    else:
        count(node, float(sys.argv[2]))
