# SPDX-License-Identifier: Apache-2.0
"""Node `link_server`: one port, to which robots connect; each is heard and spoken to in its own namespace only."""

from __future__ import annotations

import threading
import time
from typing import Any, Final

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from so101_node.diagnostics import Cause
from so101_node.diagnostics.publishing import DiagnosticsPublisher, entry, node_name
from so101_node.log_lines import LogThrottle
from so101_node.parameters import ParameterError
from so101_node.parameters.declaring import declare
from so101_node.process import NodeError, run_process
from so101_node.process.precedence import take_precedence
from so101_node.threads import FatalSlot, WatchedThread
from so101_node.timing.timers import create_timer

from so101_link import RELEASE
from so101_link.core.hello import Hello
from so101_link.core.topics import LinkRole
from so101_link.errors import KeysError, ListenError
from so101_link.keys.folder import KeyFolder, cautions
from so101_link.ros.diagnosis import CONNECTED, SAME_DOMAIN, TOO_SLOW, keys_cause, slow_words, traffic_values
from so101_link.ros.node_calls import NodeCalls
from so101_link.ros.parameters import LinkServerParameters, read_keys
from so101_link.ros.served_link import ServedLink
from so101_link.ros.server_diagnosis import LISTENING, NO_POLICY_SERVER, ROBOT_GONE
from so101_link.ros.type_hashes import type_hashes
from so101_link.transport.connection import turn_away
from so101_link.transport.listener import AcceptedRobot, Listener

LOOK_PERIOD_S: Final = 0.5
SAME_LINE_EVERY_S: Final = 30.0
MAX_CONNECTIONS: Final = 64
MAX_OF_ONE_ROBOT: Final = 12
"""Its own, those that it has replaced, probes: whoever has stolen its keys keeps no other robot out."""
STOLEN: Final = "if not all are yours, make new keys: ./so101 link revoke DIR NAME, then keys DIR --renew NAME"
_LEAVE_S: Final = 1.0


