# SPDX-License-Identifier: Apache-2.0
"""What an end with keys can do to the other's memory and log, and how one that was up is turned away."""

from __future__ import annotations

import pytest
from so101_link.core import framing
from so101_link.core.framing import FrameKind
from so101_link.core.hello import Hello
from so101_link.core.outbox import Outbox
from so101_link.core.session import LinkSession, PeerUp, SessionEnded
from so101_link.core.topics import LinkRole
from so101_link.errors import LinkProtocolError

TYPES = {"so101_msgs/ActionChunk": "aa"}


def up(role: LinkRole) -> LinkSession:
    """A session of this end with which the other, a probe that fills nothing, has come up."""
    session = LinkSession(Hello(role, "arm1", TYPES), lambda _: "", Outbox(), 0)
    other = Hello(LinkRole.PROBE if role is LinkRole.SERVER else LinkRole.SERVER, "arm1", TYPES)
    events = session.receive(framing.encode(FrameKind.HELLO, other.encode()), 0)
    if role is not LinkRole.SERVER:
        events = session.receive(framing.encode(FrameKind.WELCOME), 0)
    assert events == [PeerUp(other)]
    while data := session.next_bytes(0):
        assert data[4] in (FrameKind.HELLO, FrameKind.WELCOME, FrameKind.FILL)
    return session


def test_pings_of_an_end_that_reads_nothing_do_not_pile_up() -> None:
    server = up(LinkRole.SERVER)
    for number in range(1000):
        server.receive(framing.encode_time(FrameKind.PING, number), 0)
    assert [server.next_bytes(0), server.next_bytes(0)] == [framing.encode_time(FrameKind.PONG, 999), None]


def test_messages_that_never_end_are_refused() -> None:
    server = up(LinkRole.SERVER)
    with pytest.raises(LinkProtocolError, match="more than 3 topics at once"):
        for number in range(4):
            server.receive(framing.encode_part(f"c{number}/observation", b"x", last=False), 0)


def test_an_end_that_was_up_is_turned_away_in_one_line_without_control_characters() -> None:
    server, robot = up(LinkRole.SERVER), up(LinkRole.ROBOT)
    server.dismiss("replaced \x1b[31mby\nanother")
    told = server.next_bytes(0)
    assert told is not None and server.is_over
    assert robot.receive(told, 0) == [SessionEnded("refused by the other end: replaced ?[31mby another", refused=True)]


def test_the_release_of_the_other_end_is_shown_without_control_characters() -> None:
    assert Hello.decode(Hello(LinkRole.ROBOT, "arm1", TYPES, release="1\n\x1b[2J").encode()).release == "1 ?[2J"
    assert Hello.decode(Hello(LinkRole.ROBOT, "arm1", TYPES, yields=True).encode()).yields
    assert not Hello.decode(b'{"role": "robot", "robot": "arm1", "types": {}, "protocol": 1, "yields": 1}').yields
