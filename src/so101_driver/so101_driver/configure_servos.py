"""configure_servos: compare the servos' settings with what LeRobot writes, and repair them when asked.

Without an option that writes, it only reports. Nothing is written while a servo has its torque on.
"""

import argparse
import sys
from collections.abc import Sequence

from so101_driver import registers as reg
from so101_driver.arm import Arm
from so101_driver.calibration import Calibration, find_calibration, load_calibration
from so101_driver.errors import DriverError, ServoRefusedError
from so101_driver.feetech_bus import FeetechBus
from so101_driver.servo_settings import MAXIMUM_ACCELERATION, Mismatch, mismatches


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
    parser.add_argument("--release", action="store_true", help="switch torque off first: a raised arm falls")
    return parser


def _run(options: argparse.Namespace) -> int:
    calibration = load_calibration(find_calibration(options.robot_id, options.calibration_dir, options.port))
    bus = FeetechBus(options.port, reply_timeout_s=0.02)
    arm = Arm(bus, calibration)
    arm.open()
    try:
        arm.identify()
        if options.release:
            arm.torque_off()
            print("torque is off")
        found = mismatches(calibration, arm.read_eeprom())
        wanted = [m for m in found if (options.write_calibration if m.from_calibration else options.write_settings)]
        if wanted or options.write_settings:
            _write(bus, arm, calibration, wanted, options.write_settings)
            found = mismatches(calibration, arm.read_eeprom())
        return _report(found, calibration)
    finally:
        arm.close()


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
