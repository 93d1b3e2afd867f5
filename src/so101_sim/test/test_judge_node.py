# SPDX-License-Identifier: Apache-2.0
"""The judge as its own process, with a virtual arm whose time only this test moves."""

from collections.abc import Iterator

import pytest
from so101_msgs.msg import EpisodeEvent, QueueStatus
from so101_msgs.srv import ResetEpisode
from so101_node.topics import qos
from so101_sim.core.tasks import BELT_CHANGING, CONVEYOR, STATIC
from so101_sim.virtual_arm_client import RunningVirtualArm, running_virtual_arm

SECOND_NS = 1_000_000_000


@pytest.fixture(scope="module")
def arm() -> Iterator[RunningVirtualArm]:
    with running_virtual_arm("--lockstep") as running:
        yield running


def test_an_episode_begins_with_the_reset_and_fails_when_simulated_time_is_up(arm: RunningVirtualArm, peer) -> None:
    events = peer.collect(EpisodeEvent, "episode", qos.EVENTS)
    node = peer.start("judge_node", sim_dir=arm.sim_dir)
    pose_before = arm.state.read().qpos[:6]
    request = ResetEpisode.Request(task_name="static", seed=2**40 + 5, episode=3, timeout=2.0)
    assert peer.call(ResetEpisode, "judge/reset_episode", request).success

    assert peer.wait(lambda: events)
    started = events[0]
    assert (started.event, started.episode, started.seed) == (EpisodeEvent.STARTED, 3, 2**40 + 5)
    assert (started.task_name, started.task) == ("static", STATIC.instruction)
    assert started.duration == 0.0
    state = arm.state.read()
    assert state.scene_seed == 2**40 + 5
    assert list(state.qpos[6:9]) == pytest.approx(list(STATIC.cube_start(2**40 + 5).position))
    assert list(state.qpos[:6]) == list(pose_before)

    arm.client.advance(int(1.9 * SECOND_NS))
    peer.spin_for(0.3)
    assert len(events) == 1
    arm.client.advance(int(0.2 * SECOND_NS))
    assert peer.wait(lambda: len(events) == 2)
    assert (events[1].event, events[1].episode) == (EpisodeEvent.FAILED, 3)
    assert events[1].duration == pytest.approx(2.1, abs=0.01)
    assert "after 2 s the cube is at" in events[1].message
    assert node.interrupt() == 0


def test_a_belt_that_changes_stands_until_the_queue_commands_the_arm(arm: RunningVirtualArm, peer) -> None:
    events = peer.collect(EpisodeEvent, "episode", qos.EVENTS)
    node = peer.start("judge_node", sim_dir=arm.sim_dir)
    queue = peer.node.create_publisher(QueueStatus, "action_queue/status", qos.STATUS)
    assert peer.wait(lambda: queue.get_subscription_count() == 1)
    request = ResetEpisode.Request(task_name="belt_changing", seed=4, episode=1, timeout=2.0)
    assert peer.call(ResetEpisode, "judge/reset_episode", request).success
    assert peer.wait(lambda: events)

    def travelled() -> float:
        place = arm.state.read().qpos[6:9] - BELT_CHANGING.cube_start(4).position
        return float(place @ CONVEYOR.direction)

    queue.publish(QueueStatus(state=QueueStatus.STOPPED))
    peer.spin_for(0.3)
    arm.client.advance(3 * SECOND_NS)  # more than its time
    assert travelled() == pytest.approx(0.0, abs=1e-3)
    queue.publish(QueueStatus(state=QueueStatus.WAITING))
    peer.spin_for(0.5)
    arm.client.advance(SECOND_NS)
    assert travelled() > 0.015
    assert len(events) == 1
    arm.client.advance(int(1.1 * SECOND_NS))
    assert peer.wait(lambda: len(events) == 2)
    assert events[1].event == EpisodeEvent.FAILED
    assert events[1].duration == pytest.approx(2.1, abs=0.02)
    assert node.interrupt() == 0


def test_a_reset_during_an_episode_ends_it_uncounted_and_so_does_the_judges_own_end(
    arm: RunningVirtualArm, peer
) -> None:
    events = peer.collect(EpisodeEvent, "episode", qos.EVENTS)
    node = peer.start("judge_node", sim_dir=arm.sim_dir)
    for episode in (0, 1):
        assert peer.call(ResetEpisode, "judge/reset_episode", ResetEpisode.Request(seed=1, episode=episode)).success
    assert peer.wait(lambda: len(events) == 3)
    assert [(event.event, event.episode) for event in events] == [
        (EpisodeEvent.STARTED, 0),
        (EpisodeEvent.ABORTED, 0),
        (EpisodeEvent.STARTED, 1),
    ]
    assert node.interrupt() == 0
    assert peer.wait(lambda: len(events) == 4)
    assert (events[3].event, events[3].episode) == (EpisodeEvent.ABORTED, 1)


def test_what_cannot_be_begun_is_refused_with_a_reason_and_without_an_event(
    arm: RunningVirtualArm, peer, tmp_path
) -> None:
    events = peer.collect(EpisodeEvent, "episode", qos.EVENTS)
    node = peer.start("judge_node", sim_dir=arm.sim_dir)
    count = arm.state.read().scene_count
    answer = peer.call(ResetEpisode, "judge/reset_episode", ResetEpisode.Request(task_name="juggle"))
    known = "static, static_nudged, belt, belt_changing, belt_nudged, belt_reversing, belt_stopping"
    assert (answer.success, answer.message) == (False, f"task = 'juggle': no such task; there are {known}")
    answer = peer.call(ResetEpisode, "judge/reset_episode", ResetEpisode.Request(timeout=-1.0))
    assert not answer.success
    assert "timeout = -1" in answer.message
    assert arm.state.read().scene_count == count
    assert node.interrupt() == 0
    assert not events


def test_without_a_virtual_arm_the_reset_says_so(peer, tmp_path) -> None:
    node = peer.start("judge_node", sim_dir=tmp_path / "nowhere")
    answer = peer.call(ResetEpisode, "judge/reset_episode", ResetEpisode.Request())
    assert not answer.success
    assert "start virtual_arm with this folder first" in answer.message
    assert node.interrupt() == 0


@pytest.mark.parametrize("module", ["judge_node", "virtual_cameras_node"])
def test_a_missing_run_folder_is_one_line_and_exit_code_78(peer, module: str) -> None:
    node = peer.start(module)
    assert node.process.wait(timeout=40) == 78
    assert node.said.count("\n") == 1
    assert "parameter sim_dir = '': give the folder that virtual_arm was started with" in node.said
