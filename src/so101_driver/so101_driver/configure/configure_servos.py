# SPDX-License-Identifier: Apache-2.0
"""configure_servos: compare the servos' settings with what LeRobot writes, and repair them when asked.

Without an option that writes, it only reports. Whoever lets it write names the arm (--arm-id, or typed when asked),
since a leader's servos look like a follower's; what is written over is kept in a file first, which --restore writes
back. Nothing is written while a servo has its torque on. --release needs no calibration and no healthy arm: whichever
servos answer let go.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from so101_node.one_line_parser import OneLineParser, path
from so101_node.parameters import ParameterError, rules
from so101_node.protocol import JOINT_NAMES

from so101_driver.configure import servo_backup
from so101_driver.configure.config_file import NODE, ConfigFileError, driver_parameters
from so101_driver.configure.servo_backup import Write
from so101_driver.configure.servo_writer import Order, perform
from so101_driver.core import registers as reg
from so101_driver.core.arm import Arm
from so101_driver.core.arm_identity import other_arm
from so101_driver.core.calibration import Calibration
from so101_driver.core.errors import CalibrationError, DriverError, NoReplyError, ServoRefusedError
from so101_driver.core.servo_settings import (
    GAIN_PARAMETERS,
    MAXIMUM_ACCELERATION,
    MAXIMUM_ACCELERATION_VALUE,
    Gains,
    Mismatch,
    are_gains_chosen,
    gains_advice,
    mismatches,
)
from so101_driver.ros.driver_parameters import DriverParameters
from so101_driver.servos.calibration_files import find_calibration, known_files
from so101_driver.servos.feetech_bus import FeetechBus
from so101_driver.servos.serial_ports import described_ports

_PORT: Final = "/dev/ttyACM0"
_PATIENCE_S: Final = 0.1  # nothing moves meanwhile, and a busy computer is no loose cable


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exit code 0: nothing differs (any more); 1: differences or an error."""
    options = _parser().parse_args(arguments)
    try:
        _complete(options)
        code = _run(options)
    except DriverError as error:
        print(f"configure_servos: {error}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print("configure_servos: stopped; without an option it shows what the servos hold now", file=sys.stderr)
        code = 130
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="configure_servos", description=__doc__)
    parser.add_argument("--port", default="", help=f"serial port of the arm; default: {_PORT}")
    parser.add_argument("--robot-id", default="", help="id given to lerobot-calibrate")
    parser.add_argument("--calibration-dir", default="", help="folder of <robot-id>.json; empty: LeRobot's own")
    parser.add_argument(
        "--full-turn-joint", action="append", choices=JOINT_NAMES, help="as the driver's full_turn_joints; repeatable"
    )
    parser.add_argument(
        "--config", type=path, metavar="YAML", help="parameter file of the driver: port, robot_id, gains, ... from it"
    )
    parser.add_argument(
        "--node", default=NODE, help=f"node whose section of the parameter file is read; default: {NODE}"
    )
    for name in GAIN_PARAMETERS.values():
        default = getattr(Gains(), name)
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=int, default=None, metavar="N",
            help=f"the driver's parameter {name}; default: {default}, LeRobot's",
        )  # fmt: skip
    parser.add_argument("--write-settings", action="store_true", help="write LeRobot's settings into the EEPROM")
    parser.add_argument(
        "--write-calibration", action="store_true", help="write homing offsets and limits of the file into the EEPROM"
    )
    parser.add_argument(
        "--arm-id", default="", metavar="ID", help="id of the arm on this port, to confirm a write without being asked"
    )
    parser.add_argument(
        "--backup-dir", type=path, default=None, metavar="DIR",
        help="folder for the backup that is made before a write; default: so101/servo_backups below $XDG_DATA_HOME, or "
        "below ~/.local/share",
    )  # fmt: skip
    parser.add_argument("--restore", type=path, metavar="FILE", help="write the registers of a backup back")
    parser.add_argument(
        "--release", action="store_true", help="switch torque off first: a raised arm falls; needs no id"
    )
    return parser


def _complete(options: argparse.Namespace) -> None:
    """Fill in from the driver's parameter file, or with its defaults, what the command line does not say."""
    node = "/" + options.node.strip("/")
    given = DriverParameters() if options.config is None else driver_parameters(options.config, node)
    if options.config is not None:
        options.port = options.port or given.port
    options.robot_id = options.robot_id or given.robot_id
    options.calibration_dir = options.calibration_dir or given.calibration_dir
    options.full_turn_joint = options.full_turn_joint or given.full_turn_joints
    for name in GAIN_PARAMETERS.values():
        if getattr(options, name) is None:
            setattr(options, name, getattr(given, name))
        try:
            rules(DriverParameters)[name].check(name, getattr(options, name))
        except ParameterError as error:
            raise ConfigFileError(str(error)) from error
    options.gains = Gains(**{name: getattr(options, name) for name in GAIN_PARAMETERS.values()})


def _run(options: argparse.Namespace) -> int:
    if options.restore is not None:
        return _restore(options)
    options.port = options.port or _PORT
    bus = FeetechBus(options.port, reply_timeout_s=_PATIENCE_S)
    if options.release:
        released = _release(bus, _joints_to_release(options))
        if not (options.robot_id or options.write_settings or options.write_calibration):
            return 0 if released else 1
    file = find_calibration(options.robot_id, options.calibration_dir, options.port)
    calibration = file.load(options.full_turn_joint)
    for note in (*file.notes, *calibration.notes(options.full_turn_joint)):
        print(f"note: {note}", file=sys.stderr)
    arm = Arm(bus, calibration)
    arm.open()
    try:
        arm.identify()
        return _compare_and_write(options, bus, arm, calibration)
    finally:
        arm.close()


