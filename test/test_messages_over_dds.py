# SPDX-License-Identifier: Apache-2.0
"""Every message of so101_msgs crosses from one process to another over real DDS and arrives equal."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy
from message_filling import filled
from message_publisher import message_types
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from so101_msgs.srv import ResetEpisode

WAIT_S = 60.0  # generous: discovery takes up to 2 s on an idle machine


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    made = rclpy.create_node("message_reader", context=context)
    yield made
    made.destroy_node()
    rclpy.shutdown(context=context)


def spin_until(node: Node, condition: Any) -> None:
    executor = rclpy.executors.SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    end = time.monotonic() + WAIT_S
    while not condition() and time.monotonic() < end:
        executor.spin_once(timeout_sec=0.05)
    executor.remove_node(node)
    executor.shutdown()


def test_every_message_arrives_in_another_process_as_it_was_sent(node: Node) -> None:
    types = message_types()
    received: dict[str, Any] = {}
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    for name, message_type in types.items():
        node.create_subscription(message_type, name, lambda message, name=name: received.update({name: message}), qos)
    program = Path(__file__).with_name("message_publisher.py")
    with subprocess.Popen([sys.executable, str(program)], stdin=subprocess.PIPE) as publisher:
        try:
            spin_until(node, lambda: len(received) == len(types))
        finally:
            publisher.communicate(timeout=WAIT_S)
    assert publisher.returncode == 0
    assert set(received) == set(types)
    for name, message_type in types.items():
        assert received[name] == filled(message_type), name


def test_a_filled_message_has_no_default_left() -> None:
    for name, message_type in message_types().items():
        message, empty = filled(message_type), message_type()
        for field in message_type.get_fields_and_field_types():
            assert getattr(message, field) != getattr(empty, field), f"{name}.{field}"


def test_a_service_call_is_answered(node: Node) -> None:
    heard: list[ResetEpisode.Request] = []

    def answer(request: ResetEpisode.Request, response: ResetEpisode.Response) -> ResetEpisode.Response:
        heard.append(request)
        response.success, response.message = True, "placed"
        return response

    service = node.create_service(ResetEpisode, "reset_episode", answer)
    client = node.create_client(ResetEpisode, "reset_episode")
    spin_until(node, client.service_is_ready)
    future = client.call_async(ResetEpisode.Request(task_name="static", seed=2**63 + 1, episode=4, timeout=2.5))
    spin_until(node, future.done)
    assert (future.result().success, future.result().message) == (True, "placed")
    assert (heard[0].task_name, heard[0].seed, heard[0].episode, heard[0].timeout) == ("static", 2**63 + 1, 4, 2.5)
    node.destroy_client(client)
    node.destroy_service(service)
