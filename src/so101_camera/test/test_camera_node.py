# SPDX-License-Identifier: Apache-2.0
"""The camera node as its own process, over DDS."""

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from so101_camera.image_codec import decode_image, encode_jpeg
from so101_msgs.msg import FrameTiming, ObservationImage, ObservationRequest, PolicySpec
from so101_node.topics import qos
from test_url_source import http_camera

DOMAIN = int(os.environ["ROS_DOMAIN_ID"])  # conftest.py has leased it
START_LIMIT_S = 30.0


class Robot:
    """Asks as the action queue does and keeps what the cameras send."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.node = Node("robot", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.spec = self.node.create_publisher(PolicySpec, "policy_spec", qos.LATCHED)
        self.request = self.node.create_publisher(ObservationRequest, "observation_request", qos.REQUEST_WRITER)
        self.images: list[ObservationImage] = []
        for camera in ("top", "front"):
            self.node.create_subscription(
                ObservationImage, f"{camera}/observation", self.images.append, qos.observation(32)
            )

    def wait(self, condition: Callable[[], bool], limit_s: float = START_LIMIT_S) -> bool:
        deadline = time.monotonic() + limit_s
        while not condition() and time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.05)
        return condition()

    def spin_for(self, seconds: float) -> None:
        self.wait(lambda: False, seconds)

    def ask(self, request_id: int, history: int = 1) -> None:
        for _ in range(2):
            self.request.publish(
                ObservationRequest(session=5, request_id=request_id, spec_id=9, history=history, task="x")
            )

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def robot() -> Iterator[Robot]:
    result = Robot()
    yield result
    result.close()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(0)
    for i in range(10):
        (folder / f"{i}.jpg").write_bytes(encode_jpeg(noise.integers(0, 256, (120, 160, 3), dtype=np.uint8)))
    return folder


@pytest.fixture(scope="module")
def cameras(pictures: Path) -> Iterator[list[subprocess.Popen[str]]]:
    processes = [start(name, device=str(pictures)) for name in ("top", "front")]
    yield processes
    for process in processes:
        process.send_signal(signal.SIGINT)
    codes = []
    for process in processes:
        try:
            codes.append(process.wait(5))
        except subprocess.TimeoutExpired:
            process.kill()
            codes.append(None)
    assert codes == [0, 0], "a camera did not leave cleanly on SIGINT"


def start(name: str, **parameters: str) -> subprocess.Popen[str]:
    arguments = [f"-p{key}:={value}" for key, value in parameters.items()]
    split = [part for argument in arguments for part in ("-p", argument[2:])]
    return subprocess.Popen(
        [sys.executable, "-m", "so101_camera.ros.camera_node", "--ros-args", "-r", f"__node:={name}", *split],
        env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"},
        stderr=subprocess.PIPE,
        text=True,
    )


def connected(robot: Robot) -> bool:
    return robot.wait(lambda: robot.request.get_subscription_count() == 2 and robot.spec.get_subscription_count() == 2)


def spec(*cameras: str) -> PolicySpec:
    return PolicySpec(spec_id=9, fps=30.0, cameras=list(cameras))


def test_a_named_camera_answers_each_request_once_with_the_files_own_bytes(
    robot: Robot, pictures: Path, cameras: list[subprocess.Popen[str]]
) -> None:
    robot.spec.publish(spec("top"))
    assert connected(robot)
    robot.spin_for(0.3)
    for request_id in (1, 2, 3):
        robot.ask(request_id)
        assert robot.wait(lambda: len(robot.images) == request_id, 5)  # noqa: B023 - called before the loop goes on
    robot.spin_for(0.3)
    assert [(image.camera, image.session, image.request_id) for image in robot.images] == [
        ("top", 5, 1),
        ("top", 5, 2),
        ("top", 5, 3),
    ]
    originals = {path.read_bytes() for path in pictures.iterdir()}
    assert all(bytes(image.image.data) in originals for image in robot.images)
    assert {image.image.format for image in robot.images} == {"jpeg"}
    assert all(0 <= image.capture_age < 1.0 for image in robot.images)
    seqs = [image.frame_seq for image in robot.images]
    assert seqs == sorted(seqs)
    assert robot.images[0].header.frame_id == "top_optical_frame"


@pytest.mark.parametrize("steps", [2, 5])
def test_a_camera_learns_from_the_request_how_many_steps_are_wanted(
    robot: Robot, cameras: list[subprocess.Popen[str]], steps: int
) -> None:
    robot.spec.publish(spec("front"))
    assert connected(robot)
    robot.spin_for(0.3)
    robot.ask(100 * steps, history=steps)
    assert robot.wait(lambda: len(robot.images) == steps, 5), "the first such request, with little or no history yet"
    assert sorted(image.history_index for image in robot.images) == list(range(steps))
    for request_id in range(100 * steps + 1, 100 * steps + 21):
        robot.images.clear()
        robot.spin_for(0.5)  # the first such request makes the camera remember; on a busy machine frames are few
        robot.ask(request_id, history=steps)
        assert robot.wait(lambda: len(robot.images) == steps, 5)
        frames = sorted(robot.images, key=lambda image: image.history_index)
        assert {frame.camera for frame in frames} == {"front"}
        seqs = [frame.frame_seq for frame in frames]
        if all(newer > older for newer, older in itertools.pairwise(seqs)):
            return
    pytest.fail(f"frames of several steps are never different ones: {seqs}")


def test_a_camera_told_to_do_so_waits_for_a_frame_that_is_due_soon(robot: Robot, pictures: Path) -> None:
    camera = start("wrist", device=str(pictures), fps="5.0", next_frame_within_s="0.1")
    try:
        ages: list[float] = []
        robot.node.create_subscription(
            ObservationImage, "wrist/observation", lambda image: ages.append(image.capture_age), qos.observation()
        )
        robot.spec.publish(spec("wrist"))
        assert robot.wait(lambda: "wrist" in robot.node.get_node_names() and robot.request.get_subscription_count() > 0)
        robot.spin_for(2.5)  # it learns its period from ten frames
        for request_id in range(1000, 1014):
            count = len(ages)
            robot.ask(request_id)
            assert robot.wait(lambda: len(ages) > count, 5)  # noqa: B023 - called before the loop goes on
            robot.spin_for(0.07)  # of a period of 0.2 s: no two of three requests meet the same phase
    finally:
        camera.send_signal(signal.SIGINT)
        assert camera.wait(10) == 0
    # Now and then a frame itself is late on a busy machine. Without waiting a third of them are older than this.
    assert sorted(ages)[-3] < 0.13, ages


def test_a_camera_waits_as_long_as_a_request_lets_it_whatever_ros_time_does(robot: Robot, pictures: Path) -> None:
    camera = start("wrist", device=str(pictures), fps="5.0", use_sim_time="true")
    try:
        images: list[ObservationImage] = []
        timings: list[FrameTiming] = []
        robot.node.create_subscription(ObservationImage, "wrist/observation", images.append, qos.observation())
        robot.node.create_subscription(
            FrameTiming,
            "frame_timing",
            lambda told: timings.append(told) if told.camera == "wrist" else None,
            qos.FRAME_TIMING,
        )
        clock = robot.node.create_publisher(Clock, "/clock", 10)
        robot.spec.publish(spec("wrist"))
        assert robot.wait(lambda: bool(timings) and timings[-1].period > 0), "it learns its period from ten frames"
        assert timings[-1].period == pytest.approx(0.2, abs=0.02)
        assert all(0 <= told.since_frame < 0.2 and 0 <= told.delay < 0.2 for told in timings)
        for request_id in range(1, 13):
            clock.publish(Clock(clock=Time(sec=1000 if request_id % 2 else 3)))  # forth and back
            count = len(images)
            robot.request.publish(
                ObservationRequest(session=6, request_id=request_id, spec_id=9, history=1, frame_wait=0.2)
            )
            assert robot.wait(lambda: len(images) > count, 5)  # noqa: B023 - called before the loop goes on
            robot.spin_for(0.07)
    finally:
        camera.send_signal(signal.SIGINT)
        assert camera.wait(10) == 0
    # Whatever the phase, the next frame is due within 0.2 s. Now and then one is late on a busy machine.
    assert sorted(image.capture_age for image in images)[-4] < 0.05
    assert sum(image.waited > 0 for image in images) >= 9
    assert all(image.waited < 0.25 for image in images)


def test_a_listener_gets_the_stream_the_decoded_picture_and_the_camera_info(
    robot: Robot, pictures: Path, cameras: list[subprocess.Popen[str]]
) -> None:
    streamed: list[CompressedImage] = []
    raw: list[Image] = []
    infos: list[CameraInfo] = []
    robot.node.create_subscription(CompressedImage, "top/image_raw/compressed", streamed.append, qos.IMAGE)
    robot.node.create_subscription(Image, "top/image_raw", raw.append, qos.IMAGE)
    robot.node.create_subscription(CameraInfo, "top/camera_info", infos.append, qos.IMAGE)
    assert robot.wait(lambda: bool(len(streamed) > 3 and raw and infos))
    originals = {path.read_bytes() for path in pictures.iterdir()}
    assert all(bytes(image.data) in originals for image in streamed)
    decoded = {decode_image(data).tobytes() for data in originals}
    assert (raw[0].encoding, raw[0].height, raw[0].width) == ("bgr8", 120, 160)
    assert raw[0].data.tobytes() in decoded
    assert infos[0].header.frame_id == "top_optical_frame"
    assert (infos[0].width, infos[0].height) == (160, 120)  # of the JPEG that passes through
    assert not any(infos[0].k)  # uncalibrated


def test_before_the_clock_of_a_simulation_runs_frames_are_stamped_with_zero(robot: Robot, pictures: Path) -> None:
    streamed: list[CompressedImage] = []
    topic = "early/image_raw/compressed"
    robot.node.create_subscription(CompressedImage, topic, streamed.append, qos.IMAGE)
    clock = robot.node.create_publisher(Clock, "clock", 10)
    camera = start("early", device=str(pictures), use_sim_time="true")
    try:
        assert robot.wait(lambda: len(streamed) > 3)
        assert {(image.header.stamp.sec, image.header.stamp.nanosec) for image in streamed} == {(0, 0)}
        assert robot.wait(lambda: clock.get_subscription_count() > 0)
        clock.publish(Clock(clock=Time(nanosec=1)))  # younger than any frame
        robot.spin_for(0.3)
        clock.publish(Clock(clock=Time(sec=1000)))
        assert robot.wait(lambda: streamed[-1].header.stamp.sec == 999)  # a frame has its age
    finally:
        camera.send_signal(signal.SIGINT)
        assert camera.wait(5) == 0


def test_a_rotated_camera_answers_streams_and_describes_the_turned_picture(robot: Robot, tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:120, 0:160].astype(np.uint8)
    wide = np.ascontiguousarray(np.stack([rows * 2, columns, rows + columns // 2], axis=2))
    data = encode_jpeg(wide)
    (tmp_path / "0.jpg").write_bytes(data)
    turned = np.rot90(decode_image(data), -1)
    raw: list[Image] = []
    infos: list[CameraInfo] = []
    robot.node.create_subscription(Image, "side/image_raw", raw.append, qos.IMAGE)
    robot.node.create_subscription(CameraInfo, "side/camera_info", infos.append, qos.IMAGE)
    robot.node.create_subscription(ObservationImage, "side/observation", robot.images.append, qos.OBSERVATION)
    camera = start("side", device=str(tmp_path), rotation="90", lossless="true")
    try:
        robot.spec.publish(spec("side"))
        assert robot.wait(lambda: bool(raw and infos) and robot.node.count_publishers("side/observation") == 1)
        assert (raw[0].height, raw[0].width) == (160, 120)
        assert raw[0].data.tobytes() == turned.tobytes()
        assert (infos[0].width, infos[0].height) == (120, 160)
        robot.spin_for(0.3)
        robot.ask(200)
        assert robot.wait(lambda: len(robot.images) == 1, 5)
        assert np.array_equal(decode_image(bytes(robot.images[0].image.data)), turned)
    finally:
        camera.send_signal(signal.SIGINT)
        assert camera.wait(5) == 0


@pytest.mark.long
def test_a_camera_slower_than_asked_says_both_rates_and_what_a_server_thinks_of_it() -> None:
    with http_camera() as server:
        server.period_s = 0.25
        url = f"http://robot:secret@127.0.0.1:{server.server_address[1]}/video"
        process = start("slow", device=url, width="64", height="48", fps="30.0")
        said: list[str] = []
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if "max_frame_age_s" in line or len(said) > 20:
                break
        process.send_signal(signal.SIGINT)
        said += process.communicate(timeout=START_LIMIT_S)[1].splitlines()
    text = "\n".join(said)
    assert re.search(r"slow: fewer frames come than were requested: [34]\.\d frames/s, 30 asked; more light", text), (
        text
    )
    assert re.search(r"at [34]\.\d frames/s a frame is up to 0\.\d\d s old.* set it to 0\.\d\d or more", text), text
    assert text.count("fewer frames") == 1
    assert "secret" not in text


def test_pictures_that_change_their_size_are_told_in_the_log_and_in_diagnostics(robot: Robot, tmp_path: Path) -> None:
    def put(height: int, width: int) -> None:
        (tmp_path / "new").write_bytes(encode_jpeg(np.zeros((height, width, 3), np.uint8)))
        (tmp_path / "new").rename(tmp_path / "0.jpg")

    put(48, 64)
    heard: list[str] = []

    def hear(array: DiagnosticArray) -> None:
        heard.extend(status.message for status in array.status if "sized" in status.name)

    robot.node.create_subscription(DiagnosticArray, "/diagnostics", hear, 10)
    process = start("sized", device=str(tmp_path))
    try:
        assert robot.wait(lambda: any(text.startswith("CAPTURING") for text in heard)), heard
        put(96, 96)
        assert robot.wait(
            lambda: any(text == "SIZE_CHANGED: 96x96, of another aspect ratio, 64x48 at first" for text in heard)
        )
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=START_LIMIT_S)
    assert said.count("another size than at first") == 1 and "96x96, of another aspect ratio, 64x48 at first" in said


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (
            {"device": "/tmp", "rotation": "45"},
            "parameter rotation = 45 (-p rotation): must be one of 0, 90, 180, 270, -90",
        ),
        (
            {"device": "/tmp", "rotation": "ROTATE_90"},
            "'ROTATE_90' (-p rotation): expected one of 0, 90, 180, 270, -90",
        ),
        ({"device": "/dev/video99"}, "/dev/video99"),
        ({"device": "/tmp", "fourcc": "JPEGS"}, "four letters"),
        ({"device": "/tmp", "camera_info_url": "/nowhere/top.yaml"}, "/nowhere/top.yaml"),
        ({}, "give a camera"),
        ({"frame_source": "opencv"}, "give a camera"),
        (
            {"frame_source": "opnecv", "device": "/tmp"},
            "error: parameter frame_source = 'opnecv': no installed package has it; known are file, opencv, url",
        ),
    ],
)
def test_a_users_mistake_is_one_line_and_a_failure(parameters: dict[str, str], expected: str) -> None:
    process = start("top", **parameters)
    _, errors = process.communicate(timeout=START_LIMIT_S)
    assert process.returncode == (78 if "error: parameter" in errors else 1)  # 78: the same again would fail again
    assert len(errors.strip().splitlines()) == 1
    assert expected in errors
