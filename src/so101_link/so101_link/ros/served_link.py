# SPDX-License-Identifier: Apache-2.0
"""One robot as link_server has it: its topics for as long as the node runs, its connections as they come and go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from rclpy.node import Node

from so101_link.core import topics as carried
from so101_link.core.hello import Hello, namespace_of_name, refusal
from so101_link.core.outbox import LinkRequestKey, Outbox
from so101_link.core.session import LinkSession, MessageReceived, PeerUp
from so101_link.core.topics import LinkRole, LinkTopic, Urgency
from so101_link.core.traffic import TrafficNumbers
from so101_link.ros.link_topics import LinkTopics
from so101_link.ros.node_calls import NodeCalls
from so101_link.transport.connection import LinkConnection
from so101_link.transport.listener import AcceptedRobot
from so101_link.transport.wake import Wake

MAX_PROBES: Final = 4
SETTLE_NS: Final = 2_000_000_000
OWN_KEYS: Final = "if that is another robot, stop one of the two, or give it keys and a namespace of its own"


class ServedLink:
    """The link of one robot. `serve` runs on the thread of each connection; `topics` belong to the node's.

    Args:
        node: owns the topics.
        calls: of the node.
        name: the robot's in its certificate.
        mine: what the server says first.
        log: one line for the log; the second argument says whether it is a warning.
    """

    def __init__(self, node: Node, calls: NodeCalls, name: str, mine: Hello, log: Callable[[str, bool], None]) -> None:
        self.name, self._mine, self._log, self._calls = name, mine, log, calls
        self.topics: LinkTopics | None = None
        self._lock = threading.Lock()
        self._latched: dict[LinkTopic, tuple[int, bytes]] = {}
        self._outbox: Outbox | None = None
        self._connection: LinkConnection | None = None
        self._probes: list[Outbox] = []
        self.connections = 0
        self._up_ns = 0
        self.detail = "not connected yet"
        self.congestion_control = ""

        def connect() -> None:
            self.topics = LinkTopics(node, namespace_of_name(name), LinkRole.SERVER, calls, self._put)

        calls.add(connect)

    @property
    def is_up(self) -> bool:
        """Whether the robot is connected."""
        return self._connection is not None

    def has_settled(self) -> bool:
        """Whether the robot has been connected for long enough that nodes here have found its topics."""
        return self.is_up and time.monotonic_ns() - self._up_ns > SETTLE_NS

    def rtt_s(self) -> float | None:
        """Return the round trip of the connection that is up, s."""
        connection = self._connection
        rtt_ns = None if connection is None else connection.session.rtt_ns
        return None if rtt_ns is None else rtt_ns / 1e9

    def traffic(self) -> TrafficNumbers:
        """Return what went to the robot in the last 5 s."""
        outbox = self._outbox
        return TrafficNumbers() if outbox is None else outbox.traffic.numbers(time.monotonic_ns())

    def stop(self, reason: str) -> None:
        """Tell the robot that the server leaves."""
        connection = self._connection
        if connection is not None:
            connection.stop(reason)

    def serve(self, accepted: AcceptedRobot) -> None:
        """Serve one connection until it ends."""
        wake = Wake()
        outbox = Outbox(wake.set)
        role = LinkRole.ROBOT

        def check(theirs: Hello) -> str:
            nonlocal role
            role = theirs.role
            if role is LinkRole.PROBE and len(self._probes) >= MAX_PROBES:
                return f"{MAX_PROBES} probes are connected already"
            return accepted.fault or refusal(self._mine, theirs, self.name) or self._place_fault(theirs)

        def heard(event: PeerUp | MessageReceived) -> None:
            if isinstance(event, MessageReceived):
                if self._connection is connection:
                    self._deliver(event)
            elif role is LinkRole.PROBE:
                self._add_probe(outbox)
            else:
                self._take_over(connection, outbox, accepted)

        session = LinkSession(self._mine, check, outbox, time.monotonic_ns())
        connection = LinkConnection(accepted.connection, session, heard, wake)
        end = connection.run()
        self._release(connection, outbox)
        wake.close()
        outbox.close()
        where = f"robot {self.name} at {accepted.address}"
        if role is LinkRole.PROBE:
            self._log(f"probe of {where} has left: {end.failure.text}", False)
        elif not end.was_up:
            self._log(f"refused {where}: {end.failure.text}", True)
        else:
            self._log(f"link to {where} is down: {end.failure.text}", True)

    def _place_fault(self, theirs: Hello) -> str:
        """Two robots with the same keys would replace each other without end: one that was replaced must wait."""
        if not theirs.yields or not self.is_up:
            return ""
        return f"{self.name} is connected {self.detail}; {OWN_KEYS}"

    def _deliver(self, message: MessageReceived) -> None:
        if self.topics is not None:
            self.topics.deliver(message.topic, message.data)
        else:  # the spec of a new robot comes before its topics are made, and comes once
            self._calls.add(lambda: self._deliver(message))

    def _take_over(self, connection: LinkConnection, outbox: Outbox, accepted: AcceptedRobot) -> None:
        with self._lock:
            replaced, self._connection = self._connection, connection
            self._outbox = outbox
            self._fill(outbox)
            self.connections += 1
            self._up_ns = time.monotonic_ns()
            self.congestion_control = accepted.congestion_control
            self.detail = f"from {accepted.address}"
        if replaced is not None:
            text = f"replaced by a new connection of {self.name} from {accepted.address}; {OWN_KEYS}"
            replaced.stop(text, refuses=True)
        self._log(
            f"link to robot {self.name} is up: from {accepted.address}, TLS 1.3, congestion control "
            f"{accepted.congestion_control or 'unknown'}",
            False,
        )

    def _add_probe(self, outbox: Outbox) -> None:
        with self._lock:
            self._probes.append(outbox)
            self._fill(outbox)

    def _fill(self, outbox: Outbox) -> None:
        for topic, (put_ns, data) in self._latched.items():  # of these the server has one only, policy_status
            outbox.put(topic, data, put_ns)
        outbox.open(time.monotonic_ns())

    def _release(self, connection: LinkConnection, outbox: Outbox) -> None:
        with self._lock:
            if outbox in self._probes:
                self._probes.remove(outbox)
            if self._connection is not connection:
                return
            self._connection = self._outbox = None
            self.detail = "not connected"
        if self.topics is not None:
            self.topics.forget()

    def _put(self, topic: LinkTopic, data: bytes, now_ns: int, request: LinkRequestKey | None) -> None:
        with self._lock:
            if topic.urgency is Urgency.LATCHED:
                self._latched[topic] = (now_ns, data)
            outboxes = [*([self._outbox] if self._outbox is not None else []), *self._probes]
            receivers = outboxes if topic is carried.POLICY_STATUS else outboxes[: self._outbox is not None]
        for outbox in receivers:
            outbox.put(topic, data, now_ns, request)
