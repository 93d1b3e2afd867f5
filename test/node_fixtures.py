# SPDX-License-Identifier: Apache-2.0
"""Nodes of the test itself, and processes in the domain of this test run."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node


@pytest.fixture(scope="session")
def domain() -> int:
    """The domain of this test run, which the workspace's conftest has leased and put into the environment."""
    return int(os.environ["ROS_DOMAIN_ID"])


class Peer:
    """A node of the test itself."""

    def __init__(self, domain: int) -> None:
        self.context = Context()
        rclpy.init(args=[], context=self.context, domain_id=domain)
        self.node: Node = rclpy.create_node("test_peer", context=self.context, enable_rosout=False)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)

    def spin_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Spin until the condition holds; tell whether it did."""
        clock = self.node.get_clock()
        end_ns = clock.now().nanoseconds + int(timeout_s * 1e9)
        while not condition():
            if clock.now().nanoseconds > end_ns:
                return False
            self._executor.spin_once(timeout_sec=0.02)
        return True

    def close(self) -> None:
        """Leave the graph."""
        self._executor.remove_node(self.node)
        self.node.destroy_node()
        self._executor.shutdown(timeout_sec=0.5)
        rclpy.shutdown(context=self.context)


@pytest.fixture
def peer_in() -> Iterator[Callable[[int], Peer]]:
    """Make a node of the test in a domain that the test learns only while it runs."""
    made: list[Peer] = []

    def maker(domain: int) -> Peer:
        made.append(Peer(domain))
        return made[-1]

    yield maker
    for node in made:
        node.close()


@pytest.fixture
def peer(domain: int, peer_in: Callable[[int], Peer]) -> Peer:
    """A node in the run's domain."""
    return peer_in(domain)


@pytest.fixture
def start(domain: int) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `python -m module arguments`; what still runs at the end of the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def starter(module: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", module, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield starter
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
