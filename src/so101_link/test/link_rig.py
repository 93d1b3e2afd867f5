# SPDX-License-Identifier: Apache-2.0
"""Both ends of a link as processes, each in a DDS domain of its own, and what talks to them on either side."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from so101_link.keys.authority import Authority
from so101_msgs.msg import ActionChunk, ObservationImage, ObservationRequest, PolicySpec, PolicyStatus
from so101_node.topics import qos
from so101_node.topics.repeat import RepeatPublisher

READY_S = 15.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class LinkProcess:
    """One end, with what it has logged."""

    def __init__(self, command: Sequence[str], domain: int) -> None:
        environment = {**os.environ, "ROS_DOMAIN_ID": str(domain), "RCUTILS_LOGGING_BUFFERED_STREAM": "0"}
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def log(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, words: str, timeout_s: float = READY_S, after: int = 0) -> None:
        """Wait until a line that holds these words was logged, behind the first `after` lines."""
        end_s = time.monotonic() + timeout_s
        while not any(words in line for line in self.lines[after:]):
            if time.monotonic() > end_s or (self.process.poll() is not None and not self._reader.is_alive()):
                raise AssertionError(f"{words!r} was not logged in {timeout_s} s, but:\n{self.log()}")
            time.sleep(0.02)

    def wait(self, timeout_s: float = READY_S) -> int:
        code = self.process.wait(timeout_s)
        self._reader.join(2.0)
        return code

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()


def link_robot(
    keys: Path, address: str, domain: int, namespace: str = "/arm1", prefix: Sequence[str] = ()
) -> LinkProcess:
    words = ["-p", f"server_link:={address}", "-p", f"link_keys:={keys}", "-p", "niceness:=0"]
    return LinkProcess(
        [
            *prefix,
            sys.executable,
            "-m",
            "so101_link.ros.link_robot_node",
            "--ros-args",
            "-r",
            f"__ns:={namespace}",
            *words,
        ],
        domain,
    )


def link_server(keys: Path, port: int, domain: int, prefix: Sequence[str] = ()) -> LinkProcess:
    words = ["-p", f"link_port:={port}", "-p", f"link_keys:={keys}"]
    return LinkProcess([*prefix, sys.executable, "-m", "so101_link.ros.link_server_node", "--ros-args", *words], domain)


class Side:
    """A node of the test in one domain, turned over on a thread of its own."""

    def __init__(self, domain: int, namespace: str) -> None:
        self.context = Context()
        rclpy.init(args=[], context=self.context, domain_id=domain)
        self.node: Node = rclpy.create_node(
            "side", namespace=namespace, context=self.context, enable_rosout=False, start_parameter_services=False
        )
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._stop = False
        self._thread = threading.Thread(target=self._spin, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _spin(self) -> None:
        while not self._stop:
            self._executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        self._stop = True
        if self._thread.is_alive():
            self._thread.join(2.0)
        self._executor.remove_node(self.node)
        self.node.destroy_node()
        self._executor.shutdown(timeout_sec=0.5)
        rclpy.shutdown(context=self.context)


class RobotSide(Side):
    """The robot's queue and cameras: requests, a frame of each camera for each request, and what comes back."""

    def __init__(
        self, domain: int, namespace: str = "/arm1", cameras: Sequence[str] = ("front", "top"), size: int = 20_000
    ):
        super().__init__(domain, namespace)
        self.cameras, self.size = tuple(cameras), size
        self.chunks: list[tuple[float, ActionChunk]] = []
        self.statuses: list[PolicyStatus] = []
        self.requests = RepeatPublisher(self.node, ObservationRequest, "observation_request", qos.REQUEST_WRITER)
        self.spec = self.node.create_publisher(PolicySpec, "policy_spec", qos.LATCHED)
        self._frames = {
            name: self.node.create_publisher(ObservationImage, f"{name}/observation", qos.OBSERVATION)
            for name in cameras
        }
        self.node.create_subscription(
            ActionChunk, "action_chunk", lambda m: self.chunks.append((time.monotonic(), m)), qos.CHUNK_READER
        )
        self.node.create_subscription(PolicyStatus, "policy_status", self.statuses.append, qos.LATCHED)
        self.spec.publish(PolicySpec(session=1, spec_id=7, cameras=list(cameras), task="a task"))
        self.start()

    def ask(self, request_id: int) -> None:
        self.requests.publish(ObservationRequest(session=1, request_id=request_id, spec_id=7, task="a task"))
        for name, publisher in self._frames.items():
            frame = ObservationImage(session=1, request_id=request_id, camera=name, frame_seq=request_id)
            frame.image.format = "jpeg"
            frame.image.data = os.urandom(self.size)
            publisher.publish(frame)

    def came(self, request_id: int) -> bool:
        return any(chunk.request_id == request_id for _, chunk in self.chunks)

    def ask_until_replied(self, first: int, timeout_s: float, every_s: float = 0.2) -> int:
        """Ask again and again; return the first request that a chunk came back for."""
        end_s = time.monotonic() + timeout_s
        request_id = first
        while time.monotonic() < end_s:
            self.ask(request_id)
            wait_s = time.monotonic() + every_s
            while time.monotonic() < wait_s:
                for _, chunk in self.chunks:
                    if chunk.request_id >= first:
                        return int(chunk.request_id)
                time.sleep(0.005)
            request_id += 1
        raise AssertionError(f"no chunk for a request from {first} on within {timeout_s} s")


