"""One request through a policy: joint order, units, rows, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from so101_policy_server.answering import answer_job
from so101_policy_server.policy import PolicyError, PolicySource
from so101_policy_server.policy_choice import PolicyChoice
from so101_policy_server.request import CompleteRequest, Status, Timing
from so101_policy_server.server import Job
from so101_policy_server.spec_check import check_spec


def make_job(examples, request, **spec_changes) -> Job:
    source = PolicySource("/models/pick")
    accepted = check_spec(
        examples.spec(**spec_changes), examples.served(), source, examples.description(), PolicyChoice(source)
    )
    images = {need.key: (examples.picture(),) for need in accepted.cameras}
    return Job(CompleteRequest(request, images, Timing(wait_frames=0.25)), accepted, "pick")


def test_the_policy_sees_degrees_and_a_share_of_the_gripper_range(examples, spy_policy) -> None:
    policy = spy_policy(examples.description())
    positions = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.75]])
    answer_job(policy, make_job(examples, examples.request(positions=positions)))
    ((observation, leftover),) = policy.asked
    assert observation.state[0, :5] == pytest.approx(np.degrees(positions[0, :5]), abs=1e-12)
    assert observation.state[0, 5] == pytest.approx(75.0)  # 0.75 in a range of -1.5 to 1.5
    assert observation.task == "pick"
    assert leftover is None


def test_columns_are_put_in_the_policys_order_by_name(examples, spy_policy) -> None:
    policy = spy_policy(examples.description())
    request = examples.request(
        joint_names=tuple(reversed(examples.joints)), positions=np.array([[0.6, 0.5, 0.4, 0.3, 0.2, 0.1]])
    )
    answer = answer_job(policy, make_job(examples, request))
    assert policy.asked[0][0].state[0, :5] == pytest.approx(np.degrees([0.1, 0.2, 0.3, 0.4, 0.5]))
    assert answer.joint_names == examples.joints


def test_rows_come_back_in_radians_as_many_as_were_wanted(examples, spy_policy) -> None:
    answer = answer_job(
        spy_policy(examples.description()), make_job(examples, examples.request(), actions_per_chunk=20)
    )
    assert answer.status is Status.OK
    assert (answer.positions.shape, answer.positions.dtype) == ((20, 6), np.float32)
    assert answer.positions[7, 0] == pytest.approx(math.radians(7))
    assert answer.positions[7, 5] == pytest.approx(-1.5 + 3.0 * 0.07)
    assert answer.period_s == pytest.approx(1 / 30)


def test_a_leftover_is_handed_over_in_the_policys_units(examples, spy_policy) -> None:
    policy = spy_policy(examples.description(supports_rtc=True))
    request = examples.request(leftover=np.full((3, 6), 0.5), expected_delay_steps=4)
    answer_job(policy, make_job(examples, request))
    leftover = policy.asked[0][1]
    assert leftover.expected_delay_steps == 4
    assert leftover.rows[:, 0] == pytest.approx([math.degrees(0.5)] * 3)


def test_times_add_up_what_the_policy_measured_and_the_conversions(examples, spy_policy) -> None:
    timing = answer_job(spy_policy(examples.description()), make_job(examples, examples.request())).timing
    assert timing.wait_frames == 0.25
    assert timing.inference == 0.002
    assert timing.preprocess >= 0.001
    assert timing.postprocess >= 0.003


def test_a_policy_that_cannot_answer_becomes_an_explicit_error(examples, spy_policy) -> None:
    class Broken(spy_policy):
        def infer(self, observation, leftover):
            raise PolicyError("out of GPU memory")

    answer = answer_job(Broken(examples.description()), make_job(examples, examples.request()))
    assert (answer.status, answer.message) == (Status.POLICY_ERROR, "out of GPU memory")
    assert answer.positions.size == 0