def _compare_and_write(options: argparse.Namespace, bus: FeetechBus, arm: Arm, calibration: Calibration) -> int:
    eeprom = arm.read_eeprom()
    found = mismatches(calibration, eeprom, options.gains)
    other = other_arm(calibration, eeprom, known_files(options.calibration_dir))
    wanted = [m for m in found if (options.write_calibration if m.from_calibration else options.write_settings)]
    writes = [Write(m.servo_id, m.joint, m.register, m.found, m.wanted) for m in wanted]
    now = servo_backup.read_registers(bus, calibration.servo_ids)
    if options.write_settings:
        writes += _accelerations(calibration, now)
    if writes:
        if other:
            print(f"careful: {other}; {described_ports()}", file=sys.stderr)
        if options.write_settings and are_gains_chosen(found):
            print(f"careful: gains are written over; {gains_advice(found)}", file=sys.stderr)
        perform(_order(options), bus, dict(zip(calibration.servo_ids, JOINT_NAMES, strict=True)), writes, now)
        eeprom = arm.read_eeprom()
        found = mismatches(calibration, eeprom, options.gains)
        other = other_arm(calibration, eeprom, known_files(options.calibration_dir))
    return _report(found, calibration, other, options)


def _accelerations(calibration: Calibration, now: Mapping[int, Mapping[str, int]]) -> list[Write]:
    """LeRobot's Maximum_Acceleration, where it differs."""
    return [
        Write(servo_id, joint, MAXIMUM_ACCELERATION, found, MAXIMUM_ACCELERATION_VALUE)
        for servo_id, joint in zip(calibration.servo_ids, JOINT_NAMES, strict=True)
        if (found := now[servo_id][MAXIMUM_ACCELERATION.name]) != MAXIMUM_ACCELERATION_VALUE
    ]


def _restore(options: argparse.Namespace) -> int:
    """Write the registers of a backup back: without a question where the servos are as its command left them."""
    backup = servo_backup.load(options.restore)
    if options.write_settings or options.write_calibration:
        raise ConfigFileError("--restore writes the registers of its file: leave --write-... away, or --restore")
    if options.robot_id not in ("", backup.robot_id):
        raise ConfigFileError(f"{options.restore} is of {backup.robot_id}, not of {options.robot_id}: nothing written")
    options.port = options.port or backup.port
    options.robot_id = backup.robot_id
    bus = FeetechBus(options.port, reply_timeout_s=_PATIENCE_S)
    if options.release:
        _release(bus, backup.joints)
    bus.open()
    try:
        now = servo_backup.read_registers(bus, list(backup.before))
        writes = backup.differences(now)
        if writes:
            if stranger := backup.stranger(now):
                print(f"careful: these servos are not as {options.restore} left them: {stranger}", file=sys.stderr)
            perform(_order(options), bus, backup.joints, writes, now, known=not stranger)
            now = servo_backup.read_registers(bus, list(backup.before))
        if left := backup.differences(now):
            raise ServoRefusedError(f"not restored: {left[0].joint} {left[0].register.name} is {left[0].before}")
    finally:
        bus.close()
    print(f"all servos hold the registers of {options.restore}")
    return 0


def _order(options: argparse.Namespace) -> Order:
    return Order(
        port=options.port,
        robot_id=options.robot_id,
        arm_id=options.arm_id,
        backup_folder=options.backup_dir or servo_backup.default_folder(),
    )


def _joints_to_release(options: argparse.Namespace) -> Mapping[int, str]:
    """Those of the calibration if there is one; it must not be needed for letting go."""
    try:
        file = find_calibration(options.robot_id, options.calibration_dir, options.port)
        return dict(zip(file.load(options.full_turn_joint).servo_ids, JOINT_NAMES, strict=True))
    except CalibrationError:
        return dict(enumerate(JOINT_NAMES, start=1))  # LeRobot's ids


def _release(bus: FeetechBus, joints: Mapping[int, str]) -> bool:
    """Switch off the torque of all servos that answer and name the others. Returns whether all did."""
    silent: list[str] = []
    bus.open()
    try:
        for servo_id, name in joints.items():
            try:
                bus.write_register(servo_id, reg.TORQUE_ENABLE, 0)
            except NoReplyError:
                silent.append(f"{name} (id {servo_id})")
    finally:
        bus.close()
    if silent:
        names = ", ".join(silent)
        print(f"torque may still be on: no reply from {names}; try again, or cut the power", file=sys.stderr)
    if len(silent) < len(joints):
        print("torque is off" + (" at the others" if silent else ""))
    return not silent


def _report(found: Sequence[Mismatch], calibration: Calibration, other: str, options: argparse.Namespace) -> int:
    settings = f"LeRobot's settings{'' if options.gains == Gains() else f' with {options.gains}'}"
    for mismatch in found:
        print(mismatch)
    if not found:
        print(f"all servos agree with {settings} and {calibration.path}")
        return 0
    if other:
        print(f"{other}; {described_ports()}")
        arm_id = calibration.path.stem
        print(
            f"name the port of {arm_id} with --port; only if the arm on {options.port} is {arm_id} all the same does "
            "--write-calibration belong here: it asks for the arm's id and keeps a backup"
        )
        return 1
    if any(mismatch.from_calibration for mismatch in found):
        print("to write the calibration into the servos: --write-calibration (or run lerobot-calibrate again)")
    if any(not mismatch.from_calibration for mismatch in found):
        print(f"to write {settings}: --write-settings")
    if advice := gains_advice(found):
        print(f"{advice}; --write-settings writes over them")
    return 1


if __name__ == "__main__":
    main()
