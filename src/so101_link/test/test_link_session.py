# SPDX-License-Identifier: Apache-2.0
"""The conversation of two ends, without sockets: greeting, refusal, order, pings and death."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_link.core import framing, topics
from so101_link.core.framing import FrameKind, FrameReader, MessageAssembler
from so101_link.core.hello import Hello, name_of_namespace, namespace_of_name, refusal, version_fault
from so101_link.core.outbox import LinkRequestKey, Outbox
from so101_link.core.redial import Redial
from so101_link.core.session import FILL_BYTES, LinkSession, MessageReceived, PeerUp, SessionEnded, SessionEvent
from so101_link.core.strangers import Strangers
from so101_link.core.topics import LinkRole, frames_of
from so101_link.errors import LinkProtocolError

S = 1_000_000_000
TYPES = {"so101_msgs/ActionChunk": "aa", "so101_msgs/PolicySpec": "bb"}
ROBOT = Hello(LinkRole.ROBOT, "arm1", TYPES, release="0.1.0")
SERVER = Hello(LinkRole.SERVER, "", TYPES, release="0.1.0")


class Ends:
    """A robot and a server, whose bytes are handed over by the test; `now_ns` is the test's clock."""

    def __init__(self, robot: Hello = ROBOT, server: Hello = SERVER, certificate: str = "arm1") -> None:
        self.now_ns = 0
        self.robot_box, self.server_box = Outbox(), Outbox()
        check: Callable[[Hello], str] = lambda theirs: refusal(server, theirs, certificate)  # noqa: E731
        self.robot = LinkSession(robot, partial(version_fault, robot), self.robot_box, 0)
        self.server = LinkSession(server, check, self.server_box, 0)
        self.robot_events: list[SessionEvent] = []
        self.server_events: list[SessionEvent] = []

    def exchange(self) -> None:
        moved = True
        while moved:
            moved = False
            for sender, receiver, events, box in (
                (self.server, self.robot, self.robot_events, self.robot_box),
                (self.robot, self.server, self.server_events, self.server_box),
            ):
                while (sent := sender.next_bytes(self.now_ns)) is not None:
                    moved = True
                    for event in receiver.receive(sent, self.now_ns):
                        events.append(event)
                        if isinstance(event, PeerUp):
                            box.open(0)


def frames_in(data: bytes) -> list[tuple[FrameKind, str]]:
    return [
        (frame.kind, frame.body[1 : 1 + frame.body[0]].decode() if frame.kind >= FrameKind.PART else "")
        for frame in FrameReader().feed(data)
    ]


def test_both_ends_are_up_once_each_accepts_the_other() -> None:
    ends = Ends()
    ends.exchange()
    assert ends.robot_events == [PeerUp(SERVER)] and ends.server_events == [PeerUp(ROBOT)]


def test_a_robot_is_not_up_before_the_server_has_welcomed_it() -> None:
    """A TLS 1.3 client's handshake ends before the server has looked at its certificate."""
    ends = Ends()
    greeting = ends.server.next_bytes(0)
    assert greeting is not None
    assert ends.robot.receive(greeting, 0) == [] and not ends.robot.is_up


@pytest.mark.parametrize(
    ("robot", "certificate", "words"),
    [
        (ROBOT, "arm2", "its certificate is that of 'arm2'"),
        (Hello(LinkRole.ROBOT, "arm1", TYPES, protocol=2), "arm1", "protocol 1 and 2"),
        (Hello(LinkRole.ROBOT, "arm1", {**TYPES, "so101_msgs/PolicySpec": "cc"}), "arm1", "so101_msgs/PolicySpec"),
        (Hello(LinkRole.SERVER, "arm1", TYPES), "arm1", "a server has connected to a server"),
    ],
    ids=["another robot's name", "another protocol", "another message", "another server"],
)
def test_what_is_refused_is_told_on_both_sides(robot: Hello, certificate: str, words: str) -> None:
    server = LinkSession(SERVER, lambda theirs: refusal(SERVER, theirs, certificate), Outbox(), 0)
    (told,) = server.receive(framing.encode(FrameKind.HELLO, robot.encode()), 0)
    assert isinstance(told, SessionEnded) and told.refused and words in told.reason
    sent = [server.next_bytes(0), server.next_bytes(0)]
    refused = next(
        frame for data in sent if data for frame in FrameReader().feed(data) if frame.kind is FrameKind.REFUSED
    )
    client = LinkSession(ROBOT, lambda _: "", Outbox(), 0)
    (heard,) = client.receive(framing.encode(FrameKind.REFUSED, refused.body), 0)
    assert isinstance(heard, SessionEnded) and heard.refused and words in heard.reason and "\n" not in heard.reason


