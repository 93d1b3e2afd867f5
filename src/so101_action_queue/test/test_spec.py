# SPDX-License-Identifier: Apache-2.0
"""The PolicySpec's content and id."""

from dataclasses import fields, replace

import pytest
from so101_action_queue.core.inputs import JointLimits
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.core.spec import policy_spec
from so101_node.protocol import JOINT_NAMES as JOINTS
from so101_node.protocol import PolicySpec

LIMITS = JointLimits(
    driver_id=1,
    joint_names=tuple(reversed(JOINTS)),
    lower=(-1.0,) * 6,
    upper=(1.0,) * 6,
    range_lower=(-6.0, -5.0, -4.0, -3.0, -2.0, -1.0),
    range_upper=(6.0, 5.0, 4.0, 3.0, 2.0, 1.0),
    drive_mode=(0, 0, 0, 0, 0, 1),
)


def test_calibration_is_brought_into_the_policys_joint_order() -> None:
    spec = policy_spec(QueueSettings(), LIMITS)
    assert spec.joint_names == JOINTS
    assert spec.range_lower == (-1.0, -2.0, -3.0, -4.0, -5.0, -6.0)
    assert spec.drive_mode == (1, 0, 0, 0, 0, 0)


def test_equal_specs_share_an_id_and_any_difference_makes_another() -> None:
    settings = QueueSettings()
    spec_id = policy_spec(settings, LIMITS).spec_id
    assert spec_id == policy_spec(QueueSettings(), replace(LIMITS, driver_id=2)).spec_id
    assert 0 < spec_id < 2**64
    others = [
        replace(settings, units="normalized"),
        replace(settings, cameras=("wrist",)),
        replace(settings, actions_per_chunk=30),
        replace(settings, policy_type="act"),
        replace(settings, rename_from=("a",), rename_to=("b",)),
    ]
    ids = {policy_spec(other, LIMITS).spec_id for other in others}
    ids.add(policy_spec(settings, replace(LIMITS, range_upper=(6.0, 5.0, 4.0, 3.0, 2.0, 1.5))).spec_id)
    assert len(ids | {spec_id}) == len(others) + 2


def test_a_new_task_is_no_new_spec() -> None:
    assert policy_spec(QueueSettings(task="a"), LIMITS).spec_id == policy_spec(QueueSettings(task="b"), LIMITS).spec_id


def test_a_joint_without_limits_is_an_error() -> None:
    with pytest.raises(KeyError):
        policy_spec(QueueSettings(joint_names=("elbow", *JOINTS[1:])), LIMITS)


def test_a_field_of_the_spec_is_the_parameter_of_its_name_or_comes_from_the_calibration() -> None:
    parameters = {item.name for item in fields(QueueSettings)}
    spec = {item.name for item in fields(PolicySpec)}
    assert spec - parameters == {"range_lower", "range_upper", "drive_mode"}
