# SPDX-License-Identifier: Apache-2.0
"""Four robots at one server, core and threads: each gets its own chunks, its own turn and its own history."""

from __future__ import annotations

import queue
import threading
import time

import numpy as np
import pytest
from coded_robots import CodedPolicy, code_of, find_mixed, positions_of
from so101_node.log_lines import LogLine
from so101_node.protocol import ChunkStatus
from so101_node.raw_image import RawLayout
from so101_policy_server.core.request import ServedChunk
from so101_policy_server.core.server import PolicyServer
from so101_policy_server.inference.inference_thread import InferenceThread
from so101_policy_server.policy import PolicyError

WAIT_S = 60.0
ROBOTS = tuple(f"/robot{number}" for number in range(4))


class Fleet:
    """Four robots and a server; answers go to the robot that they are for."""

    def __init__(self, examples, policy, **config) -> None:
        self.examples = examples
        self.answers = {robot: queue.Queue[ServedChunk]() for robot in ROBOTS}
        self.lines: list[str] = []
        loaded = threading.Event()
        core = PolicyServer(examples.config(**config))
        core.activate()
        for robot in ROBOTS:
            core.spec(robot, examples.spec(cameras=("front",)), 0)
        self.thread = InferenceThread(core, lambda _source, _progress: policy, self._publish, self._log, loaded.set)
        self.thread.start()
        assert loaded.wait(WAIT_S)

    def _publish(self, reply: ServedChunk) -> None:
        self.answers[reply.request.key.session.robot].put(reply)

    def _log(self, line: LogLine) -> None:
        self.lines.append(line.text)

    def ask(self, robot: int, request_id: int, session: int = 7, **changes) -> None:
        """A request and its frame, which carry their code; raw, since here it is not decoding that is tried."""
        examples, name = self.examples, ROBOTS[robot]
        positions = positions_of(robot, request_id)[None]
        request = examples.request(request_id, robot=name, session=session, positions=positions, **changes)
        picture = np.full((examples.height, examples.width, 3), code_of(robot, request_id), np.uint8)
        frame = examples.frame(
            "front",
            request_id,
            robot=name,
            session=session,
            data=picture.ravel(),
            raw=RawLayout("rgb8", examples.height, examples.width, 3 * examples.width),
        )
        self.thread.call(lambda core, now: core.request(request, now))
        self.thread.call(lambda core, _now: core.frame(frame))

    def get(self, robot: int) -> ServedChunk:
        return self.answers[ROBOTS[robot]].get(timeout=WAIT_S)

    def close(self) -> None:
        assert self.thread.stop(WAIT_S)


@pytest.fixture
def fleet(examples):
    """Makes a fleet at a policy."""
    made = []

    def make(policy=None, **config) -> Fleet:
        made.append(Fleet(examples, policy or CodedPolicy(described(examples)), **config))
        return made[-1]

    yield make
    for one in made:
        one.close()


def described(examples, **changes):
    return examples.description("front", batches=True, horizon=3, **changes)


