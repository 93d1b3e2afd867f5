# SPDX-License-Identifier: Apache-2.0
"""Both nodes of the link, two DDS domains and real TLS between them: what crosses, and what does not."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from link_ends import RobotEnd, eventually, make_keys
from link_rig import Rig, ServerSide, free_port, link_rig
from so101_link.core import causes, topics
from so101_link.core.hello import Hello
from so101_link.core.outbox import LinkRequestKey
from so101_link.core.topics import LinkRole, frames_of
from so101_link.keys.authority import Authority
from so101_link.keys.folder import KeyFolder
from so101_link.ros.link_server_node import MAX_OF_ONE_ROBOT
from so101_link.ros.type_hashes import type_hashes
from so101_link.transport.dialer import LinkAddress, open_tls
from so101_link.transport.probe import probe

from so101_link import RELEASE


@pytest.fixture
def rig(tmp_path: Path, lease_domain: Callable[[], AbstractContextManager[int]]) -> Iterator[Rig]:
    with link_rig(tmp_path, lease_domain, "arm1", "arm2") as made:
        yield made


def test_an_observation_goes_up_and_its_chunk_comes_back(rig: Rig) -> None:
    robot, server = rig.both_sides()
    rig.server().wait_for("listens on port")
    rig.robot().wait_for("is up")
    replied = robot.ask_until_replied(1, timeout_s=10.0)
    for request_id in range(replied + 1, replied + 6):
        robot.ask(request_id)
        assert eventually(lambda wanted=request_id: robot.came(wanted)), request_id
    assert robot.statuses and server.specs[-1].task == "a task"
    frame = server.frames[-1]
    assert frame.image.format == "jpeg" and len(frame.image.data) == robot.size
    last = replied + 5
    assert sum(request.request_id == last for request in server.requests) == 1, "the copy of a request has crossed"
    time.sleep(0.1)
    assert sum(chunk.request_id == last for _, chunk in robot.chunks) == 1, "the copy of a chunk has crossed"


def test_two_robots_on_one_listener_are_heard_in_their_own_namespaces_only(rig: Rig) -> None:
    first, first_server = rig.both_sides()
    second, second_server = rig.both_sides("/arm2", size=30_000)
    rig.server().wait_for("listens on port")
    for end in (rig.robot(), rig.robot("arm2")):
        end.wait_for("is up")
    first.ask_until_replied(1, timeout_s=10.0)
    second.ask_until_replied(100, timeout_s=10.0)
    assert all(request.request_id < 100 for request in first_server.requests)
    assert all(request.request_id >= 100 for request in second_server.requests)
    assert {len(frame.image.data) for frame in second_server.frames} == {30_000}


def test_a_new_connection_of_the_same_robot_replaces_the_old_which_waits_until_the_place_is_free(rig: Rig) -> None:
    rig.server().wait_for("listens on port")
    first = rig.robot()
    first.wait_for("is up")
    second = rig.robot()
    second.wait_for("is up")
    first.wait_for("replaced by a new connection of arm1")
    first.wait_for("arm1 is connected from 127.0.0.1; if that is another robot")
    time.sleep(2.0)
    assert sum("is up" in line for line in second.lines) == 1 and "no link" not in second.log(), second.log()
    assert sum("no link" in line for line in first.lines) == 2, first.log()
    seen = len(first.lines)
    second.end()
    first.wait_for("is up", after=seen)


def test_a_probe_sees_each_step_and_the_robot_stays_connected(rig: Rig) -> None:
    robot, _ = rig.both_sides()
    server_end = rig.server()
    server_end.wait_for("listens on port")
    robot_end = rig.robot()
    robot_end.wait_for("is up")
    robot.ask_until_replied(1, timeout_s=10.0)
    keys = KeyFolder.read(rig.keys / "robots" / "arm1")
    report = probe("127.0.0.1", rig.port, keys, types=type_hashes())
    assert report.is_ok and [step.name for step in report.steps] == ["resolve", "tcp", "tls", "hello"], report
    assert report.policy_status_heard and report.protocol == 1 and report.server_release == RELEASE
    assert (
        report.rtt_s is not None and report.rtt_s < 0.1 and report.upload_mbit is not None and report.upload_mbit > 10
    )
    assert report.mss and report.congestion_control
    robot.ask_until_replied(1000, timeout_s=5.0)
    assert "no link" not in robot_end.log() and "replaced" not in server_end.log()
    other = probe("127.0.0.1", rig.port, keys, types={**type_hashes(), "so101_msgs/ActionChunk": "0"})
    assert not other.is_ok and "so101_msgs/ActionChunk differs" in other.steps[-1].text
    nobody = probe("127.0.0.1", free_port(), keys)
    assert [step.ok for step in nobody.steps] == [True, False] and "nothing listens there" in nobody.steps[-1].text


def test_a_probe_says_which_keys_are_refused_and_why(rig: Rig, tmp_path: Path) -> None:
    rig.server().wait_for("listens on port")
    other = KeyFolder.read(make_keys(tmp_path / "other", "arm1") / "robots" / "arm1")
    report = probe("127.0.0.1", rig.port, other)
    assert report.steps[-1].name == "tls" and "another authority" in report.steps[-1].text
    hostile = probe("127.0.0.1", rig.port, replace(other, ca=rig.keys / "server" / "ca.pem"))
    assert hostile.steps[-1].name == "tls" and "refuses this end's certificate" in hostile.steps[-1].text
    Authority.open(rig.keys).revoke("arm2", time.time())
    revoked = probe("127.0.0.1", rig.port, KeyFolder.read(rig.keys / "robots" / "arm2"))
    assert revoked.steps[-1].name == "hello" and "is revoked" in revoked.steps[-1].text


@pytest.mark.parametrize(
    ("what", "code", "words"),
    [
        ("keys of another robot", 78, "are the keys of robot arm2, and this one is arm1"),
        ("no keys", 78, "no such folder of keys"),
        ("the server's keys", 78, "must be DIR/robots/NAME"),
        ("no port in the address", 78, "must be HOST:PORT"),
    ],
)
def test_what_cannot_work_ends_the_robots_node_with_one_line(rig: Rig, what: str, code: int, words: str) -> None:
    given = {
        "keys of another robot": {"keys": rig.keys / "robots" / "arm2"},
        "no keys": {"keys": rig.keys / "nowhere"},
        "the server's keys": {"keys": rig.keys / "server"},
        "no port in the address": {"address": "gpu.example.org"},
    }[what]
    end = rig.robot(**given)
    assert end.wait() == code
    assert words in end.log() and end.log().count("\n") <= 1 and "Traceback" not in end.log(), end.log()


def test_a_port_that_is_in_use_ends_the_server_with_one_line(rig: Rig) -> None:
    rig.server().wait_for("listens on port")
    second = rig.server()
    assert second.wait() == 1
    assert f"port {rig.port} is in use" in second.log() and "Traceback" not in second.log()


def test_both_ends_in_one_domain_hold_and_say_so(tmp_path: Path, domain: int) -> None:
    """Else each message would go around in a circle."""
    with link_rig(tmp_path, lambda: contextlib.nullcontext(domain), "arm1") as rig:
        robot, server = rig.both_sides()
        server_end, robot_end = rig.server(), rig.robot()
        for end in (server_end, robot_end):
            end.wait_for("the link holds")
        robot.ask(1)
        time.sleep(1.0)
        assert sum(request.request_id == 1 for request in server.requests) == 2  # the queue's own, and its copy


def test_garbage_from_a_robot_that_has_keys_reaches_no_node(rig: Rig) -> None:
    robot, server = rig.both_sides()
    server_end = rig.server()
    server_end.wait_for("listens on port")
    keys = KeyFolder.read(rig.keys / "robots" / "arm1")
    mine = Hello(LinkRole.ROBOT, "arm1", type_hashes())
    end = RobotEnd(LinkAddress("127.0.0.1", rig.port), lambda: keys, hello=mine)
    try:
        assert eventually(lambda: end.ups)
        front = frames_of("front")
        assert front is not None
        for number, data in enumerate(
            (b"", b"\0", b"\0\1\0\0", b"\0\1\0\0" + b"\xff" * 50, b"\0\1\0\0" + b"\x7f" * 5000)
        ):
            for topic in (topics.OBSERVATION_REQUEST, topics.POLICY_SPEC, front):
                end.outbox.put(topic, data + bytes([number]), time.monotonic_ns(), LinkRequestKey(1, number + 1))
            time.sleep(0.1)
    finally:
        end.close()
    end_of_robot = rig.robot()
    end_of_robot.wait_for("is up")
    robot.ask_until_replied(1, timeout_s=10.0)
    assert server_end.process.poll() is None and [len(spec.cameras) for spec in server.specs] == [2] * len(server.specs)


def test_whoever_has_a_robots_keys_takes_its_places_only_and_is_told_why_at_the_limit(rig: Rig) -> None:
    server_end = rig.server()
    server_end.wait_for("listens on port")
    address, keys = LinkAddress("127.0.0.1", rig.port), KeyFolder.read(rig.keys / "robots" / "arm1")
    with contextlib.ExitStack() as stack:
        taken = [open_tls(address, keys) for _ in range(MAX_OF_ONE_ROBOT)]  # each has 3 s to say who it is
        one_more = RobotEnd(address, lambda: keys, hello=Hello(LinkRole.ROBOT, "arm1", type_hashes()))
        stack.callback(one_more.close)
        assert eventually(lambda: one_more.ends or one_more.ups) and not one_more.ups
        other = RobotEnd(
            address,
            lambda: KeyFolder.read(rig.keys / "robots" / "arm2"),
            hello=Hello(LinkRole.ROBOT, "arm2", type_hashes()),
        )
        stack.callback(other.close)
        assert eventually(lambda: other.ups), other.ends
        limit = f"{MAX_OF_ONE_ROBOT} connections are open with the keys of arm1; if not all are yours"
        assert one_more.ends[0].failure.cause == causes.REFUSED and limit in one_more.ends[0].failure.text
        server_end.wait_for(f"refused robot arm1 at 127.0.0.1: {limit}")
        for stranger in taken:
            stranger.close()
        assert eventually(lambda: one_more.ups), "it is not let in once the places are free"


def test_one_robot_more_costs_the_server_little_memory(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """15 MB each, if Fast DDS sets room aside for 100 messages of the largest size."""
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(Path(__file__).parents[3] / "config/fastdds_loopback.xml"))
    server_end = rig.server()
    server_end.wait_for("listens on port")
    server = psutil.Process(server_end.process.pid)
    rig.sides.append(side := ServerSide(rig.server_domain))
    grown_mb = []
    for name in ("arm1", "arm2"):
        before = server.memory_info().rss
        rig.robot(name)
        assert eventually(lambda name=name: side.node.count_subscribers(f"/{name}/action_chunk"))
        time.sleep(0.5)  # its other topics
        grown_mb.append((server.memory_info().rss - before) / 1e6)
    assert grown_mb[1] < 6.0, grown_mb


def test_a_server_with_no_policy_server_behind_it_says_so(rig: Rig) -> None:
    server_end = rig.server()
    rig.robot().wait_for("is up")
    server_end.wait_for("no policy server here listens to this robot's namespace")
