# SPDX-License-Identifier: Apache-2.0
"""Several replicas of a policy, without Ray: who takes what, and what happens to requests of one that is lost."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter

import numpy as np
import pytest
from coded_robots import CodedPolicy, code_of, find_mixed, positions_of
from so101_node.protocol import ChunkStatus, PolicyState
from so101_node.raw_image import RawLayout
from so101_policy_server.core import causes
from so101_policy_server.core.request import ServedChunk
from so101_policy_server.core.server import PolicyServer
from so101_policy_server.inference import inference_thread
from so101_policy_server.inference.inference_thread import InferenceThread
from so101_policy_server.on_ray import cluster as ray_cluster
from so101_policy_server.on_ray.cluster import Cluster
from so101_policy_server.policy import PolicyLoadError, ReplicaLostError

WAIT_S = 60.0
ROBOTS = 4


class Replica(CodedPolicy):
    """Can be lost: then each call raises."""

    def __init__(self, description) -> None:
        super().__init__(description)
        self.is_lost = False
        self.began, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def infer_batch(self, observations, leftovers):
        self.began.set()
        assert self.go_on.wait(WAIT_S)
        if self.is_lost:
            raise ReplicaLostError("the process of a replica ended")
        return super().infer_batch(observations, leftovers)


class House:
    """A server with two replicas and four robots."""

    def __init__(self, examples, **description) -> None:
        self.examples = examples
        self.made: list[Replica] = []
        self.cluster_is_there, self.is_born_lost = True, False
        self.answers: queue.Queue[ServedChunk] = queue.Queue()
        self._description = examples.description("front", horizon=3, **description)
        core = PolicyServer(examples.config(replicas=2))
        core.activate()
        for robot in range(ROBOTS):
            core.spec(f"/robot{robot}", examples.spec(cameras=("front",)), 0)
        self.thread = InferenceThread(core, self._load, self.answers.put, lambda _line: None, lambda: None, replicas=2)
        self.thread.start()
        self.wait(lambda: self.replicas == 2)

    def _load(self, _source, _progress) -> Replica:
        if not self.cluster_is_there:
            raise ReplicaLostError("the Ray cluster at here:1 is gone")
        made = Replica(self._description)
        made.is_lost = self.is_born_lost
        self.made.append(made)
        return made

    @property
    def replicas(self) -> int:
        return self.thread.status("/robot0").replicas

    def wait(self, condition) -> None:
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.005)

    def ask(self, robot: int, request_id: int) -> None:
        examples, name = self.examples, f"/robot{robot}"
        request = examples.request(request_id, robot=name, positions=positions_of(robot, request_id)[None])
        picture = np.full((examples.height, examples.width, 3), code_of(robot, request_id), np.uint8)
        layout = RawLayout("rgb8", examples.height, examples.width, 3 * examples.width)
        frame = examples.frame("front", request_id, robot=name, data=picture.ravel(), raw=layout)
        self.thread.call(lambda core, now: core.request(request, now))
        self.thread.call(lambda core, _now: core.frame(frame))

    def get(self) -> ServedChunk:
        return self.answers.get(timeout=WAIT_S)

    def close(self) -> None:
        for replica in self.made:
            replica.go_on.set()
        assert self.thread.stop(WAIT_S)


@pytest.fixture
def house(examples, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inference_thread, "LOST_RETRY_S", 0.05)
    made = []

    def make(**description) -> House:
        made.append(House(examples, **description))
        return made[-1]

    yield make
    for one in made:
        one.close()


def is_own(answer: ServedChunk) -> bool:
    robot, request_id = int(answer.request.key.session.robot[-1]), answer.request.key.request_id
    return find_mixed(robot, request_id, answer.positions, positions_of(robot, request_id)) == ""


def test_two_robots_are_served_at_the_same_time(house) -> None:
    server = house(remembers=False)
    for replica in server.made:
        replica.go_on.clear()
    server.ask(0, 1)
    server.ask(1, 1)
    assert all(replica.began.wait(WAIT_S) for replica in server.made)  # each has one of the two
    for replica in server.made:
        replica.go_on.set()
    assert all(is_own(server.get()) for _ in range(2))


def test_a_robots_second_request_waits_for_its_first(house) -> None:
    server = house(remembers=False)
    for replica in server.made:
        replica.go_on.clear()
    server.ask(0, 1)
    server.wait(lambda: any(replica.began.is_set() for replica in server.made))
    server.ask(0, 2)
    server.ask(1, 1)
    server.wait(lambda: all(replica.began.is_set() for replica in server.made))
    assert server.thread.status("/robot0").busy.request_id == 1
    assert server.thread.status("/robot1").busy.session.robot == "/robot1"
    for replica in server.made:
        replica.go_on.set()
    answers = [server.get() for _ in range(3)]
    assert [a.request.key.request_id for a in answers if a.request.key.session.robot == "/robot0"] == [1, 2]


def test_a_session_that_is_remembered_stays_with_its_replica(house) -> None:
    server = house(remembers=True, batches=True)
    seen = Counter()
    for request_id in range(1, 11):
        for robot in range(ROBOTS):
            server.ask(robot, request_id)
        for _ in range(ROBOTS):
            answer = server.get()
            robot = answer.request.key.session.robot
            assert round(float(np.degrees(answer.positions[1, 0]))) == seen[robot]
            seen[robot] += 1


def test_a_lost_replicas_requests_are_answered_once_by_the_other_and_it_is_made_again(house) -> None:
    server = house(remembers=False, batches=True)
    asked = Counter()
    answered = Counter()
    for request_id in range(1, 41):
        if request_id == 20:
            server.made[0].is_lost = True
        for robot in range(ROBOTS):
            server.ask(robot, request_id)
            asked[f"/robot{robot}", request_id] += 1
        for _ in range(ROBOTS):
            answer = server.get()
            assert answer.status is ChunkStatus.OK, answer.message
            assert is_own(answer)
            answered[answer.request.key.session.robot, answer.request.key.request_id] += 1
    assert answered == asked
    assert server.answers.empty()
    server.wait(lambda: server.replicas == 2)
    assert len(server.made) == 3


def test_a_request_that_two_replicas_were_lost_with_is_to_be_asked_again(house) -> None:
    server = house(remembers=False)
    server.is_born_lost = True
    for replica in server.made:
        replica.is_lost = True
    server.ask(0, 1)
    answer = server.get()
    assert (answer.status, answer.retry_after_s > 0) == (ChunkStatus.NOT_READY, True)
    assert "replica" in answer.message
    server.wait(lambda: server.replicas == 2)
    assert server.answers.empty()
    for replica in server.made:
        replica.is_lost = False
    server.ask(0, 2)
    assert is_own(server.get())


def test_without_its_cluster_the_server_says_so_and_goes_on_when_it_is_back(house) -> None:
    server = house(remembers=False)
    server.cluster_is_there = False
    for replica in server.made:
        replica.is_lost = True
    for robot in range(2):
        server.ask(robot, 1)
    for _ in range(2):
        assert server.get().status in (ChunkStatus.NOT_READY, ChunkStatus.POLICY_ERROR)
    server.wait(lambda: server.thread.status("/robot0").message == "the Ray cluster at here:1 is gone")
    report = server.thread.status("/robot0")
    assert (report.state, report.cause) == (PolicyState.ERROR, causes.REPLICAS_LOST)
    server.ask(0, 2)
    refused = server.get()
    assert (refused.status, refused.message) == (ChunkStatus.POLICY_ERROR, "the Ray cluster at here:1 is gone")
    server.cluster_is_there = True
    server.wait(lambda: server.replicas == 2)
    server.ask(0, 3)
    assert is_own(server.get())
    assert server.thread.status("/robot0").state is PolicyState.READY


def test_ray_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_name):
        raise ImportError("No module named 'ray'")

    monkeypatch.setattr(ray_cluster.importlib, "import_module", absent)
    monkeypatch.setattr(ray_cluster.os, "environ", {})
    with pytest.raises(PolicyLoadError) as refused:
        Cluster("127.0.0.1:6379").connect()
    assert str(refused.value) == "replicas is above 0, and Ray is not installed: `./so101 setup ray`"
