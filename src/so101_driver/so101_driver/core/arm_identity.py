# SPDX-License-Identifier: Apache-2.0
"""Whether the servos on a port are those of the calibration: six homing offsets are as good as a serial number."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from so101_node.protocol import JOINT_NAMES

from so101_driver.core import registers as reg
from so101_driver.core.calibration import MAX_RAW, Calibration, load_calibration
from so101_driver.core.errors import CalibrationError

_MANY: Final = 3
"""Homing offsets that differ when it is another arm. One differs after a servo was replaced; of two arms all six do."""


def other_arm(calibration: Calibration, eeprom: Mapping[int, bytes], known: Iterable[Path] = ()) -> str:
    """Why the servos seem to belong to another arm than `calibration`; empty where they do not.

    They do where many offsets differ, or where the servos hold just what the file of another arm says.

    `eeprom`: EEPROM_BLOCK by servo id. `known`: calibration files of arms of this computer, leaders included.
    """
    differing = [
        (name, reg.HOMING_OFFSET.decode(eeprom[joint.servo_id]), joint.homing_offset)
        for name, joint in zip(JOINT_NAMES, calibration.joints, strict=True)
        if reg.HOMING_OFFSET.decode(eeprom[joint.servo_id]) != joint.homing_offset
    ]
    if _is_held(calibration, eeprom):
        return ""
    holder = next((path for path in known if path != calibration.path and _holds(path, eeprom)), None)
    held = "" if holder is None else f"hold the calibration {_short(holder)}"
    if holder is not None and "teleoperators" not in holder.parts:
        held += f" (if that is the arm you mean, its robot_id is {holder.stem})"
    if len(differing) < _MANY:
        return f"the servos {held} and not that of {calibration.path.stem}" if held else ""
    name, found, wanted = differing[0]
    if _is_new(eeprom):
        what = "its servos are as from the factory, without any calibration"
    elif held:
        what = f"its servos {held}"
    else:
        what = "its servos hold no calibration that is known here"
    return (
        f"this looks like another arm than {calibration.path.stem}: {len(differing)} of {len(JOINT_NAMES)} homing "
        f"offsets differ ({name} has {found}, {calibration.path.name} says {wanted}), and {what}"
    )


def travel_over_seam(calibration: Calibration, eeprom: Mapping[int, bytes]) -> str:
    """Joints whose servo has a homing offset with which their calibrated travel crosses the seam; empty: none.

    `eeprom`: EEPROM_BLOCK by servo id.
    """
    found = []
    for name, joint in zip(JOINT_NAMES, calibration.joints, strict=True):
        shift = joint.homing_offset - reg.HOMING_OFFSET.decode(eeprom[joint.servo_id])
        if shift and (joint.range_min + shift < 0 or joint.range_max + shift > MAX_RAW):
            found.append(f"{name} ({joint.range_min + shift}..{joint.range_max + shift})")
    if not found:
        return ""
    return f"with the servo's homing offset the travel of {', '.join(found)} crosses the encoder's 0/{MAX_RAW} seam"


def _holds(path: Path, eeprom: Mapping[int, bytes]) -> bool:
    """Whether the servos have just the calibration of that file."""
    try:
        return _is_held(load_calibration(path, JOINT_NAMES), eeprom)
    except CalibrationError:
        return False


def _is_held(calibration: Calibration, eeprom: Mapping[int, bytes]) -> bool:
    return all(
        joint.servo_id in eeprom
        and reg.HOMING_OFFSET.decode(eeprom[joint.servo_id]) == joint.homing_offset
        and reg.MIN_POSITION_LIMIT.decode(eeprom[joint.servo_id]) == joint.range_min
        and reg.MAX_POSITION_LIMIT.decode(eeprom[joint.servo_id]) == joint.range_max
        for joint in calibration.joints
    )


def _is_new(eeprom: Mapping[int, bytes]) -> bool:
    return all(
        reg.HOMING_OFFSET.decode(block) == 0
        and reg.MIN_POSITION_LIMIT.decode(block) == 0
        and reg.MAX_POSITION_LIMIT.decode(block) == MAX_RAW
        for block in eeprom.values()
    )


def _short(path: Path) -> str:
    """For example `teleoperators/so_leader/my_leader.json`."""
    return "/".join(path.parts[-3:])