def mixed(fleet: Fleet, per_robot: int) -> tuple[int, list[str]]:
    """Each robot asks again as soon as it is answered; returns how many were answered, and what was mixed."""
    found: list[str] = []
    counted = []

    def run(robot: int) -> None:
        for request_id in range(1, per_robot + 1):
            fleet.ask(robot, request_id)
            reply = fleet.get(robot)
            if reply.status is not ChunkStatus.OK or reply.request.key.request_id != request_id:
                found.append(f"robot {robot} request {request_id}: {reply.status.name} {reply.message}")
            elif text := find_mixed(robot, request_id, reply.positions, positions_of(robot, request_id)):
                found.append(text)
            counted.append(1)

    threads = [threading.Thread(target=run, args=(robot,)) for robot in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(counted), found


def test_no_answer_of_hundreds_is_of_another_robot(fleet, examples) -> None:
    policy = CodedPolicy(described(examples))
    assert mixed(fleet(policy), 200) == (800, [])
    assert max(policy.batches) > 1  # they did share passes


@pytest.mark.long
def test_no_answer_of_ten_thousand_is_of_another_robot(fleet, examples) -> None:
    policy = CodedPolicy(described(examples))
    assert mixed(fleet(policy), 2500) == (10_000, [])
    assert max(policy.batches) == 4


def test_the_test_would_see_mixed_answers(fleet, examples) -> None:
    class Swapped(CodedPolicy):
        def infer_batch(self, observations, leftovers):
            return super().infer_batch(observations, leftovers)[::-1]

    answered, found = mixed(fleet(Swapped(described(examples))), 50)
    assert answered == 200
    assert found


def test_each_session_keeps_its_own_history_and_a_new_one_begins_anew(fleet) -> None:
    robots = fleet()
    for turn in range(3):
        for robot in range(4):
            robots.ask(robot, turn + 1)
        for robot in range(4):
            assert np.degrees(robots.get(robot).positions[1, 0]) == pytest.approx(turn, abs=1e-4)
    robots.ask(2, 1, session=8)
    assert robots.get(2).positions[1, 0] == pytest.approx(0, abs=1e-6)
    robots.ask(1, 4)
    assert np.degrees(robots.get(1).positions[1, 0]) == pytest.approx(3, abs=1e-4)


def test_each_robot_continues_its_own_leftover(fleet, examples) -> None:
    robots = fleet(CodedPolicy(described(examples, supports_rtc=True)))
    for robot in range(3):
        robots.ask(robot, 1, leftover=np.full((5, 6), 0.1 * (robot + 1)), expected_delay_steps=2)
    robots.ask(3, 1)
    for robot in range(3):
        assert robots.get(robot).positions[2, 0] == pytest.approx(0.1 * (robot + 1), abs=1e-5)
    assert robots.get(3).positions[2, 0] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("error", [PolicyError("odd picture"), MemoryError("no room")])
def test_an_observation_that_the_policy_cannot_bear_fails_only_its_own_robot(fleet, examples, error) -> None:
    class Picky(CodedPolicy):
        def infer_batch(self, observations, leftovers):
            if any(observation.session.startswith(ROBOTS[1]) for observation in observations):
                raise error
            return super().infer_batch(observations, leftovers)

    robots = fleet(Picky(described(examples)), batch_window_s=0.1)
    for robot in range(4):
        robots.ask(robot, 1)
    statuses = [robots.get(robot).status for robot in range(4)]
    assert statuses == [ChunkStatus.OK, ChunkStatus.POLICY_ERROR, ChunkStatus.OK, ChunkStatus.OK]
    assert all(answers.empty() for answers in robots.answers.values())  # each was answered once


def test_under_overload_no_robot_waits_more_than_one_batch_longer_than_another(fleet, examples) -> None:
    """Batches of two, and robot 0 asks three times as often as it is answered, always with an empty queue."""

    served_in: dict[tuple[int, int], int] = {}  # robot and request -> number of its batch

    class Slow(CodedPolicy):
        def infer_batch(self, observations, leftovers):
            for observation in observations:
                robot, high, low = map(int, next(iter(observation.images.values()))[-1][0, 0])
                served_in[robot, 256 * high + low] = len(self.batches) + 1
            time.sleep(0.02)
            return super().infer_batch(observations, leftovers)

    policy = Slow(described(examples))
    robots = fleet(policy, max_batch=2)
    waits: dict[int, list[int]] = {robot: [] for robot in range(4)}
    stop = threading.Event()
    statuses = []

    def flood() -> None:
        request_id = 0
        while not stop.wait(0.007):
            request_id += 1
            robots.ask(0, request_id, must_go=True)

    def polite(robot: int) -> None:
        for request_id in range(1, 31):
            robots.ask(robot, request_id)
            began = len(policy.batches)  # the batch that runs is among them
            statuses.append(robots.get(robot).status)
            waits[robot].append(served_in[robot, request_id] - began)
        stop.set()

    threads = [threading.Thread(target=flood), *(threading.Thread(target=polite, args=(n,)) for n in (1, 2, 3))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {ChunkStatus.OK}
    medians = [float(np.median(waits[robot])) for robot in (1, 2, 3)]
    assert max(medians) - min(medians) <= 1
    assert max(max(waits[robot]) for robot in (1, 2, 3)) <= 4
    # Whoever asked too often was told so for every request that gave way, and was served as well.
    told = [robots.answers[ROBOTS[0]].get(timeout=WAIT_S).status for _ in range(40)]
    assert set(told) == {ChunkStatus.OK, ChunkStatus.SUPERSEDED}


def test_a_policy_that_does_not_batch_is_reset_between_robots(fleet, examples, spy_policy) -> None:
    policy = spy_policy(examples.description("front"))
    robots = fleet(policy)
    for robot in (0, 1, 0):
        robots.ask(robot, 1 + policy.resets)
        assert robots.get(robot).status is ChunkStatus.OK
    assert policy.resets == 3
