# SPDX-License-Identifier: Apache-2.0
"""Can a policy's statistics be of this arm in these units? Free of LeRobot and ROS.

Nothing in a LeRobot checkpoint says which units its numbers have; its statistics are the only witness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from so101_node.protocol import FloatArray
from so101_node.protocol.units import Units, is_gripper

from so101_policy_server.core.preflight import Finding, Verdict, green, implausible, yellow

JOINT_FEATURES: Final = ("observation.state", "action")

TURN_DEG: Final = 185.0
"""Degrees from the middle of a calibrated range: the encoder ends at 180, and 5 for one that is off."""

SCALE_END: Final = 101.0
"""LeRobot clamps -100..100 and 0..100; 1 for rounding."""

GRIPPER_FAR: Final = (-105.0, 150.0)
GRIPPER_MEAN: Final = (-5.0, 105.0)
GRIPPER_CLOSED: Final = 1.01
"""Percent: a gripper that never opened further. More likely its numbers are 0..1."""

RADIANS_END: Final = 3.3
"""Just above pi: with all of the arm within it, the numbers are radians or -1..1, whatever those of the gripper are."""

SO101_REACH_DEG: Final[Mapping[str, float]] = {
    "shoulder_pan": 110.0,
    "shoulder_lift": 100.0,
    "elbow_flex": 97.0,
    "wrist_flex": 95.0,
    "wrist_roll": 157.0,
}
"""From the middle of the range to the stop, after the arm's URDF."""

CALIBRATION_MARGIN_DEG: Final = 25.0
"""How far hand-made calibrations lie from the URDF, and a leader's range from its follower's."""

RANGE_MARGIN_DEG: Final = 15.0
"""How far joint positions in training may lie outside the calibrated range of the arm that is served."""


MOVED: Final = 5.0
"""Degrees or percent that a joint must have moved in training to be told apart from one that stood."""

STEP_RATIO: Final = 0.3
"""Joint positions that are commanded extend as far as those that are measured; at 30 Hz the steps between them over
a tenth of that or less."""

MOTION_MARGIN: Final = 25.0
"""Degrees or percent that the average action may lie outside the state's range: a leader is calibrated by hand too."""


@dataclass(frozen=True, slots=True)
class _Extent:
    """What training saw of each joint; `low` and `high` are of samples where `of_samples`, else mean -+ 2 std."""

    low: FloatArray
    high: FloatArray
    mean: FloatArray
    names: str
    of_samples: bool


def check_units(
    statistics: Mapping[str, Mapping[str, FloatArray]],
    joint_names: Sequence[str],
    units: Units,
    trained_in_degrees: bool | None = None,
) -> list[Finding]:
    """Hold the statistics of state and action against what the units allow.

    Args:
        statistics: by feature key, then name; only features that are in joint positions.
        joint_names: order of their columns.
        units: what the policy is to be served as.
        trained_in_degrees: LeRobot's use_degrees where the training says it.
    """
    findings = []
    if trained_in_degrees is not None and trained_in_degrees != (units is Units.DEGREES):
        meant = "degrees" if trained_in_degrees else "normalized"
        said = str(trained_in_degrees).lower()
        text = f"train_config.json says use_degrees: {said}, the policy is served as units: {units.name.lower()}"
        findings.append(implausible("units", text, f"units: {meant}, of policy_server and action_queue"))
    for key in JOINT_FEATURES:
        extent = _extent(statistics.get(key, {}), len(joint_names))
        if extent is not None:
            findings += _check_one(f"units.{key}", extent, joint_names, units)
    if not any(finding.verdict is Verdict.RED for finding in findings):
        findings += _check_one_motion(statistics, joint_names)
    if not findings and any(key in statistics for key in JOINT_FEATURES):
        findings.append(green("units", f"the statistics can be of an arm in {units.name.lower()}"))
    return findings