def test_a_robot_refuses_a_server_of_another_version_and_says_it_to_both() -> None:
    ends = Ends(server=Hello(LinkRole.SERVER, "", TYPES, protocol=3))
    ends.exchange()
    (mine,), (theirs,) = ends.robot_events, ends.server_events
    assert isinstance(mine, SessionEnded) and isinstance(theirs, SessionEnded)
    assert mine.refused and theirs.refused and "protocol 1 and 3" in mine.reason and "protocol 1 and 3" in theirs.reason


def test_a_message_goes_over_in_parts_and_arrives_whole() -> None:
    ends = Ends()
    ends.exchange()
    data = bytes(range(256)) * 300
    ends.robot_box.put(topics.POLICY_SPEC, data, 0)
    ends.exchange()
    assert ends.server_events[-1] == MessageReceived(topics.POLICY_SPEC, data)


def test_a_request_overtakes_a_frame_that_is_half_sent() -> None:
    ends = Ends()
    ends.exchange()
    front = frames_of("front")
    assert front is not None
    ends.robot_box.put(front, bytes(50_000), 0, LinkRequestKey(1, 1))
    order = [frames_in(ends.robot.next_bytes(0) or b"")]
    ends.robot_box.put(topics.POLICY_SPEC, b"spec", 0)
    ends.robot_box.put(topics.OBSERVATION_REQUEST, b"request", 0)
    order += [frames_in(ends.robot.next_bytes(0) or b"") for _ in range(3)]
    assert [names[0][1] for names in order] == [
        "front/observation", "observation_request", "policy_spec", "front/observation",
    ]  # fmt: skip


def sent_by(session: LinkSession, now_ns: int) -> list[FrameKind]:
    return [frames_in(data)[0][0] for data in iter(lambda: session.next_bytes(now_ns) or b"", b"")]


@pytest.mark.parametrize("role", [LinkRole.ROBOT, LinkRole.PROBE])
def test_each_end_fills_the_path_once_behind_all_else_but_not_before_a_probe(role: LinkRole) -> None:
    outbox = Outbox()
    server = LinkSession(SERVER, lambda _: "", outbox, 0)
    server.receive(framing.encode(FrameKind.HELLO, Hello(role, "arm1", TYPES).encode()), 0)
    greeting = [frames_in(server.next_bytes(0) or b"")[0][0] for _ in range(2)]
    assert greeting == [FrameKind.HELLO, FrameKind.WELCOME]
    if role is LinkRole.PROBE:
        assert sent_by(server, 0) == []
        return
    assert frames_in(server.next_bytes(0) or b"")[0][0] is FrameKind.FILL
    outbox.open(0)
    outbox.put(topics.ACTION_CHUNK, b"chunk", 0)
    sent = sent_by(server, 1)
    assert sent[0] is FrameKind.LAST_PART and set(sent[1:]) == {FrameKind.FILL}
    assert (len(sent) + 1) * framing.PART_BYTES == pytest.approx(FILL_BYTES, abs=2 * framing.PART_BYTES)
    assert sent_by(server, 2) == []


def test_a_slow_path_is_filled_for_no_longer_than_a_second() -> None:
    ends = Ends()
    ends.robot.receive(ends.server.next_bytes(0) or b"", 0)
    ends.robot.receive(framing.encode(FrameKind.WELCOME), 0)
    assert frames_in(ends.robot.next_bytes(0) or b"")[0][0] is FrameKind.HELLO
    assert frames_in(ends.robot.next_bytes(S - 1) or b"")[0][0] is FrameKind.PING
    assert frames_in(ends.robot.next_bytes(S - 1) or b"")[0][0] is FrameKind.FILL
    assert ends.robot.next_bytes(S) is None


def test_nothing_but_the_greeting_is_sent_before_the_other_end_is_up() -> None:
    outbox = Outbox()
    outbox.open(0)
    outbox.put(topics.ACTION_CHUNK, b"chunk", 0)
    server = LinkSession(SERVER, lambda _: "", outbox, 0)
    assert [frames_in(data)[0][0] for data in iter(lambda: server.next_bytes(0) or b"", b"")] == [FrameKind.HELLO]


