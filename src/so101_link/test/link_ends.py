# SPDX-License-Identifier: Apache-2.0
"""Both ends of a link in this process, without ROS: a real port, real TLS, real keys."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from so101_link.core import topics
from so101_link.core.hello import Hello, refusal, version_fault
from so101_link.core.outbox import Outbox
from so101_link.core.session import LinkSession, MessageReceived, PeerUp
from so101_link.core.topics import LinkRole
from so101_link.keys.authority import Authority
from so101_link.keys.folder import KeyFolder
from so101_link.transport.connection import ConnectionEnd, LinkConnection
from so101_link.transport.dialer import Dialer, DialerEvents, LinkAddress
from so101_link.transport.listener import AcceptedRobot, Listener
from so101_link.transport.wake import Wake

TYPES = {"so101_msgs/ActionChunk": "aa"}
DAY_S = 86400.0


def make_keys(folder: Path, *robots: str, days: int = 30, now_s: float | None = None) -> Path:
    """An authority with a server and these robots."""
    now_s = time.time() if now_s is None else now_s
    Authority.create(folder, now_s).make(["server", *robots], days, now_s)
    return folder


def robot_keys(folder: Path, name: str = "arm1") -> KeyFolder:
    return KeyFolder.read_whatever_its_age(folder / "robots" / name)


def eventually(condition: Callable[[], object], timeout_s: float = 10.0) -> bool:
    end_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.01)
    return True


class ServerEnd:
    """Listens; `received` and `lines` are what it heard and logged."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[str] = []
        self.received: list[MessageReceived] = []
        self.outbox = Outbox()
        self.mine = Hello(LinkRole.SERVER, "", TYPES)
        self.listener = Listener(
            0,
            lambda: KeyFolder.read_whatever_its_age(folder / "server"),
            self._accepted,
            self.lines.append,
            "127.0.0.1",
        )
        self._connections: list[LinkConnection] = []
        self._thread = threading.Thread(target=self.listener.run, daemon=True)
        self._thread.start()

    @property
    def address(self) -> LinkAddress:
        return LinkAddress("127.0.0.1", self.listener.port)

    def _accepted(self, accepted: AcceptedRobot) -> None:
        threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: AcceptedRobot) -> None:
        wake = Wake()
        self.outbox.wake = wake.set

        def heard(event: PeerUp | MessageReceived) -> None:
            if isinstance(event, PeerUp):
                self.outbox.open(time.monotonic_ns())
            else:
                self.received.append(event)

        def check(theirs: Hello) -> str:
            return accepted.fault or refusal(self.mine, theirs, accepted.peer.name)

        session = LinkSession(self.mine, check, self.outbox, time.monotonic_ns())
        connection = LinkConnection(accepted.connection, session, heard, wake)
        self._connections.append(connection)
        self.lines.append(connection.run().failure.text)

    def close(self) -> None:
        self.listener.stop()
        for connection in self._connections:
            connection.stop("the test is over")
        self._thread.join(2.0)


class RobotEnd:
    """Connects; `ups` and `ends` are what it was told."""

    def __init__(
        self, address: LinkAddress, keys: Callable[[], KeyFolder], name: str = "arm1", hello: Hello | None = None
    ) -> None:
        self.ups: list[tuple[float, str]] = []
        self.ends: list[ConnectionEnd] = []
        self.received: list[MessageReceived] = []
        self.outbox = Outbox()
        mine = hello or Hello(LinkRole.ROBOT, name, TYPES)
        events = DialerEvents(
            lambda _hello, control: self.ups.append((time.monotonic(), control)), self.received.append, self.ends.append
        )
        self.dialer = Dialer(address, keys, mine, partial(version_fault, mine), self.outbox, events)
        self._thread = threading.Thread(target=self.dialer.run, daemon=True)
        self._thread.start()

    def request(self, data: bytes) -> None:
        self.outbox.put(topics.OBSERVATION_REQUEST, data, time.monotonic_ns())

    def close(self) -> None:
        self.dialer.stop("the test is over")
        self._thread.join(3.0)