@dataclass
class Observation:
    request: ObservationRequest
    frames: dict[str, ObservationImage] = field(default_factory=dict)


class ServerSide(Side):
    """A policy server that replies to a request once a frame of each camera is there."""

    def __init__(self, domain: int, namespace: str = "/arm1") -> None:
        super().__init__(domain, namespace)
        self.requests: list[ObservationRequest] = []
        self.frames: list[ObservationImage] = []
        self.specs: list[PolicySpec] = []
        self._waiting: dict[int, Observation] = {}
        self._cameras: dict[str, object] = {}
        self.chunks = RepeatPublisher(self.node, ActionChunk, "action_chunk", qos.CHUNK_WRITER)
        self.status = self.node.create_publisher(PolicyStatus, "policy_status", qos.LATCHED)
        self._sequence = 0
        self.node.create_subscription(ObservationRequest, "observation_request", self._on_request, qos.REQUEST_READER)
        self.node.create_subscription(PolicySpec, "policy_spec", self._on_spec, qos.LATCHED)
        self.node.create_timer(0.2, self.beat)
        self.start()

    def beat(self) -> None:
        self._sequence += 1
        self.status.publish(PolicyStatus(server_id=5, sequence=self._sequence, state=PolicyStatus.READY))

    def _on_spec(self, spec: PolicySpec) -> None:
        self.specs.append(spec)
        for name in spec.cameras:
            if name not in self._cameras:
                self._cameras[name] = self.node.create_subscription(
                    ObservationImage, f"{name}/observation", self._on_frame, qos.observation(32)
                )

    def _on_request(self, request: ObservationRequest) -> None:
        self.requests.append(request)
        self._of(int(request.request_id)).request = request
        self._look(int(request.request_id))

    def _on_frame(self, frame: ObservationImage) -> None:
        self.frames.append(frame)
        self._of(int(frame.request_id)).frames[str(frame.camera)] = frame
        self._look(int(frame.request_id))

    def _of(self, request_id: int) -> Observation:
        return self._waiting.setdefault(request_id, Observation(ObservationRequest()))

    def _look(self, request_id: int) -> None:
        observation = self._waiting[request_id]
        if self._cameras and len(observation.frames) == len(self._cameras) and observation.request.request_id:
            self.chunks.publish(
                ActionChunk(
                    session=1, request_id=request_id, spec_id=7, server_id=5, status=ActionChunk.OK, message="ok"
                )
            )
            observation.frames.clear()


@dataclass
class Rig:
    """Keys, two domains, one port; what it starts it ends."""

    keys: Path
    robot_domain: int
    server_domain: int
    port: int
    started: list[LinkProcess] = field(default_factory=list)
    sides: list[Side] = field(default_factory=list)

    def server(self, **more: object) -> LinkProcess:
        self.started.append(link_server(self.keys / "server", self.port, self.server_domain, **more))  # type: ignore[arg-type]
        return self.started[-1]

    def robot(self, name: str = "arm1", **more: object) -> LinkProcess:
        given = {
            "keys": self.keys / "robots" / name,
            "address": f"127.0.0.1:{self.port}",
            "namespace": f"/{name}",
            **more,
        }
        self.started.append(link_robot(domain=self.robot_domain, **given))  # type: ignore[arg-type]
        return self.started[-1]

    def both_sides(self, namespace: str = "/arm1", **more: object) -> tuple[RobotSide, ServerSide]:
        sides = RobotSide(self.robot_domain, namespace, **more), ServerSide(self.server_domain, namespace)  # type: ignore[arg-type]
        self.sides += sides
        return sides

    def close(self) -> None:
        for process in self.started:
            process.end()
        for side in self.sides:
            side.close()


@contextlib.contextmanager
def link_rig(
    folder: Path, lease_domain: Callable[[], contextlib.AbstractContextManager[int]], *robots: str
) -> Iterator[Rig]:
    keys = folder / "keys"
    Authority.create(keys, time.time()).make(["server", *(robots or ("arm1",))], 30, time.time())
    with lease_domain() as robot_domain, lease_domain() as server_domain:
        rig = Rig(keys, robot_domain, server_domain, free_port())
        try:
            yield rig
        finally:
            rig.close()
