# SPDX-License-Identifier: Apache-2.0
"""What the safety gate is given: the driver's parameters, held against the ranges of the arm's calibration."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from so101_node.parameters import pick
from so101_node.protocol import JOINT_NAMES, FloatArray

from so101_driver.core.calibration import Calibration
from so101_driver.core.errors import CalibrationError, ParkPositionsError
from so101_driver.core.fault_monitor import FaultLimits
from so101_driver.core.gate_values import GateConfig
from so101_driver.core.motion_limits import MotionLimits
from so101_driver.ros.driver_parameters import DriverParameters

PERIOD_S: Final = 1.0 / 60.0


@dataclass(frozen=True, slots=True)
class ParkTarget:
    """Where ~/park goes: positions, (6,), rad, and lines for people where these are not quite park_positions."""

    positions: FloatArray
    notes: tuple[str, ...] = ()


def motion_limits(p: DriverParameters, calibration: Calibration) -> MotionLimits:
    """Limits of what may be commanded. Raises CalibrationError where the margin leaves a joint no room."""
    lower = np.maximum(calibration.lower_rad() + p.limit_margin_rad, calibration.soft_lower_rad())
    upper = np.minimum(calibration.upper_rad() - p.limit_margin_rad, calibration.soft_upper_rad())
    for name, low, high in zip(JOINT_NAMES, lower, upper, strict=True):
        if low >= high:
            raise CalibrationError(
                f"limit_margin_rad = {p.limit_margin_rad:g}: leaves {name} no room within its calibrated range of "
                f"{high - low + 2 * p.limit_margin_rad:.2f} rad"
            )
    return MotionLimits(
        lower=lower,
        upper=upper,
        max_speed=np.array(p.max_joint_speed_rad_s),
        max_acceleration=np.array(p.max_joint_acceleration_rad_s2),
    )


def park_target(p: DriverParameters, calibration: Calibration, limits: MotionLimits) -> ParkTarget:
    """The joint positions of ~/park. A value in the margin between range and limits is moved to the limit, with a note.

    Raises:
        ParkPositionsError: a value lies beyond the joint's calibrated range, where the arm cannot go.
    """
    given = np.array(p.park_positions)
    beyond = np.flatnonzero((given < calibration.lower_rad()) | (given > calibration.upper_rad()))
    if beyond.size:
        wrong = "; ".join(
            f"{JOINT_NAMES[joint]} is {given[joint]:g}, its range {_low(limits, joint):g} to {_high(limits, joint):g}"
            for joint in beyond
        )
        reachable = _typed(np.clip(given, limits.lower, limits.upper), limits)
        raise ParkPositionsError(
            f"park_positions = {_list(given)}: {wrong} rad (calibration {calibration.path}); write positions that the "
            f"arm can take; the nearest is park_positions: {_list(reachable)}"
        )
    positions = np.clip(given, limits.lower, limits.upper)
    moved = np.flatnonzero(positions != given)
    notes = tuple(
        f"park_positions: {JOINT_NAMES[joint]} parks at {positions[joint]:.3f} rad instead of {given[joint]:g}, which "
        f"is in the margin that commands keep free at the end of its range (limit_margin_rad {p.limit_margin_rad:g})"
        for joint in moved
    )
    return ParkTarget(positions, notes)


def gate_config(p: DriverParameters, calibration: Calibration) -> GateConfig:
    """Everything that the gate is told. Raises as `motion_limits` and `park_target`."""
    limits = motion_limits(p, calibration)
    return pick(
        GateConfig,
        p,
        limits=limits,
        park_positions=park_target(p, calibration, limits).positions,
        faults=pick(FaultLimits, p),
        period_s=PERIOD_S,
    )


def _low(limits: MotionLimits, joint: int) -> float:
    """Lower limit in a thousandth of a rad, rounded inwards: what is shown can be typed."""
    return math.ceil(float(limits.lower[joint]) * 1000) / 1000


def _high(limits: MotionLimits, joint: int) -> float:
    return math.floor(float(limits.upper[joint]) * 1000) / 1000


def _typed(positions: FloatArray, limits: MotionLimits) -> list[float]:
    return [min(max(float(value), _low(limits, joint)), _high(limits, joint)) for joint, value in enumerate(positions)]


def _list(values: Sequence[float] | FloatArray) -> str:
    return "[" + ", ".join(repr(float(value)) for value in values) + "]"
