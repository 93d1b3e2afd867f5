# SPDX-License-Identifier: Apache-2.0
"""Plain numbers for programs that plot: the robot's own values, and over DDS from a node of their own."""

import math
import os
import subprocess
import sys
from array import array
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from so101_msgs.msg import ActionChunk, PolicyStatus, QueueNumbers, QueueStatus, ServoNumbers, ServoTelemetry
from so101_node.topics.qos import CHUNK_WRITER, LATCHED, STATUS, TELEMETRY
from so101_viewer.view.numbers import queue_numbers, servo_numbers


def status(**values: Any) -> QueueStatus:
    message = QueueStatus(length=17, chunk_size=50, threshold=0.5, state=QueueStatus.RUNNING, **values)
    message.header.stamp.sec = 12
    return message


def test_the_newest_status_is_told_and_of_the_tick_errors_the_largest() -> None:
    errors = (0.001, -0.004, 0.002)
    numbers = queue_numbers([status(tick_error=error, starved_ticks=3) for error in errors], None, None)
    assert (numbers.length, numbers.chunk_size, numbers.request_at) == (17.0, 50.0, 25.0)
    assert (numbers.state, numbers.starved_ticks, numbers.tick_error) == (2.0, 3.0, -0.004)
    assert numbers.header.stamp.sec == 12


def test_what_was_not_heard_yet_is_nan_and_no_zero() -> None:
    numbers = queue_numbers([status()], None, None)
    assert math.isnan(numbers.inference_p50) and math.isnan(numbers.server_total)
    numbers = queue_numbers([status()], PolicyStatus(inference_p50=0.03), ActionChunk(server_total=0.05, decode=0.004))
    assert (numbers.inference_p50, numbers.server_total, numbers.decode) == (0.03, 0.05, 0.004)


def test_every_field_is_filled_from_a_field_of_the_same_name() -> None:
    """But for the two that are worked out, so that a field that is added to a message cannot stay 0 forever."""
    heard = {name for kind in (QueueStatus, PolicyStatus, ActionChunk) for name in kind.get_fields_and_field_types()}
    assert set(QueueNumbers.get_fields_and_field_types()) - {"request_at"} <= heard
    sources = [status(), PolicyStatus(), ActionChunk()]
    for source in sources:
        for name, kind in source.get_fields_and_field_types().items():
            if name in QueueNumbers.get_fields_and_field_types() and name != "header":
                seven: Any = 7.0 if kind == "double" else 7
                setattr(source, name, [7.0] if kind.startswith("sequence") else seven)
    numbers = queue_numbers(sources[:1], sources[1], sources[2])  # type: ignore[arg-type,list-item]
    for name in set(QueueNumbers.get_fields_and_field_types()) - {"header", "request_at"}:
        assert getattr(numbers, name) in (7.0, array("d", [7.0])), name


def telemetry() -> ServoTelemetry:
    return ServoTelemetry(
        temperature=[31.0, 32.0], voltage=[7.4, 7.3], current=[0.1, 0.2], load=[0.5, -0.5], tracking_error=[0.01, 0.02],
        bus_errors=4, bus_retries=2,
    )  # fmt: skip


def test_servos_are_told_in_the_order_of_their_telemetry() -> None:
    numbers = servo_numbers(telemetry())
    assert list(numbers.temperature) == [31.0, 32.0] and list(numbers.load) == [0.5, -0.5]
    assert list(numbers.voltage) == [7.4, 7.3] and list(numbers.current) == [0.1, 0.2]
    assert list(numbers.tracking_error) == [0.01, 0.02]
    assert (numbers.bus_errors, numbers.bus_retries) == (4.0, 2.0)


@pytest.fixture
def node(domain: int) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "so101_viewer.view.numbers_node"], env=dict(os.environ))
    yield
    process.terminate()
    assert process.wait(20) == 0


def test_they_are_published_while_somebody_listens(node: None, domain: int, peer_in: Callable[[int], Any]) -> None:
    peer = peer_in(domain)
    queue: list[QueueNumbers] = []
    servos: list[ServoNumbers] = []
    peer.node.create_subscription(QueueNumbers, "numbers/queue", queue.append, 10)
    peer.node.create_subscription(ServoNumbers, "numbers/servos", servos.append, 10)
    statuses = peer.node.create_publisher(QueueStatus, "action_queue/status", STATUS)
    servers = peer.node.create_publisher(PolicyStatus, "policy_status", LATCHED)
    chunks = peer.node.create_publisher(ActionChunk, "action_chunk", CHUNK_WRITER)
    telemetries = peer.node.create_publisher(ServoTelemetry, "servo_telemetry", TELEMETRY)

    def heard_all() -> bool:
        statuses.publish(status())
        servers.publish(PolicyStatus(inference_p50=0.03))
        chunks.publish(ActionChunk(status=ActionChunk.OK, server_total=0.05))
        chunks.publish(ActionChunk(status=ActionChunk.SUPERSEDED, server_total=0.9))
        telemetries.publish(telemetry())
        return bool(servos) and bool(queue) and queue[-1].server_total == 0.05 and queue[-1].inference_p50 == 0.03

    assert peer.spin_until(heard_all, 60.0), f"heard {queue[-1:]} and {servos[-1:]}"
    assert queue[-1].length == 17.0 and list(servos[-1].current) == [0.1, 0.2]
    assert all(numbers.server_total != 0.9 for numbers in queue)
