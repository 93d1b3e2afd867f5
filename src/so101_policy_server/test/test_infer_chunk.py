# SPDX-License-Identifier: Apache-2.0
"""One request through a policy: joint order, units, rows, errors."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from so101_node.protocol import ChunkStatus
from so101_policy_server.core.policy_choice import PolicyChoice
from so101_policy_server.core.prepared_request import PreparedRequest
from so101_policy_server.core.request import ChunkTiming, CompleteRequest
from so101_policy_server.core.spec_check import check_spec
from so101_policy_server.inference.infer_chunk import infer_chunk
from so101_policy_server.policy import PolicyError, PolicySource


def prepare(examples, request, **spec_changes) -> PreparedRequest:
    source = PolicySource("/models/pick")
    accepted = check_spec(
        examples.spec(**spec_changes), examples.served(), source, examples.description(), PolicyChoice(source)
    )
    images = {need.key: (examples.picture(),) for need in accepted.cameras}
    return PreparedRequest(CompleteRequest(request, images, ChunkTiming(wait_frames=0.25)), accepted, "pick")


def test_the_policy_sees_degrees_and_a_share_of_the_gripper_range(examples, spy_policy) -> None:
    policy = spy_policy(examples.description())
    positions = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.75]])
    infer_chunk(policy, prepare(examples, examples.request(positions=positions)))
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
    answer = infer_chunk(policy, prepare(examples, request))
    assert policy.asked[0][0].state[0, :5] == pytest.approx(np.degrees([0.1, 0.2, 0.3, 0.4, 0.5]))
    assert answer.joint_names == examples.joints


def test_a_pair_of_arms_has_the_columns_of_lerobots_bi_follower_and_two_grippers(examples, spy_policy) -> None:
    joints = tuple(f"{arm}_{joint}" for arm in ("left", "right") for joint in examples.joints)
    description = examples.description(state_dim=12, action_dim=12)
    changes = {"range_lower": (-1.5,) * 12, "range_upper": (1.5,) * 12, "drive_mode": (0,) * 12}
    source = PolicySource("/models/pick")
    served = examples.served(joint_names=joints)
    accepted = check_spec(
        examples.spec(joint_names=joints, **changes), served, source, description, PolicyChoice(source)
    )
    names = joints[6:] + joints[:6]  # a robot that lists its right arm first
    positions = np.concatenate([np.full((1, 6), 0.75), np.full((1, 6), 0.15)], axis=1)
    request = examples.request(joint_names=names, positions=positions, leftover=np.zeros((0, 12)))
    images = {need.key: (examples.picture(),) for need in accepted.cameras}
    policy = spy_policy(description)
    answer = infer_chunk(policy, PreparedRequest(CompleteRequest(request, images, ChunkTiming()), accepted, "pick"))
    state = policy.asked[0][0].state[0]
    assert state[:5] == pytest.approx(np.degrees([0.15] * 5))
    assert state[6:11] == pytest.approx(np.degrees([0.75] * 5))
    assert state[[5, 11]] == pytest.approx([55.0, 75.0])  # both grippers: ratio of their range, percent
    assert answer.joint_names == joints
    assert answer.positions.shape == (50, 12)
    assert answer.positions[10, [5, 11]] == pytest.approx([-1.2, -1.2])


def test_rows_come_back_in_radians_as_many_as_were_wanted(examples, spy_policy) -> None:
    answer = infer_chunk(
        spy_policy(examples.description()), prepare(examples, examples.request(), actions_per_chunk=20)
    )
    assert answer.status is ChunkStatus.OK
    assert (answer.positions.shape, answer.positions.dtype) == ((20, 6), np.float32)
    assert answer.positions[7, 0] == pytest.approx(math.radians(7))
    assert answer.positions[7, 5] == pytest.approx(-1.5 + 3.0 * 0.07)
    assert answer.period_s == pytest.approx(1 / 30)


def test_a_leftover_is_handed_over_in_the_policys_units(examples, spy_policy) -> None:
    policy = spy_policy(examples.description(supports_rtc=True))
    request = examples.request(leftover=np.full((3, 6), 0.5), expected_delay_steps=4)
    infer_chunk(policy, prepare(examples, request))
    leftover = policy.asked[0][1]
    assert leftover.expected_delay_steps == 4
    assert leftover.rows[:, 0] == pytest.approx([math.degrees(0.5)] * 3)


def test_times_add_up_what_the_policy_measured_and_the_conversions(examples, spy_policy) -> None:
    timing = infer_chunk(spy_policy(examples.description()), prepare(examples, examples.request())).timing
    assert timing.wait_frames == 0.25
    assert timing.inference == 0.002
    assert timing.preprocess >= 0.001
    assert timing.postprocess >= 0.003


def test_a_policy_that_cannot_answer_becomes_an_explicit_error(examples, spy_policy) -> None:
    class Broken(spy_policy):
        def infer(self, observation, leftover):
            raise PolicyError("out of GPU memory")

    answer = infer_chunk(Broken(examples.description()), prepare(examples, examples.request()))
    assert (answer.status, answer.message) == (ChunkStatus.POLICY_ERROR, "out of GPU memory")
    assert answer.positions.size == 0


@pytest.mark.parametrize(("base", "shown"), [(300.0, "3e+02|3[0-9]{2}"), (-900.0, "-900")])
def test_a_value_far_beyond_the_range_is_no_command_to_its_end(examples, spy_policy, base: float, shown: str) -> None:
    """The gripper's 0..100 are clamped as LeRobot does it: without a word the gripper would go to its stop."""
    policy = spy_policy(examples.description(), base=base)
    chunk = infer_chunk(policy, prepare(examples, examples.request()))
    assert chunk.status is ChunkStatus.POLICY_ERROR
    assert re.search(
        rf"the policy gave ({shown}) for gripper, .* times its calibrated range beyond the end of it", chunk.message
    )
    assert chunk.positions.size == 0


@pytest.mark.parametrize("base", [-110.0, -25.0, 75.0])
def test_an_overshoot_as_policies_have_is_clamped(examples, spy_policy, base: float) -> None:
    policy = spy_policy(examples.description(), base=base)
    chunk = infer_chunk(policy, prepare(examples, examples.request(), actions_per_chunk=20))
    assert chunk.status is ChunkStatus.OK
    assert (np.abs(chunk.positions[:, 5]) <= 1.5).all()
