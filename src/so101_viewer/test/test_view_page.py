# SPDX-License-Identifier: Apache-2.0
"""The browser view as a person sees it: headless Chromium photographs the page of a made-up robot."""

import importlib.util
import io
import math
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sensor_msgs.msg import CompressedImage, JointState
from so101_msgs.msg import ActionChunk, DriverStatus, ObservationImage, PolicyStatus, QueueDecision, QueueStatus
from so101_node.topics.qos import DECISIONS, IMAGE, JOINT_STATES_WRITER, LATCHED, OBSERVATION, PLAN, STATUS
from so101_viewer.view.layout import CORRECTED
from so101_viewer.view.screenshot import chromium, is_drawn, photograph
from so101_viewer.view.viewer_server import free_port
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

pytest.importorskip("rerun_cli", reason="rerun-sdk is not installed here")

NAMES = ["shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper"]
MAGENTA = (200, 30, 200)


def jpeg(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (320, 240), colour).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


class Robot:
    """Publishes what a robot publishes, one control tick with each call."""

    def __init__(self, peer: Any) -> None:
        node = peer.node
        self.tick = 0
        self.states = node.create_publisher(JointState, "joint_states", JOINT_STATES_WRITER)
        self.plan = node.create_publisher(JointTrajectory, "action_plan", PLAN)
        self.status = node.create_publisher(QueueStatus, "action_queue/status", STATUS)
        self.decisions = node.create_publisher(QueueDecision, "action_queue/decisions", DECISIONS)
        self.driver = node.create_publisher(DriverStatus, "driver_status", LATCHED)
        self.server = node.create_publisher(PolicyStatus, "policy_status", LATCHED)
        self.stream = node.create_publisher(CompressedImage, "top/image_raw/compressed", IMAGE)
        self.frames = node.create_publisher(ObservationImage, "top/observation", OBSERVATION)
        self.image = jpeg(MAGENTA)

    def step(self) -> None:
        self.tick += 1
        now_ns, row = self.tick * 33_333_333, self.tick % 40
        positions = [0.4 * math.sin(self.tick / 15), -0.4, 0.6, 0.5, 0.0, 0.3]
        self.states.publish(JointState(name=NAMES, position=positions))
        self.status.publish(
            QueueStatus(
                state=QueueStatus.RUNNING,
                length=50 - row, chunk_size=50, threshold=0.5, tick_ns=now_ns, action_age=0.1,
                correction=self.correction,
            )
        )  # fmt: skip
        self.driver.publish(DriverStatus(state=DriverStatus.ENGAGED))
        self.server.publish(PolicyStatus(state=PolicyStatus.READY))
        self.stream.publish(CompressedImage(format="jpeg", data=self.image))
        if row == 35:
            self.frames.publish(ObservationImage(session=1, request_id=self.tick + 5, camera="top", capture_age=0.02))
        if row == 0:
            rows = [[0.4 * math.sin((self.tick + i) / 15), *positions[1:]] for i in range(50)]
            points = [JointTrajectoryPoint(positions=row) for row in rows]
            self.plan.publish(JointTrajectory(joint_names=NAMES, points=points))
            chunk = ActionChunk(request_id=self.tick, inference=0.05, server_total=0.06)
            self.decisions.publish(
                QueueDecision(
                    session=1,
                    input=QueueDecision.CHUNK,
                    verdict=QueueDecision.ACCEPTED,
                    now_ns=now_ns,
                    step=self.tick,
                    round_trip=0.07,
                    chunk=[chunk],
                )
            )
        self.decisions.publish(
            QueueDecision(
                session=1, input=QueueDecision.TICK, now_ns=now_ns, step=self.tick + 1, joint_names=NAMES,
                setpoint=positions, correction=self.correction,
            )
        )  # fmt: skip

    @property
    def correction(self) -> list[float]:
        """Of the six joints, rad."""
        return [0.3 * math.sin(self.tick / 9), 0.1 * math.cos(self.tick / 20), 0.0, -0.1, 0.0, 0.0]


@pytest.fixture
def robot(domain: int, peer_in: Callable[[int], Any]) -> Iterator[tuple[Any, Robot]]:
    peer = peer_in(domain)
    yield peer, Robot(peer)


class View:
    """A view of its own process."""

    def __init__(self, listen_s: float) -> None:
        words = ["--ros-args", "-p", f"port:={free_port(9700)}", "-p", f"listen_s:={listen_s}", "-p", "niceness:=0"]
        command = [sys.executable, "-m", "so101_viewer.view.view_node", *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("view: "), line
        self.url = line.removeprefix("view: ").strip()

    def close(self) -> int:
        self.process.terminate()
        self.process.communicate(timeout=20)
        return self.process.returncode


@pytest.fixture
def view(domain: int) -> Iterator[Callable[[float], View]]:
    made: list[View] = []

    def start(listen_s: float) -> View:
        made.append(View(listen_s))
        return made[-1]

    yield start
    for each in made:
        if each.process.poll() is None:
            each.close()


def test_the_page_is_served_on_this_host_only_and_ends_with_the_view(view: Callable[[float], View]) -> None:
    served = view(0.0)
    with urllib.request.urlopen(served.url, timeout=20) as page:
        assert b"rerun" in page.read().lower()
    port = int(served.url.split(":")[2].split("/")[0])
    listening = {line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]}
    for number in (port, port + 1):
        assert [address for address in listening if address.endswith(f":{number:04X}")] == [f"0100007F:{number:04X}"]
    assert served.close() == 0
    with pytest.raises(OSError):
        urllib.request.urlopen(served.url, timeout=5)


@pytest.mark.long
@pytest.mark.skipif(chromium() is None, reason="Chromium is not installed here (apt-get install chromium)")
@pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="playwright is not installed here")
def test_chromium_shows_arm_image_plots_and_latency(robot: tuple[Any, Robot], view: Callable[[float], View]) -> None:
    peer, source = robot
    served = view(12.0)
    source_ends = 30 * 14  # ticks; the view has stopped listening by then

    def done() -> bool:
        source.step()
        return source.tick > source_ends

    assert peer.spin_until(done, 120.0)
    page = photograph(served.url, (1200, 700))
    assert is_drawn(page)
    assert ratio(page, MAGENTA, 12) > 0.01, "no image of the camera"
    assert ratio(page, (250, 205, 30), 45) > 0.002, "no arm"
    assert ratio(page, (70, 190, 132), 25) > 0.0005, "neither the queue's line nor a state"
    assert ratio(page, CORRECTED, 25) > 0.0001, "nothing of the correction"


def ratio(page: NDArray[np.uint8], colour: tuple[int, int, int], tolerance: int) -> float:
    """Ratio of the page that has about that colour."""
    near = np.abs(page.astype(np.int16) - np.array(colour, np.int16)).max(axis=2) <= tolerance
    return float(near.mean())