class LinkServerNode(Node):
    """Listens, and serves each robot whose certificate the authority of its keys has signed.

    Raises:
        ParameterError: the keys are of no use.
        NodeError: the port cannot be had.
    """

    def __init__(self) -> None:
        super().__init__("link_server")
        self._log: Any = self.get_logger()  # type: ignore[no-untyped-call]
        settings = declare(self, LinkServerParameters)
        take_precedence(self, settings.niceness)
        self._folder = settings.link_keys
        self._keys = read_keys(self._folder, LinkRole.SERVER)
        self._mine = Hello(LinkRole.SERVER, "", type_hashes(), release=RELEASE)
        self._calls = NodeCalls(self)
        self._links: dict[str, ServedLink] = {}
        self._threads: set[threading.Thread] = set()
        self._lines = LogThrottle(SAME_LINE_EVERY_S)
        self._fatal = FatalSlot("no robot can connect any more")
        try:
            self._listener = Listener(
                settings.link_port, self._read_keys, self._on_accepted, self._log.warning, settings.link_address
            )
        except KeysError as error:
            raise ParameterError(f"link_keys = {self._folder!r}: {error}") from error
        except ListenError as error:
            raise NodeError(str(error)) from error
        self._diagnostics = DiagnosticsPublisher(self)
        create_timer(self, LOOK_PERIOD_S, self._look)
        self._thread = WatchedThread("listener", self._listener.run, self._fatal)
        self._thread.start()
        for caution in cautions(self._keys):
            self._log.warning(f"{caution.text} -> {caution.remedy}")
        self._log.info(f"link_server listens on port {self._listener.port}")

    def on_exit(self) -> None:
        """Say goodbye to the robots."""
        self._listener.stop()
        for link in tuple(self._links.values()):
            link.stop("the server's link has been stopped")
        end_s = time.monotonic() + _LEAVE_S
        for thread in tuple(self._threads):
            thread.join(max(0.0, end_s - time.monotonic()))
        self._thread.join(max(0.0, end_s - time.monotonic()))

    # -- on the listener's thread -------------------------------------------------------------------------------------

    def _read_keys(self) -> KeyFolder:
        self._keys = KeyFolder.read_whatever_its_age(self._folder)
        return self._keys

    def _on_accepted(self, accepted: AcceptedRobot) -> None:
        self._threads = {thread for thread in self._threads if thread.is_alive()}
        title = f"link {accepted.peer.name}"
        of_this_robot = sum(thread.name == title for thread in self._threads)
        if of_this_robot >= MAX_OF_ONE_ROBOT or len(self._threads) >= MAX_CONNECTIONS:
            reason = f"{MAX_CONNECTIONS} connections are open, and no more are taken"
            if of_this_robot >= MAX_OF_ONE_ROBOT:
                reason = f"{MAX_OF_ONE_ROBOT} connections are open with the keys of {accepted.peer.name}; {STOLEN}"
            turn_away(accepted.connection, reason)
            self._say(f"refused robot {accepted.peer.name} at {accepted.address}: {reason}", True)
            return
        link = self._links.get(accepted.peer.name)
        if link is None:
            link = ServedLink(self, self._calls, accepted.peer.name, self._mine, self._say)
            self._links[accepted.peer.name] = link
        thread = threading.Thread(target=self._serve, args=(link, accepted), name=title, daemon=True)
        self._threads.add(thread)
        thread.start()

    def _serve(self, link: ServedLink, accepted: AcceptedRobot) -> None:
        try:
            link.serve(accepted)
        except Exception as error:  # noqa: BLE001 - the node ends with a line instead of losing one robot in silence
            text = " ".join(f"{type(error).__name__}: {error}".split())
            self._fatal.put(f"internal error in the link to {link.name}: {text}", error)

    def _say(self, line: str, is_warning: bool) -> None:
        if not is_warning:
            self._log.info(line)
        elif self._lines.lets_through(time.monotonic_ns(), line):
            self._log.warning(line)

    # -- on the node's thread -----------------------------------------------------------------------------------------

    def _look(self) -> None:
        self._fatal.check()
        name = node_name(self)
        keys = keys_cause(self._keys)
        cause, detail = keys if keys is not None else (LISTENING, "")
        values = {"port": self._listener.port, "robots": len(self._links), "strangers": self._listener.strangers.count}
        entries = [entry(f"{name}: port", cause, detail, values)]
        entries += [self._entry_of(f"{name}: robot {link.name}", link) for link in tuple(self._links.values())]
        self._diagnostics.offer(entries)

    def _entry_of(self, name: str, link: ServedLink) -> DiagnosticStatus:
        numbers = link.traffic()
        cause, detail = self._state_of(link, slow_words(numbers))
        if cause in (SAME_DOMAIN, NO_POLICY_SERVER, TOO_SLOW) and self._lines.lets_through(
            time.monotonic_ns(), f"{link.name} {cause.name}"
        ):
            self._log.warning(f"robot {link.name}: {cause.meaning}: {detail}; {cause.remedy}")
        rtt_s = link.rtt_s()
        values = {
            "connections": link.connections,
            "rtt_s": "" if rtt_s is None else f"{rtt_s:.4f}",
            "congestion_control": link.congestion_control,
            **traffic_values(numbers),
            "unreadable": 0 if link.topics is None else link.topics.unreadable,
        }
        return entry(name, cause, detail, values, link.name)

    def _state_of(self, link: ServedLink, slow: str) -> tuple[Cause, str]:
        rival = "" if link.topics is None else link.topics.look_for_rivals()
        if rival:
            return SAME_DOMAIN, rival
        if not link.is_up:
            return ROBOT_GONE, link.detail
        if link.has_settled() and link.topics is not None and not link.topics.listeners():
            return NO_POLICY_SERVER, f"nothing hears observation_request of {link.name}"
        return (TOO_SLOW, slow) if slow else (CONNECTED, link.detail)


def main() -> None:
    """Entry point of the executable `link_server`."""
    run_process(LinkServerNode)


if __name__ == "__main__":
    main()
