# SPDX-License-Identifier: Apache-2.0
"""Node `link_robot`: joins the robot's DDS to its policy server by one encrypted connection."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Final

from rclpy.node import Node
from so101_node.diagnostics import Cause
from so101_node.diagnostics.publishing import DiagnosticsPublisher, entry, node_name
from so101_node.log_lines import LogThrottle
from so101_node.parameters import ParameterError
from so101_node.parameters.declaring import declare
from so101_node.process import run_process
from so101_node.process.precedence import take_precedence
from so101_node.threads import FatalSlot, WatchedThread
from so101_node.timing.timers import create_timer

from so101_link import RELEASE
from so101_link.core import causes
from so101_link.core.hello import Hello, name_of_namespace, version_fault
from so101_link.core.outbox import Outbox
from so101_link.core.session import MessageReceived
from so101_link.core.topics import POLICY_SPEC, LinkRole
from so101_link.keys.folder import KeyFolder, cautions
from so101_link.ros.diagnosis import CONNECTED, SAME_DOMAIN, TOO_SLOW, keys_cause, slow_words, traffic_values
from so101_link.ros.link_topics import LinkTopics
from so101_link.ros.node_calls import NodeCalls
from so101_link.ros.parameters import LinkRobotParameters, read_keys
from so101_link.ros.robot_diagnosis import BY_NAME, CONNECTING
from so101_link.ros.type_hashes import type_hashes
from so101_link.transport.connection import ConnectionEnd
from so101_link.transport.dialer import Dialer, DialerEvents, LinkAddress

LOOK_PERIOD_S: Final = 0.5
SAME_LINE_EVERY_S: Final = 30.0
_LEAVE_S: Final = 1.0


class LinkRobotNode(Node):
    """Carries requests, frames and the spec to the server, and its chunks and status back.

    Raises:
        ParameterError: an address or keys are of no use; one line says why.
    """

    def __init__(self) -> None:
        super().__init__("link_robot")
        self._log: Any = self.get_logger()  # type: ignore[no-untyped-call]
        settings = declare(self, LinkRobotParameters)
        take_precedence(self, settings.niceness)
        self._keys = read_keys(settings.link_keys, LinkRole.ROBOT)
        self._folder = settings.link_keys
        name = name_of_namespace(self.get_namespace())
        if self._keys.name != name:
            raise ParameterError(
                f"link_keys = {settings.link_keys!r}: are the keys of robot {self._keys.name}, and this one is {name} "
                f"(namespace {self.get_namespace()}): start it with namespace:={self._keys.name}, or give its own keys"
            )
        for caution in cautions(self._keys):
            self._log.warning(f"{caution.text} -> {caution.remedy}")
        self._address = LinkAddress.parse(settings.server_link)
        self._cause: Cause = CONNECTING
        self._detail = f"to {self._address}"
        self._connections = 0
        self._congestion_control = ""
        self._lines = LogThrottle(SAME_LINE_EVERY_S)
        self._fatal = FatalSlot("the link to the server has ended")
        self._outbox = Outbox()
        self._topics = LinkTopics(self, "", LinkRole.ROBOT, NodeCalls(self), self._outbox.put)
        mine = Hello(LinkRole.ROBOT, name, type_hashes(), release=RELEASE)
        self._dialer = Dialer(
            self._address,
            self._read_keys,
            mine,
            partial(version_fault, mine),
            self._outbox,
            DialerEvents(self._on_up, self._on_received, self._on_down),
        )
        self._diagnostics = DiagnosticsPublisher(self)
        create_timer(self, LOOK_PERIOD_S, self._look)
        self._thread = WatchedThread("link", self._dialer.run, self._fatal)
        self._thread.start()

    def on_exit(self) -> None:
        """Say goodbye to the server."""
        self._dialer.stop("the robot's link has been stopped")
        self._thread.join(_LEAVE_S)

    # -- on the dialer's thread ---------------------------------------------------------------------------------------

    def _read_keys(self) -> KeyFolder:
        self._keys = KeyFolder.read_whatever_its_age(self._folder)
        return self._keys

    def _on_up(self, server: Hello, congestion_control: str) -> None:
        self._connections += 1
        self._congestion_control = congestion_control
        self._cause, self._detail = CONNECTED, f"to {self._address}"
        self._log.info(
            f"link to {self._address} is up: so101_link {server.release}, TLS 1.3, congestion control "
            f"{congestion_control or 'unknown'}"
        )

    def _on_received(self, message: MessageReceived) -> None:
        self._topics.deliver(message.topic, message.data)

    def _on_down(self, end: ConnectionEnd) -> None:
        self._topics.forget()
        self._cause = BY_NAME[end.failure.cause]
        self._detail = f"{self._address}: {end.failure.text}"
        if end.was_up or self._lines.lets_through(time.monotonic_ns(), self._detail):
            self._log.error(f"no link to {self._detail}; {self._cause.remedy}")

    # -- on the node's thread -----------------------------------------------------------------------------------------

    def _look(self) -> None:
        self._fatal.check()
        cause, detail = self._cause, self._detail
        numbers = self._outbox.traffic.numbers(time.monotonic_ns())
        slow = slow_words(numbers)
        keys = keys_cause(self._keys)
        rival = self._topics.look_for_rivals()
        self._topics.forget_stale()
        if not self._topics.has_publisher(POLICY_SPEC):
            self._outbox.forget(POLICY_SPEC)
        if rival:
            cause, detail = SAME_DOMAIN, rival
        elif cause is CONNECTED and slow:
            cause, detail = TOO_SLOW, slow
        elif keys is not None and cause.name in (causes.CONNECTED, causes.CONNECTING):
            cause, detail = keys
        if cause in (SAME_DOMAIN, TOO_SLOW) and self._lines.lets_through(time.monotonic_ns(), cause.name):
            self._log.warning(f"{cause.meaning}: {detail}; {cause.remedy}")
        rtt_s = self._dialer.rtt_s()
        values = {
            "server": self._address,
            "connections": self._connections,
            "rtt_s": "" if rtt_s is None else f"{rtt_s:.4f}",
            "congestion_control": self._congestion_control,
            **traffic_values(numbers),
            "unreadable": self._topics.unreadable,
        }
        self._diagnostics.offer([entry(f"{node_name(self)}: link", cause, detail, values, str(self._address))])


def main() -> None:
    """Entry point of the executable `link_robot`."""
    run_process(LinkRobotNode)


if __name__ == "__main__":
    main()
