# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests of nodes: a robot's side of DDS, and processes that share its domain."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

LIMIT_S = 40.0
"""For anything to happen on a busy machine."""


class NodeProcess:
    """One node in a process of its own: a module of this package, or another one by its whole name."""

    def __init__(
        self, module: str, parameters: dict[str, Any], domain: int, log: Path, words: Sequence[str] = ()
    ) -> None:
        arguments = [*words] + [item for name, value in parameters.items() for item in ("-p", f"{name}:={value}")]
        environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
        self._log = log
        module = module if "." in module else f"so101_sim.ros.{module}"
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, "--ros-args", *arguments],
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


class Peer:
    """A ROS node in this process, in a domain of its own, and the nodes that it started there."""

    def __init__(self, folder: Path, domain: int) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node

        self._folder = folder
        self._domain = domain
        self._started: list[NodeProcess] = []
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node("peer", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def start(self, module: str, *words: str, **parameters: Any) -> NodeProcess:
        """Start a node with `parameters` and further ROS arguments."""
        log = self._folder / f"{module}-{len(self._started)}.log"
        self._started.append(NodeProcess(module, parameters, self._domain, log, words))
        return self._started[-1]

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
        for node in self._started:
            if node.process.poll() is None:
                node.process.kill()
                node.process.wait()
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


def _peer(tmp_path_factory: pytest.TempPathFactory, lease_domain: Any) -> Iterator[Peer]:
    with lease_domain() as domain:
        result = Peer(tmp_path_factory.mktemp("logs"), domain)
        yield result
        result.close()


peer = pytest.fixture(_peer)
module_peer = pytest.fixture(_peer, scope="module")