@pytest.mark.parametrize("topic", ["joint_command", "action_chunk", "../arm2/policy_spec", "front/image_raw"])
def test_a_topic_that_this_end_may_not_send_ends_the_connection(topic: str) -> None:
    ends = Ends()
    ends.exchange()
    with pytest.raises(LinkProtocolError, match="robot has none to send"):
        ends.server.receive(framing.encode_part(topic, b"x", last=True), 0)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        framing.encode(FrameKind.WELCOME),
        framing.encode(FrameKind.HELLO, b"{}"),
        framing.encode(FrameKind.HELLO, b"[" * 5000),
        framing.encode_part("policy_spec", b"x", last=True),
        framing.encode(FrameKind.PONG, b"x"),
    ],
    ids=["http", "welcome", "empty hello", "deep hello", "message too early", "short pong"],
)
def test_what_is_no_link_is_said_to_be_none(data: bytes) -> None:
    server = LinkSession(SERVER, lambda _: "", Outbox(), 0)
    with pytest.raises(LinkProtocolError):
        server.receive(data, 0)


def test_the_other_end_is_dead_after_2_5_s_of_silence_and_no_sooner() -> None:
    ends = Ends()
    ends.exchange()
    assert ends.robot.fault(round(2.4 * S)) == ""
    assert "nothing heard for 2.6 s" in ends.robot.fault(round(2.6 * S))


def test_a_long_round_trip_makes_it_wait_longer() -> None:
    ends = Ends()
    ends.exchange()
    sent = framing.encode_time(FrameKind.PONG, 0)
    ends.robot.receive(sent, S)
    assert ends.robot.rtt_ns == S
    assert ends.robot.fault(round(1 * S + 3.9 * S)) == "" and ends.robot.fault(round(1 * S + 4.1 * S)) != ""


def test_pings_keep_an_idle_link_alive_and_tell_the_round_trip() -> None:
    ends = Ends()
    ends.exchange()
    for step in range(1, 100):
        ends.now_ns = step * S // 10
        ends.exchange()
        assert ends.robot.fault(ends.now_ns) == ends.server.fault(ends.now_ns) == ""
    assert ends.robot.rtt_ns == 0 and ends.server.rtt_ns == 0


def test_who_never_says_who_it_is_is_given_up() -> None:
    session = LinkSession(SERVER, lambda _: "", Outbox(), 0)
    session.receive(framing.encode_time(FrameKind.PING, 0), 2 * S)
    assert session.fault(round(2.9 * S)) == "" and "has not said who it is" in session.fault(round(3.1 * S))


def test_a_farewell_is_heard() -> None:
    ends = Ends()
    ends.exchange()
    ends.server.leave("the server's link has been stopped")
    ends.exchange()
    assert ends.robot_events[-1] == SessionEnded("the other end has left: the server's link has been stopped")


@given(st.lists(st.binary(max_size=30_000), max_size=6), st.integers(1, 4000))
def test_frames_and_messages_survive_any_cutting_of_the_bytes(messages: list[bytes], step: int) -> None:
    sent = b""
    for number, data in enumerate(messages):
        for at in range(0, max(1, len(data)), framing.PART_BYTES):
            end = at + framing.PART_BYTES
            sent += framing.encode_part(f"camera{number}/observation", data[at:end], last=end >= len(data))
    reader, assembler = FrameReader(), MessageAssembler()
    found = []
    for at in range(0, len(sent), step):
        for frame in reader.feed(sent[at : at + step]):
            whole = assembler.add(frame)
            if whole is not None:
                found.append(whole[1])
    assert found == messages


@given(st.binary(max_size=4000))
def test_garbage_never_raises_anything_else(data: bytes) -> None:
    session = LinkSession(SERVER, lambda _: "", Outbox(), 0)
    try:
        session.receive(data, 0)
    except LinkProtocolError as error:
        assert "\n" not in str(error)


def test_names_and_namespaces_belong_together() -> None:
    assert (name_of_namespace("/"), name_of_namespace("/arm1")) == ("root", "arm1")
    assert (namespace_of_name("root"), namespace_of_name("arm1")) == ("/", "/arm1/")


def test_the_wait_grows_where_one_is_refused_and_stays_short_where_the_other_is_gone() -> None:
    redial = Redial()
    assert [redial.after_failure(refused=False) for _ in range(5)] == [0.3] * 5
    waits = [redial.after_failure(refused=True) for _ in range(8)]
    assert waits[0] == 0.3 and waits == sorted(waits) and waits[-1] == 2.0
    assert redial.after_success() == 0.3 and redial.after_failure(refused=True) == 0.3


def test_a_thousand_strangers_are_a_few_lines() -> None:
    strangers = Strangers()
    lines = []
    for number in range(1000):
        strangers.add(f"10.0.0.{number % 50}", "it speaks no TLS")
        lines.append(strangers.line(number * S // 1000))
    lines.append(strangers.line(6 * S))
    told = [line for line in lines if line]
    assert len(told) == 2 and "999 times" in told[1] and strangers.count == 1000 and not strangers.is_waiting