def check_ranges(
    statistics: Mapping[str, Mapping[str, FloatArray]],
    joint_names: Sequence[str],
    units: Units,
    range_lower: Sequence[float],
    range_upper: Sequence[float],
) -> list[Finding]:
    """Hold the statistics against one robot's calibrated ranges, rad from the middle of each; degrees only."""
    lower, upper = np.degrees(range_lower), np.degrees(range_upper)
    if units is not Units.DEGREES or len(lower) != len(joint_names) or len(upper) != len(joint_names):
        return []
    arm = np.array([not is_gripper(joint) for joint in joint_names])
    findings = []
    for key in JOINT_FEATURES:
        extent = _extent(statistics.get(key, {}), len(joint_names))
        if extent is None:
            continue
        name, margin = f"units.{key}", RANGE_MARGIN_DEG
        remedy = "check units and the arm's calibration: the policy was trained with other zeros, or another arm"
        mean_out = arm & ((extent.mean < lower - margin) | (extent.mean > upper + margin))
        out = arm & ((extent.low < lower - margin) | (extent.high > upper + margin))
        if mean_out.any():
            words = _each(joint_names, mean_out, [f"mean {value:.0f}" for value in extent.mean], lower, upper)
            text = f"training's average joint positions are outside the calibrated range: {words}"
            findings.append(implausible(name, text, remedy))
        elif extent.of_samples and out.any():
            spans = [f"{a:.0f} to {b:.0f}" for a, b in zip(extent.low, extent.high, strict=True)]
            words = _each(joint_names, out, spans, lower, upper)
            findings.append(yellow(name, f"training went outside the calibrated range: {words}", remedy))
    return findings


def _check_one(key: str, extent: _Extent, joint_names: Sequence[str], units: Units) -> list[Finding]:
    gripper = np.array([is_gripper(joint) for joint in joint_names])
    other = "normalized" if units is Units.DEGREES else "degrees"
    span = f"{extent.names} {_joints(joint_names, extent.low, extent.high)}"
    arm = ~gripper if (~gripper).any() else gripper
    if max(np.abs(extent.low[arm]).max(), np.abs(extent.high[arm]).max()) <= RADIANS_END:
        if not extent.of_samples and not extent.mean.any():
            return [yellow(key, f"mean 0 and small std: the statistics are of no arm ({span})")]
        text = f"every joint of the arm is within {RADIANS_END:g} ({span}): radians or -1..1, not {units.name.lower()}"
        return [implausible(key, text, "convert the dataset to LeRobot's units and train again")]
    end, unit = (TURN_DEG, "degrees") if units is Units.DEGREES else (SCALE_END, "-100..100")
    low, high = (extent.low, extent.high) if extent.of_samples else (extent.mean, extent.mean)
    beyond = ~gripper & ((low < -end) | (high > end))
    if beyond.any():
        words = _joints(_some(joint_names, beyond), extent.low[beyond], extent.high[beyond])
        text = f"{extent.names} {words} cannot be {unit}"
        fits_other = bool((np.abs(low[~gripper]) <= TURN_DEG).all() and (np.abs(high[~gripper]) <= TURN_DEG).all())
        remedy = f"units: {other}, of policy_server and action_queue" if fits_other else "train in LeRobot's units"
        return [implausible(key, text, remedy)]
    return [
        *_check_gripper(key, extent, joint_names, gripper),
        *(_check_degrees(key, extent, joint_names, gripper) if units is Units.DEGREES else []),
    ]


def _check_one_motion(statistics: Mapping[str, Mapping[str, FloatArray]], joint_names: Sequence[str]) -> list[Finding]:
    """Hold the action against the state: joint positions that were commanded are near those that were measured.

    Steps from one position to the next (deltas) are not, nor are columns in another order.
    """
    state, action = (_extent(statistics.get(key, {}), len(joint_names)) for key in JOINT_FEATURES)
    if state is None or action is None:
        return []
    arm = np.array([not is_gripper(joint) for joint in joint_names])
    width, given = state.high - state.low, action.high - action.low
    moved = arm & (width > MOVED)
    remedy = "train with actions that are joint positions, in the order and units of the state"
    if moved.sum() > 1 and (given[moved] < STEP_RATIO * width[moved]).all():
        words = ", ".join(
            f"{joint_names[index]} {given[index]:.3g} of the state's {width[index]:.3g}"
            for index in np.flatnonzero(moved)
        )
        text = f"in training the action extends over {words}: these are steps (deltas), not joint positions"
        return [implausible("units.action", text, remedy)]
    low, high = state.low - MOTION_MARGIN, state.high + MOTION_MARGIN
    out = arm & ((action.mean < low) | (action.mean > high))
    if not out.any():
        return []
    words = ", ".join(
        f"{joint_names[index]} mean {action.mean[index]:.0f} (the state's {state.names} {state.low[index]:.0f} to "
        f"{state.high[index]:.0f})"
        for index in np.flatnonzero(out)
    )
    text = f"training's average action is where the arm never was: {words}"
    return [implausible("units.action", text, remedy)]


