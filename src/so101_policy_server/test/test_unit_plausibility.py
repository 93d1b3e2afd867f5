# SPDX-License-Identifier: Apache-2.0
"""Statistics that can, or cannot, be of an SO-101 in the units it is served in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from so101_node.protocol.units import Units
from so101_policy_server.core.preflight import Verdict
from so101_policy_server.core.spec_check import SpecMismatchError, check_deployment, check_spec
from so101_policy_server.core.unit_plausibility import check_ranges, check_units

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
DEGREES = {
    "min": np.array([-60.0, -95.5, -40.0, 10.0, -150.0, 1.0]),
    "max": np.array([65.0, 30.0, 96.0, 98.0, 120.0, 60.0]),
    "mean": np.array([5.0, -20.0, 30.0, 60.0, 3.0, 20.0]),
    "std": np.array([20.0, 25.0, 25.0, 15.0, 30.0, 15.0]),
}


def changed(index: int, **values: float) -> dict:
    statistics = {name: array.copy() for name, array in DEGREES.items()}
    for name, value in values.items():
        statistics[name][index] = value
    return statistics


def verdicts(statistics, units: Units = Units.DEGREES, **more) -> list[tuple[Verdict, str]]:
    found = check_units({"action": statistics}, JOINTS, units, **more)
    return [(finding.verdict, finding.line()) for finding in found]


def only_mean(statistics) -> dict:
    return {"mean": statistics["mean"], "std": statistics["std"]}


@pytest.mark.parametrize("statistics", [DEGREES, only_mean(DEGREES)])
def test_plausible_degrees_are_green(statistics) -> None:
    ((verdict, _line),) = verdicts(statistics)
    assert verdict is Verdict.GREEN


@pytest.mark.parametrize(
    "statistics",
    [
        changed(0, max=270.0),
        changed(3, min=-190.0),
        only_mean(changed(1, mean=2048.0)),
        {"q01": DEGREES["min"], "q99": changed(2, max=360.0)["max"]},
    ],
)
def test_more_than_half_a_turn_cannot_be_degrees(statistics) -> None:
    ((verdict, line),) = verdicts(statistics)
    assert verdict is Verdict.RED
    assert line.startswith("units.action: ") and "cannot be degrees" in line
    assert 'accepted_findings: ["units.action"]' in line


@pytest.mark.parametrize("statistics", [DEGREES, only_mean(changed(4, mean=-130.0))])
def test_degrees_served_as_normalized_are_refused_with_the_numbers_and_the_other_units(statistics) -> None:
    ((verdict, line),) = verdicts(statistics, Units.NORMALIZED)
    assert verdict is Verdict.RED
    assert "wrist_roll" in line and "cannot be -100..100 -> units: degrees, of policy_server and action_queue" in line


def test_values_that_end_at_100_exactly_are_unlikely_to_be_degrees() -> None:
    clamped = {name: np.clip(array, -100.0, 100.0) for name, array in DEGREES.items()}
    ((verdict, line),) = verdicts(clamped)
    assert verdict is Verdict.YELLOW
    assert "wrist_roll -100 to 100 end at 100 exactly" in line and "units: normalized" in line
    ((verdict, _line),) = verdicts(clamped, Units.NORMALIZED)
    assert verdict is Verdict.GREEN


@pytest.mark.parametrize("units", list(Units))
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("gripper", [True, False])
def test_radians_are_refused(units: Units, whole: bool, gripper: bool) -> None:
    radians = {name: np.radians(array) for name, array in DEGREES.items()}
    if not gripper:  # in percent all the same
        radians = {name: np.append(array[:5], DEGREES[name][5]) for name, array in radians.items()}
    ((verdict, line),) = verdicts(radians if whole else only_mean(radians), units)
    assert verdict is Verdict.RED
    assert "every joint of the arm is within 3.3" in line and "radians" in line


def test_a_gripper_that_never_opened_beyond_one_percent_is_named() -> None:
    ((verdict, line),) = verdicts(changed(5, min=0.0, mean=0.4, max=1.0))
    assert verdict is Verdict.YELLOW and "never opened in training, or its numbers are 0..1" in line


def test_statistics_of_nothing_are_a_warning() -> None:
    ((verdict, line),) = verdicts({"mean": np.zeros(6), "std": np.ones(6)})
    assert verdict is Verdict.YELLOW and "mean 0" in line


@pytest.mark.parametrize("units", list(Units))
def test_a_gripper_outside_0_to_100_is_named(units: Units) -> None:
    small = {name: np.clip(array, -90.0, 90.0) for name, array in DEGREES.items()}
    small["min"][5] = -30.0
    ((verdict, line),) = verdicts(small, units)
    assert verdict is Verdict.YELLOW and "gripper -30 to 60" in line
    small["mean"][5] = -20.0
    ((verdict, line),) = verdicts(small, units)
    assert verdict is Verdict.RED and "check joint_names" in line


def test_an_average_beyond_the_stop_of_the_joint_is_of_another_zero() -> None:
    ((verdict, line),) = verdicts(changed(1, mean=140.0, max=175.0))
    assert verdict is Verdict.RED
    assert "shoulder_lift 140 (an SO-101 reaches 100)" in line


@pytest.mark.parametrize(("degrees", "units", "meant"), [(True, 1, "degrees"), (False, 0, "normalized")])
def test_the_trainings_own_word_is_held_against_units(degrees: bool, units: int, meant: str) -> None:
    quiet = {"mean": np.full(6, 20.0), "std": np.full(6, 9.0)}
    ((verdict, line),) = verdicts(quiet, Units(units), trained_in_degrees=degrees)
    assert verdict is Verdict.RED
    assert line.startswith("units: train_config.json says use_degrees: ") and f"-> units: {meant}" in line
    assert verdicts(quiet, Units(1 - units), trained_in_degrees=degrees)[0][0] is Verdict.GREEN


def test_actions_that_are_steps_between_positions_are_refused() -> None:
    steps = {"mean": np.zeros(6), "std": np.full(6, 1.5), "min": np.full(6, -12.0), "max": np.full(6, 12.0)}
    for action, said in ((steps, "shoulder_pan 24 of the state's 125"), (only_mean(steps), "shoulder_pan 6 of the")):
        findings = check_units({"observation.state": DEGREES, "action": action}, JOINTS, Units.DEGREES)
        (text,) = [found.text for found in findings if found.verdict is Verdict.RED and found.key == "units.action"]
        assert said in text and text.endswith("steps (deltas), not joint positions")
    still = {name: array * 0.01 for name, array in DEGREES.items()} | {"mean": DEGREES["mean"]}
    found = check_units({"observation.state": still, "action": still}, JOINTS, Units.DEGREES)
    assert not any("deltas" in one.text for one in found)


def test_actions_where_the_arm_never_was_are_refused() -> None:
    order = [2, 0, 1, 3, 4, 5]
    permuted = {name: array[order] for name, array in DEGREES.items()}
    permuted["mean"] = permuted["mean"] + np.array([0, 80.0, 0, 0, 0, 0])
    (found,) = check_units({"observation.state": DEGREES, "action": permuted}, JOINTS, Units.DEGREES)
    assert found.verdict is Verdict.RED
    assert "never was: shoulder_lift mean 85 (the state's min to max -96 to 30)" in found.text
    squeezed = changed(5, mean=-4.0)  # a gripper is commanded into what it holds
    assert check_units({"observation.state": DEGREES, "action": squeezed}, JOINTS, Units.DEGREES)[0].verdict is (
        Verdict.GREEN
    )


def test_other_arms_and_features_without_statistics_are_left_alone() -> None:
    assert check_units({}, JOINTS, Units.DEGREES) == []
    assert check_units({"action": {"mean": np.ones(3)}}, JOINTS, Units.DEGREES)[0].verdict is Verdict.GREEN
    pair = tuple(f"left_{joint}" for joint in JOINTS)
    assert check_units({"action": DEGREES}, pair, Units.DEGREES)[0].verdict is Verdict.GREEN


def test_one_robots_calibrated_range_says_more() -> None:
    lower, upper = np.radians(DEGREES["min"] - 5), np.radians(DEGREES["max"] + 5)
    assert check_ranges({"action": DEGREES}, JOINTS, Units.DEGREES, lower, upper) == []
    (found,) = check_ranges({"action": changed(0, max=99.0)}, JOINTS, Units.DEGREES, lower, upper)
    assert found.verdict is Verdict.YELLOW
    assert "shoulder_pan -60 to 99 (range -65 to 70)" in found.text
    (found,) = check_ranges({"action": changed(0, mean=90.0)}, JOINTS, Units.DEGREES, lower, upper)
    assert found.verdict is Verdict.RED
    assert "shoulder_pan mean 90 (range -65 to 70)" in found.text
    assert check_ranges({"action": changed(0, mean=90.0)}, JOINTS, Units.NORMALIZED, lower, upper) == []


def test_a_spec_of_an_arm_that_cannot_reach_the_average_pose_is_rejected_unless_accepted(examples) -> None:
    policy = examples.description(statistics={"action": changed(0, mean=120.0)})
    config = examples.config()
    with pytest.raises(
        SpecMismatchError, match=r"units\.action: training's average joint positions are out.* shoulder_pan"
    ):
        check_spec(examples.spec(), config.served, config.source, policy, config.choice)
    vouched = replace(config.source, accepted_findings=("units.action",))
    accepted = check_spec(examples.spec(), config.served, vouched, policy, config.choice)
    assert "units.action: training's average joint positions" in accepted.warnings[0]


def test_a_server_refuses_to_serve_what_cannot_be_and_warns_of_what_is_unlikely(examples) -> None:
    from so101_node.log_lines import LogLevel, LogLine
    from so101_policy_server.core.server import PolicyServer
    from so101_policy_server.core.status_report import PolicyState

    server = PolicyServer(examples.config())
    server.start()
    server.loaded(examples.description(statistics={"action": changed(0, max=270.0)}), 0)
    status = server.status("")
    assert status.state is PolicyState.ERROR and "units.action: min to max shoulder_pan -60 to 270" in status.message
    server = PolicyServer(examples.config())
    server.start()
    effects = server.loaded(examples.description(statistics={"action": {"mean": np.zeros(6), "std": np.ones(6)}}), 0)
    assert any(isinstance(one, LogLine) and one.level is LogLevel.WARNING and "mean 0" in one.text for one in effects)
    served = examples.served()
    (found,) = check_deployment(served, examples.description(statistics={"action": DEGREES}))
    assert found.verdict is Verdict.GREEN
