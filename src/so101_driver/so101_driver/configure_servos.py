"""configure_servos: compare the servos' settings with what LeRobot writes, and repair them when asked.

Without an option that writes, it only reports. Nothing is written while a servo has its torque on. --release needs no
calibration and no healthy arm: whichever servos answer let go.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from so101_driver import registers as reg
from so101_driver.arm import Arm
from so101_driver.calibration import JOINT_NAMES, Calibration, find_calibration, load_calibration
from so101_driver.errors import CalibrationError, DriverError, NoAnswerError, ServoRefusedError
from so101_driver.feetech_bus import FeetechBus
from so101_driver.servo_settings import MAXIMUM_ACCELERATION, Mismatch, mismatches

_LEROBOT_IDS: Final = tuple(range(1, len(JOINT_NAMES) + 1))


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exit code 0: nothing differs (any more); 1: differences or an error."""
    options = _parser().parse_args(arguments)
    try:
        code = _run(options)
    except DriverError as error:
        print(f"configure_servos: {error}", file=sys.stderr)
        code = 1
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="configure_servos", description=__doc__)
    parser.add_argument("--port", default="/dev/ttyACM0", help="serial port of the arm")
    parser.add_argument("--robot-id", default="", help="id given to lerobot-calibrate")
    parser.add_argument("--calibration-dir", default="", help="folder of <robot-id>.json; empty: LeRobot's own place")
    parser.add_argument("--write-settings", action="store_true", help="write LeRobot's settings into the EEPROM")
    parser.add_argument(
        "--write-calibration", action="store_true", help="write homing offsets and limits of the file into the EEPROM"
    )
    parser.add_argument(
        "--release", action="store_true", help="switch torque off first: a raised arm falls; needs no id"
    )
    return parser


def _run(options: argparse.Namespace) -> int:
    bus = FeetechBus(options.port, reply_timeout_s=0.02)
    if options.release:
        released = _release(bus, _ids_to_release(options))
        if not (options.robot_id or options.write_settings or options.write_calibration):
            return 0 if released else 1
    calibration = load_calibration(find_calibration(options.robot_id, options.calibration_dir, options.port))
    arm = Arm(bus, calibration)
    arm.open()
    try:
        arm.identify()
        found = mismatches(calibration, arm.read_eeprom())
        wanted = [m for m in found if (options.write_calibration if m.from_calibration else options.write_settings)]
        if wanted or options.write_settings:
            _write(bus, arm, calibration, wanted, options.write_settings)
            found = mismatches(calibration, arm.read_eeprom())
        return _report(found, calibration)
    finally:
        arm.close()


def _ids_to_release(options: argparse.Namespace) -> Sequence[int]:
    """Those of the calibration if there is one; it must not be needed for letting go."""
    try:
        return load_calibration(find_calibration(options.robot_id, options.calibration_dir, options.port)).servo_ids
    except CalibrationError:
        return _LEROBOT_IDS


def _release(bus: FeetechBus, servo_ids: Sequence[int]) -> bool:
    """Switch off the torque of all servos that answer and name the others. Returns whether all did."""
    silent: list[str] = []
    bus.open()
    try:
        for name, servo_id in zip(JOINT_NAMES, servo_ids, strict=True):
            try:
                bus.write_register(servo_id, reg.TORQUE_ENABLE, 0)
            except NoAnswerError:
                silent.append(f"{name} (id {servo_id})")
    finally:
        bus.close()
    if silent:
        names = ", ".join(silent)
        print(f"torque may still be on: no answer from {names}; try again, or cut the power", file=sys.stderr)
    if len(silent) < len(servo_ids):
        print("torque is off" + (" at the others" if silent else ""))
    return not silent


def _write(bus: FeetechBus, arm: Arm, calibration: Calibration, wanted: Sequence[Mismatch], settings: bool) -> None:
    """Write while unlocked, so that it lasts, and lock again."""
    if arm.torque().any():
        raise ServoRefusedError("torque is on: nothing is written; support the arm and add --release")
    for servo_id in calibration.servo_ids:
        bus.write_register(servo_id, reg.LOCK, 0)
        try:
            for mismatch in wanted:
                if mismatch.servo_id == servo_id:
                    bus.write_register(servo_id, mismatch.register, mismatch.wanted)
                    print(f"{mismatch.joint} {mismatch.register.name}: {mismatch.found} -> {mismatch.wanted}")
            if settings:
                bus.write_register(servo_id, MAXIMUM_ACCELERATION, 254)
        finally:
            bus.write_register(servo_id, reg.LOCK, 1)


def _report(found: Sequence[Mismatch], calibration: Calibration) -> int:
    for mismatch in found:
        print(mismatch)
    if not found:
        print(f"all servos agree with LeRobot and {calibration.path}")
        return 0
    if any(mismatch.from_calibration for mismatch in found):
        print("to write the calibration into the servos: --write-calibration (or run lerobot-calibrate again)")
    if any(not mismatch.from_calibration for mismatch in found):
        print("to write LeRobot's settings: --write-settings")
    return 1


if __name__ == "__main__":
    main()
