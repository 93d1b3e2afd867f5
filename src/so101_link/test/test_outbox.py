# SPDX-License-Identifier: Apache-2.0
"""What waits for the link: copies, order, the newest observation, and what an end that comes back is sent."""

from so101_link.core import topics
from so101_link.core.outbox import LinkRequestKey, Outbox, OutgoingMessage
from so101_link.core.topics import LinkTopic, Urgency, frames_of

MS = 1_000_000


def front() -> LinkTopic:
    topic = frames_of("front")
    assert topic is not None
    return topic


def opened() -> Outbox:
    outbox = Outbox()
    outbox.open(0)
    return outbox


def put_frames(outbox: Outbox, request_id: int, count: int = 3, session: int = 1) -> None:
    for number in range(count):
        outbox.put(front(), f"{session} {request_id} {number}".encode(), 0, LinkRequestKey(session, request_id))


def taken(outbox: Outbox, urgency: Urgency) -> list[bytes]:
    found = []
    while (message := outbox.take(urgency)) is not None:
        found.append(message.data)
    return found


def test_the_copy_of_a_request_is_sent_once() -> None:
    outbox = opened()
    for data, at_ms in ((b"one", 0), (b"two", 3), (b"one", 10), (b"two", 13), (b"three", 14)):
        outbox.put(topics.OBSERVATION_REQUEST, data, at_ms * MS)
    assert taken(outbox, Urgency.NOW) == [b"one", b"two", b"three"]


def test_what_is_said_again_later_is_no_copy() -> None:
    outbox = opened()
    outbox.put(topics.ACTION_CHUNK, b"one", 0)
    outbox.put(topics.ACTION_CHUNK, b"one", 101 * MS)
    assert len(taken(outbox, Urgency.NOW)) == 2


def test_of_a_latched_topic_only_the_newest_waits() -> None:
    outbox = opened()
    outbox.put(topics.POLICY_STATUS, b"old", 0)
    outbox.put(topics.POLICY_STATUS, b"new", 0)
    assert taken(outbox, Urgency.LATCHED) == [b"new"]


def test_frames_of_a_newer_request_replace_those_that_wait() -> None:
    outbox = opened()
    put_frames(outbox, 1)
    put_frames(outbox, 2)
    assert taken(outbox, Urgency.FRAME) == [b"1 2 0", b"1 2 1", b"1 2 2"]
    assert outbox.traffic.numbers(0).frames_dropped == 3


def test_an_observation_on_its_way_arrives_whole_and_the_newest_follows() -> None:
    """Else an observation that gives way to each newer one would never arrive where the link is slow."""
    outbox = opened()
    put_frames(outbox, 1)
    first = outbox.take(Urgency.FRAME)
    assert first == OutgoingMessage(front(), b"1 1 0")
    put_frames(outbox, 2)
    put_frames(outbox, 3)
    assert taken(outbox, Urgency.FRAME) == [b"1 1 1", b"1 1 2", b"1 3 0", b"1 3 1", b"1 3 2"]
    assert outbox.traffic.numbers(0).frames_dropped == 3


def test_a_late_frame_of_an_older_request_is_dropped() -> None:
    outbox = opened()
    put_frames(outbox, 2, 1)
    put_frames(outbox, 1, 1)
    assert taken(outbox, Urgency.FRAME) == [b"1 2 0"]


def test_frames_of_a_new_session_count_as_newer_though_its_numbers_begin_again() -> None:
    outbox = opened()
    put_frames(outbox, 90, 1)
    put_frames(outbox, 1, 1, session=2)
    assert taken(outbox, Urgency.FRAME) == [b"2 1 0"]


def test_an_end_that_comes_back_is_sent_the_latched_values_and_nothing_old() -> None:
    outbox = opened()
    outbox.put(topics.POLICY_SPEC, b"spec", 0)
    taken(outbox, Urgency.LATCHED)
    outbox.put(topics.OBSERVATION_REQUEST, b"request", 0)
    put_frames(outbox, 1)
    outbox.close()
    outbox.put(topics.OBSERVATION_REQUEST, b"while it was gone", 0)
    outbox.open(0)
    assert [taken(outbox, urgency) for urgency in Urgency] == [[], [b"spec"], []]


def test_memory_stays_bounded_while_nobody_takes_anything() -> None:
    outbox = opened()
    for number in range(2000):
        outbox.put(topics.OBSERVATION_REQUEST, str(number).encode(), number * 200 * MS)
        put_frames(outbox, number)
    put_frames(outbox, 5000, 2000)
    assert len(taken(outbox, Urgency.NOW)) == 4
    assert len(taken(outbox, Urgency.FRAME)) == 512


def test_the_thread_of_the_connection_is_woken_only_for_what_it_can_send() -> None:
    woken: list[int] = []
    outbox = Outbox(lambda: woken.append(1))
    outbox.put(topics.OBSERVATION_REQUEST, b"nobody there", 0)
    assert not woken
    outbox.open(0)
    outbox.put(topics.OBSERVATION_REQUEST, b"one", 0)
    assert len(woken) == 2


def test_only_these_topics_cross_and_each_one_way() -> None:
    robot, server = topics.LinkRole.ROBOT, topics.LinkRole.SERVER
    assert topics.topic_of("front/observation", robot) == front()
    assert topics.topic_of("action_chunk", server) is topics.ACTION_CHUNK
    for name, sender in (
        ("action_chunk", robot), ("front/observation", server), ("joint_command", robot), ("joint_command", server),
        ("../arm2/front/observation", robot), ("/observation", robot), ("a/b/observation", robot), ("", robot),
        ("policy_status", topics.LinkRole.PROBE),
    ):  # fmt: skip
        assert topics.topic_of(name, sender) is None, (name, sender)


def test_a_heartbeat_that_has_ended_greets_nobody() -> None:
    outbox = Outbox()
    outbox.put(topics.POLICY_STATUS, b"of a server that is gone", 0)
    outbox.put(topics.POLICY_SPEC, b"spec", 0)
    outbox.open(2000 * MS)
    assert taken(outbox, Urgency.LATCHED) == [b"spec"]
    outbox.put(topics.POLICY_STATUS, b"alive", 2000 * MS)
    outbox.open(2100 * MS)
    assert taken(outbox, Urgency.LATCHED) == [b"alive", b"spec"]


def test_a_spec_whose_publisher_is_gone_greets_nobody() -> None:
    outbox = Outbox()
    outbox.put(topics.POLICY_SPEC, b"spec", 0)
    outbox.forget(topics.POLICY_SPEC)
    outbox.open(0)
    assert taken(outbox, Urgency.LATCHED) == []
