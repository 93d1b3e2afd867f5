# SPDX-License-Identifier: Apache-2.0
"""The frame gate as its own process, over DDS, behind a camera driver that knows nothing of requests."""

import os
import re
import signal
import subprocess
import sys
from array import array
from collections.abc import Iterator

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CompressedImage, Image
from so101_camera.image_codec import decode_image, encode_jpeg
from so101_node.topics import qos
from std_msgs.msg import Header
from test_camera_node import DOMAIN, START_LIMIT_S, Robot, spec

NOISE = np.random.default_rng(0)
PICTURES = [NOISE.integers(0, 256, (120, 160, 3), dtype=np.uint8) for _ in range(3)]


def gate(name: str, **parameters: str) -> subprocess.Popen[str]:
    arguments = [part for key, value in parameters.items() for part in ("-p", f"{key}:={value}")]
    return subprocess.Popen(
        [sys.executable, "-m", "so101_camera.ros.frame_gate_node", "--ros-args", "-r", f"__node:={name}", *arguments],
        env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def robot() -> Iterator[Robot]:
    result = Robot()
    yield result
    result.close()


def test_any_drivers_newest_picture_answers_each_request_once(robot: Robot) -> None:
    gates = [
        gate("top", image_topic="usb_cam/image"),
        gate("frame_gate_1", source="front=/realsense/color", lossless="true", rotation="-90"),
    ]
    jpegs = [encode_jpeg(picture) for picture in PICTURES]
    usb = robot.node.create_publisher(CompressedImage, "usb_cam/image/compressed", 10)  # a default driver: reliable
    realsense = robot.node.create_publisher(Image, "/realsense/color", qos.IMAGE)
    state = {"picture": 0, "sent": 0}

    def drive() -> None:
        state["sent"] += 1
        header = Header(stamp=Time(sec=state["sent"]), frame_id="lens")
        shown = CompressedImage(header=header, format="jpeg")
        shown.data = array("B", jpegs[state["picture"]])
        usb.publish(shown)
        plain = Image(header=header, encoding="rgb8", height=120, width=160, step=480)
        plain.data = array("B", np.ascontiguousarray(PICTURES[state["picture"]][:, :, ::-1]).tobytes())
        realsense.publish(plain)

    robot.node.create_timer(1 / 30, drive)
    try:
        robot.spec.publish(spec("top", "front"))
        publishers = (robot.request, robot.spec, usb, realsense)
        assert robot.wait(lambda: [p.get_subscription_count() for p in publishers] == [2, 2, 1, 1])
        robot.spin_for(0.5)
        for request_id in (1, 2):
            state["picture"] = request_id
            robot.spin_for(0.5)  # until that picture is the newest
            robot.ask(request_id)
            assert robot.wait(lambda: len(robot.images) == 2 * request_id, 10)  # noqa: B023 - called at once
        robot.spin_for(0.3)
        assert len(robot.images) == 4
        for image in robot.images:
            assert 0 <= image.capture_age < 1.0
            assert image.header.frame_id == "lens"
            picture = PICTURES[image.request_id]
            if image.camera == "top":
                assert bytes(image.image.data) == jpegs[image.request_id]
            else:
                assert image.image.format == "png"
                assert np.array_equal(decode_image(bytes(image.image.data)), np.rot90(picture, 1))
        seqs = [image.frame_seq for image in robot.images if image.camera == "top"]
        assert seqs[1] > seqs[0]
    finally:
        for process in gates:
            process.send_signal(signal.SIGINT)
        codes = [process.wait(START_LIMIT_S) for process in gates]
    assert codes == [0, 0]


@pytest.mark.long
def test_a_topic_that_never_comes_is_told_with_those_there_are_and_either_kind_of_picture_is_read(robot: Robot) -> None:
    gates = {
        "lost": gate("lost", source="lost=/usb_cam/image"),
        "depth": gate("depth", source="depth=/depth/points"),
        "odd": gate("odd", source="odd=/odd_name"),
    }
    pictures = robot.node.create_publisher(CompressedImage, "/odd_name", 10)  # a driver without image_transport
    robot.node.create_publisher(Header, "/depth/points", 10)
    jpeg = array("B", encode_jpeg(PICTURES[0]))
    robot.node.create_timer(0.25, lambda: pictures.publish(CompressedImage(format="jpeg", data=jpeg)))
    heard: dict[str, set[str]] = {name: set() for name in gates}

    def on_diagnostics(message: DiagnosticArray) -> None:
        for status in message.status:
            heard[status.name.partition(":")[0]].add(status.message)

    robot.node.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, 10)
    wanted = {
        "lost": "NO_IMAGES: nobody publishes /usb_cam/image; images are on /odd_name",
        "depth": "NO_IMAGES: /depth/points is std_msgs/msg/Header, no image",
        "odd": "PASSING: ",
    }
    try:
        assert robot.wait(lambda: all(any(word in m for m in heard[name]) for name, word in wanted.items()), 30), heard
        assert any(m.startswith("WAITING: ") for m in heard["lost"])
        robot.spin_for(5.0)
    finally:
        for process in gates.values():
            process.send_signal(signal.SIGINT)
        said = {name: process.communicate(timeout=START_LIMIT_S)[1] for name, process in gates.items()}
    assert said["lost"].count("nobody publishes /usb_cam/image; images are on /odd_name") == 1
    assert "/odd_name is CompressedImage: read as that" in said["odd"]
    assert re.search(r"odd: at [34]\.\d frames/s a frame is up to 0\.\d\d s old", said["odd"]), said["odd"]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"image_topic": "usb_cam/image/compressed"}, "leave /compressed out"),
        ({"source": "/camera/color/image_raw"}, "must be CAMERA=TOPIC such as wrist=/camera/color/image_raw"),
        ({"source": "wrist=/color", "image_topic": "/depth"}, "leave those two empty"),
        ({"source": "wrist=/color/compressed", "image_transport": "raw"}, "contradicts image_transport = 'raw'"),
        ({"image_topic": "usb cam"}, "must be a topic"),
        ({"image_transport": "theora"}, "compressed, raw"),
    ],
)
def test_a_users_mistake_is_one_line_and_a_failure(parameters: dict[str, str], expected: str) -> None:
    process = gate("top", **parameters)
    _, errors = process.communicate(timeout=START_LIMIT_S)
    assert process.returncode == 78
    assert len(errors.strip().splitlines()) == 1
    assert expected in errors
