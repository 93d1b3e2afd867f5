# SPDX-License-Identifier: Apache-2.0
"""A correction in virtual time is called as the queue's node calls it, and what it adds reaches the arm."""

import cv2
import numpy as np
import pytest
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.record.virtual_session import VirtualSession
from so101_correction.core.corrector import BasePlan, Correction
from so101_node.protocol import JOINT_NAMES
from so101_training.policy.lockstep_arm import ArmMoment
from so101_training.policy.virtual_correction import CameraHealth, VirtualCorrection
from so101_training.policy.virtual_episode import FAR_INFERENCE_S, FollowingArm, PolicyDelay

DELTA_RAD, DELAY_S, TICKS = 0.25, 0.4, 40


class CorrectorSpy:
    """Adds DELTA_RAD to every joint while rows are executed, and writes down what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []

    def begin(self) -> None:
        self.calls.append(("begin",))

    def see(self, camera: str, thumbnail: np.ndarray, now_ns: int) -> None:
        self.calls.append(("see", now_ns, camera, int(thumbnail.mean())))

    def tick(self, now_ns: int, plan: BasePlan | None, joint_positions: np.ndarray) -> Correction:
        self.calls.append(("tick", now_ns, plan))
        return Correction(np.full(6, DELTA_RAD if plan is not None and plan.executes else 0.0))

    def requested(self, request_id: int, now_ns: int) -> None:
        self.calls.append(("requested", now_ns, request_id))

    def of(self, kind: str) -> list[tuple]:
        return [call for call in self.calls if call[0] == kind]


class GreyingViewpoint:
    """Each frame is a bit brighter than the one before."""

    frames = 0

    def jpegs(self, qpos: np.ndarray) -> dict[str, bytes]:
        self.frames += 1
        return {"top": cv2.imencode(".jpg", np.full((480, 640, 3), 3 * self.frames, np.uint8))[1].tobytes()}


class RecordingArm:
    """Takes the commands that reach it."""

    def __init__(self) -> None:
        self.commands: list[np.ndarray] = []

    def moment(self) -> ArmMoment:
        return ArmMoment(np.zeros(6), np.zeros(1))

    def step(self, target: np.ndarray) -> None:
        self.commands.append(np.array(target))


def run(health: CameraHealth = CameraHealth.LIVE) -> tuple[CorrectorSpy, RecordingArm, VirtualSession]:
    spy, arm = CorrectorSpy(), RecordingArm()
    correction = VirtualCorrection(spy, GreyingViewpoint(), ("top",), (64, 80), health)  # type: ignore[arg-type]
    correction.begin()
    settings = QueueSettings(joint_names=JOINT_NAMES, actions_per_chunk=50, fps=30.0, alignment="elapsed_time")
    session = VirtualSession(
        settings,
        lambda request: np.full((50, 6), 0.5),
        PolicyDelay(DELAY_S).link(),
        arm=FollowingArm(arm, lambda moment: correction.delta(session, moment)),  # type: ignore[arg-type]
    )
    session.start()
    session.run(TICKS / settings.fps)
    return spy, arm, session


def test_in_each_tick_it_sees_decides_and_then_keeps_the_frames_of_a_request() -> None:
    spy, _, session = run()
    ticks = spy.of("tick")
    assert len(ticks) == len(session.trace.states)
    assert [call[2] for call in spy.of("requested")] == [request.request_id for request in session.trace.requests]
    for kind, now_ns, *_ in spy.of("requested"):
        same = [call[0] for call in spy.calls if call[0] != "begin" and call[1] == now_ns]
        assert same == ["see", "tick", kind]


def test_it_is_told_the_plan_of_the_tick_and_what_it_adds_reaches_the_arm() -> None:
    spy, arm, session = run()
    executing = [call[2] for call in spy.of("tick") if call[2] is not None and call[2].executes]
    assert (executing[0].request_id, executing[0].age_steps) == (1, pytest.approx(DELAY_S * 30, abs=2))
    assert len(executing[0].rows_ahead) == 50 - executing[0].age_steps - 1
    np.testing.assert_allclose(executing[-1].setpoint, 0.5)
    np.testing.assert_allclose(arm.commands[-1], 0.5 + DELTA_RAD)
    np.testing.assert_allclose(session.trace.setpoints[-1], 0.5)  # the queue's own plan is as it was


@pytest.mark.parametrize(
    ("health", "distinct"), [(CameraHealth.LIVE, TICKS + 1), (CameraHealth.FROZEN, 1), (CameraHealth.MISSING, 0)]
)
def test_frames_can_freeze_or_be_missing(health: CameraHealth, distinct: int) -> None:
    seen = {call[3] for call in run(health)[0].of("see")}
    assert len(seen) == distinct


def test_a_far_server_takes_requests_that_overlap_and_a_warm_one_has_its_first_chunk_at_once() -> None:
    link = PolicyDelay(1.2, is_warm=True, is_far=True).link()
    assert (link.uplink_s(1), link.inference_s(1), link.downlink_s(1)) == (0.0, 0.0, 0.0)
    assert link.inference_s(2) == FAR_INFERENCE_S
    assert link.uplink_s(2) + link.inference_s(2) + link.downlink_s(2) == pytest.approx(1.2)  # type: ignore[operator]
    slow = PolicyDelay(1.2).link()
    assert (slow.uplink_s(1), slow.inference_s(1), slow.downlink_s(1)) == (0.0, 1.2, 0.0)
