"""Fixtures for tests of nodes: processes in a domain of their own, and a robot that talks to them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DOMAIN = 101 + os.getpid() % 100
LIMIT_S = 40.0
"""For anything to happen on a busy machine."""


class Peer:
    """A ROS node in this process; its subscriptions are served while `wait` waits."""

    def __init__(self) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node

        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.node = Node("peer", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def collect(self, message_type: type[Any], topic: str, qos: Any) -> list[Any]:
        """Everything that arrives on a topic from now on."""
        received: list[Any] = []
        self.node.create_subscription(message_type, topic, lambda message: received.append(message), qos)
        return received

    def wait(self, condition: Callable[[], Any], limit_s: float = LIMIT_S) -> bool:
        deadline = time.monotonic() + limit_s
        while not condition() and time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.05)
        return bool(condition())

    def spin_for(self, duration_s: float) -> None:
        self.wait(lambda: False, duration_s)

    def call(self, service_type: type[Any], name: str, request: Any) -> Any:
        client = self.node.create_client(service_type, name)
        assert self.wait(client.service_is_ready), f"no service {name}"
        future = client.call_async(request)
        assert self.wait(future.done), f"no answer from {name}"
        self.node.destroy_client(client)
        return future.result()

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


class NodeProcess:
    """One node of this package in a process of its own."""

    def __init__(self, module: str, parameters: dict[str, Any], log: Path) -> None:
        arguments = [item for name, value in parameters.items() for item in ("-p", f"{name}:={value}")]
        environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        self._log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"so101_sim.{module}", "--ros-args", *arguments],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return self._log.read_text()

    def interrupt(self) -> int:
        """SIGINT, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=LIMIT_S)


@pytest.fixture
def peer() -> Iterator[Peer]:
    result = Peer()
    yield result
    result.close()


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[Callable[..., NodeProcess]]:
    started: list[NodeProcess] = []

    def start(module: str, **parameters: Any) -> NodeProcess:
        started.append(NodeProcess(module, parameters, tmp_path / f"{module}-{len(started)}.log"))
        return started[-1]

    yield start
    for node in started:
        if node.process.poll() is None:
            node.process.kill()
            node.process.wait()