def _check_gripper(
    key: str, extent: _Extent, joint_names: Sequence[str], gripper: npt.NDArray[np.bool_]
) -> list[Finding]:
    low, high, mean = extent.low[gripper], extent.high[gripper], extent.mean[gripper]
    names = _some(joint_names, gripper)
    if not len(names):
        return []
    far = bool((mean < GRIPPER_MEAN[0]).any() or (mean > GRIPPER_MEAN[1]).any())
    outside = False
    if extent.of_samples:
        far = far or bool((low < GRIPPER_FAR[0]).any() or (high > GRIPPER_FAR[1]).any())
        outside = bool((low < -1.0).any() or (high > SCALE_END).any())
    text = f"{extent.names} {_joints(names, low, high)} (mean {mean[0]:.4g}); LeRobot's gripper is 0..100"
    if far:
        return [implausible(key, text, "check joint_names: the order of the policy's columns")]
    if extent.of_samples and bool((high <= GRIPPER_CLOSED).any()):
        text += ", so it never opened in training, or its numbers are 0..1"
        return [yellow(key, text, "see what the dataset's gripper says when it is open: train with 0..100")]
    return [yellow(key, text, "check joint_names: the order of the policy's columns")] if outside else []


def _check_degrees(
    key: str, extent: _Extent, joint_names: Sequence[str], gripper: npt.NDArray[np.bool_]
) -> list[Finding]:
    findings = []
    if extent.of_samples:
        ends = ~gripper & (np.isclose(extent.low, -100.0, atol=1e-3) | np.isclose(extent.high, 100.0, atol=1e-3))
        within = bool((np.abs(extent.low[~gripper]) <= SCALE_END).all() and (extent.high[~gripper] <= SCALE_END).all())
        if ends.any() and within:
            words = _joints(_some(joint_names, ends), extent.low[ends], extent.high[ends])
            text = f"{extent.names} {words} end at 100 exactly, as LeRobot's -100..100 do"
            findings.append(
                yellow(key, text, "if it was trained so: units: normalized, of policy_server and action_queue")
            )
    reach = np.array([SO101_REACH_DEG.get(joint, np.inf) for joint in joint_names]) + CALIBRATION_MARGIN_DEG
    out = ~gripper & (np.abs(extent.mean) > reach)
    if out.any():
        words = ", ".join(
            f"{joint} {extent.mean[index]:.0f} (an SO-101 reaches {reach[index] - CALIBRATION_MARGIN_DEG:.0f})"
            for index, joint in enumerate(joint_names)
            if out[index]
        )
        remedy = "calibrations before LeRobot 0.3 have other zeros: train with data of a new calibration"
        findings.append(implausible(key, f"mean of {words} is beyond the joint's stop in degrees", remedy))
    return findings


def _extent(statistics: Mapping[str, FloatArray], joints: int) -> _Extent | None:
    values = {name: np.ravel(value) for name, value in statistics.items() if np.size(value) == joints}
    values = {name: value for name, value in values.items() if np.isfinite(value).all()}
    for low, high in (("min", "max"), ("q01", "q99"), ("q10", "q90")):
        if low in values and high in values:
            mean = values.get("mean", (values[low] + values[high]) / 2)
            return _Extent(values[low], values[high], mean, f"{low} to {high}", of_samples=True)
    if "mean" in values and "std" in values:
        mean, spread = values["mean"], 2 * values["std"]
        return _Extent(mean - spread, mean + spread, mean, "mean -+ 2 std", of_samples=False)
    return None


def _some(names: Sequence[str], chosen: npt.NDArray[np.bool_]) -> list[str]:
    return [name for name, take in zip(names, chosen, strict=True) if take]


def _joints(names: Sequence[str], low: FloatArray, high: FloatArray) -> str:
    return ", ".join(f"{name} {a:.4g} to {b:.4g}" for name, a, b in zip(names, low, high, strict=True))


def _each(
    names: Sequence[str], chosen: npt.NDArray[np.bool_], words: Sequence[str], lower: FloatArray, upper: FloatArray
) -> str:
    return ", ".join(
        f"{name} {words[index]} (range {lower[index]:.0f} to {upper[index]:.0f})"
        for index, name in enumerate(names)
        if chosen[index]
    )
