# SPDX-License-Identifier: Apache-2.0
"""The queue as its own process over DDS: requests say how long cameras may wait, as long as those tell their timing."""

import time
from collections.abc import Iterator

import pytest
from so101_action_queue.record.replay import replay
from so101_action_queue.testing.queue_world import QueueProcess, QueueWorld
from so101_msgs.msg import FrameTiming, ObservationRequest, QueueStatus
from so101_node.timing.timers import create_timer
from so101_node.topics import qos

PERIOD_S = 0.031  # not that of the ticks, so that requests come at every phase of it
LONGEST_S = 0.034
NAMESPACE = "/fresh"


class Cameras:
    """Two that take their frames at the same moments, and say so; `silent` and `irregular` name those that are not."""

    def __init__(self, world: QueueWorld) -> None:
        self.silent: set[str] = set()
        self.irregular: set[str] = set()
        self.heard: list[tuple[float, ObservationRequest]] = []
        self._publisher = world.node.create_publisher(FrameTiming, "frame_timing", qos.FRAME_TIMING)
        world.node.create_subscription(
            ObservationRequest,
            "observation_request",
            lambda message: self.heard.append((time.monotonic(), message)),
            qos.REQUEST_READER,
        )
        create_timer(world.node, 0.05, self._tell)

    def _tell(self) -> None:
        for camera in {"front", "top"} - self.silent:
            period_s = 0.0 if camera in self.irregular else PERIOD_S
            self._publisher.publish(FrameTiming(camera=camera, period=period_s, since_frame=self.since_frame_s()))

    def since_frame_s(self, at_s: float | None = None) -> float:
        """How long before `at_s`, or now, the last frame came: every PERIOD_S on the monotonic clock."""
        return (time.monotonic() if at_s is None else at_s) % PERIOD_S

    def next_requests(self, world: QueueWorld, count: int) -> list[tuple[float, ObservationRequest]]:
        """The requests that come from now on, each once, with when it came, s."""
        before = len(self.heard)
        known = {message.request_id for _, message in self.heard}

        def new() -> list[tuple[float, ObservationRequest]]:
            first: dict[int, tuple[float, ObservationRequest]] = {}
            for at_s, message in self.heard[before:]:
                if message.request_id not in known:
                    first.setdefault(message.request_id, (at_s, message))
            return list(first.values())

        assert world.wait(lambda: len(new()) >= count), world.summary()
        return new()


@pytest.fixture
def world() -> Iterator[QueueWorld]:
    node = QueueWorld(NAMESPACE)
    yield node
    node.close()


def test_requests_let_cameras_wait_for_their_frames_while_all_of_them_tell_when_these_come(world: QueueWorld) -> None:
    cameras = Cameras(world)
    world.cameras = ["front", "top"]
    process = QueueProcess(NAMESPACE, task="wave", cameras="['front','top']", chunk_size_threshold=0.9)
    try:
        world.start()
        assert world.wait(lambda: world.statuses and world.statuses[-1].accepted >= 3), world.summary()
        first = world.requests[0]
        assert (first.must_go, first.frame_wait) == (True, 0.0), "an arm that has nothing to execute waits for nothing"

        waiting = cameras.next_requests(world, 6)
        assert all(0 <= message.frame_wait <= LONGEST_S for _, message in waiting)
        off_s = []
        for at_s, message in waiting:
            if message.frame_wait:
                since_s = cameras.since_frame_s(at_s + message.frame_wait)
                off_s.append(min(since_s, PERIOD_S - since_s))
        assert off_s, "no request waits for frames that are known to come"
        assert sorted(off_s)[len(off_s) // 2] < 0.010, off_s  # what the request took to come here is in it

        cameras.irregular.add("top")
        time.sleep(0.2)
        assert [message.frame_wait for _, message in cameras.next_requests(world, 4)][1:] == [0.0] * 3
        cameras.irregular.clear()
        time.sleep(0.2)
        assert any(message.frame_wait for _, message in cameras.next_requests(world, 4)[1:])
        cameras.silent.add("front")
        time.sleep(0.8)
        assert not any(message.frame_wait for _, message in cameras.next_requests(world, 4)[1:]), "one is missing"

        assert world.call("stop").success
        stopped = world.wait_for_state(QueueStatus.STOPPED)
        assert world.wait(lambda: world.decisions[-1].state == QueueStatus.STOPPED)
        result = replay([decision for decision in world.decisions if decision.session == stopped.session])
        assert result.first_difference == ""
    finally:
        process.kill()
