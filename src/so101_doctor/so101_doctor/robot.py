# SPDX-License-Identifier: Apache-2.0
"""The arm and the cameras, looked at without moving anything: no register is written, no torque switched."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from so101_camera.core.frame_source import SourceSettings
from so101_camera.errors import SourceError
from so101_camera.sources.frame_sources import FRAME_SOURCES, foreign_sources
from so101_camera.sources.opencv_source import OpenCvSource
from so101_driver.configure.config_file import ConfigFileError, driver_parameters
from so101_driver.core.arm import Arm
from so101_driver.core.calibration import Calibration
from so101_driver.core.errors import CalibrationError, DriverError, OtherArmError, SettingsMismatchError
from so101_driver.core.servo_settings import Gains, gains_advice, mismatches, repair_command
from so101_driver.ros.driver_parameters import DriverParameters, gains_of
from so101_driver.servos.calibration_files import find_calibration, known_files, only_id
from so101_driver.servos.feetech_bus import FeetechBus
from so101_driver.servos.serial_ports import described_ports, serial_ports
from so101_node.entry_points import EntryPointError
from so101_node.parameters.files import ParameterFileError, read
from so101_node.parameters.node_file import nodes_called
from so101_node.protocol import JOINT_NAMES
from so101_node.threads.priority import PERMIT, may_use_realtime

from so101_doctor.check import Checks, Part

_PART = Part("robot")
_DEVICES = Path("/dev")
_READS = 30
_PATIENCE_S = 0.1  # a busy computer is no loose cable
_TICK_PRIORITY = 10
_WARM_C = 55.0


@dataclass(frozen=True, slots=True)
class RobotOptions:
    """The robot to check. `expected`: a missing arm is a fault; otherwise it is only mentioned.

    `config`: YAML file of the deployment, whose so101_driver counts where nothing is said here.
    """

    port: str = ""
    robot_id: str = ""
    calibration_dir: str = ""
    expected: bool = True
    config: Path | None = None


def check_robot(options: RobotOptions) -> Checks:
    """Port, calibration, servos, their settings, the bus; then the cameras."""
    try:
        for driver in _drivers(options):
            yield from _check_arm(driver, expected=options.expected)
    except (ConfigFileError, ParameterFileError) as error:
        yield _PART.red("deployment", f"--config: {error}")
    yield from _check_cameras(expected=options.expected)
    if may_use_realtime(_TICK_PRIORITY):
        yield _PART.green("priority", "driver and queue may run at real-time priority")
    else:
        text = "real-time priority is not permitted: a viewer or another program here can hold up commands to the arm"
        yield _PART.yellow("priority", text, PERMIT)


def _drivers(options: RobotOptions) -> list[DriverParameters]:
    """What the drivers of the arms get: one of each so101_driver of the file, which may be of a pair."""
    given = [replace(DriverParameters(), port="")]
    if options.config is not None and (nodes := nodes_called("so101_driver", read(options.config))):
        given = [driver_parameters(options.config, node) for node in nodes]
    said = {name: getattr(options, name) for name in ("port", "robot_id", "calibration_dir")}
    said = {name: value for name, value in said.items() if value}
    return [replace(driver, **said) for driver in given]


def _check_arm(driver: DriverParameters, *, expected: bool) -> Checks:
    port = driver.port or _only_port()
    if port:
        yield from _check_port(replace(driver, port=port), expected=expected)
        return
    found = serial_ports(_DEVICES)
    text = f"several: {', '.join(map(str, found))}" if found else "no arm is connected (/dev/ttyACM*, /dev/ttyUSB*)"
    remedy = "name the follower's with --port" if found else "plug in its USB cable and its power supply"
    yield _PART.red("port", text, remedy) if expected else _PART.yellow("port", text, remedy)


def _only_port() -> str:
    found = serial_ports(_DEVICES)
    return found[0].device if len(found) == 1 else ""


def _check_port(driver: DriverParameters, *, expected: bool) -> Checks:
    port = driver.port
    if not Path(port).exists():
        text, remedy = f"{port} does not exist", "plug in the arm, or name its port with --port"
        yield _PART.red("port", text, remedy) if expected else _PART.yellow("port", text, remedy)
        return
    if not os.access(port, os.R_OK | os.W_OK):
        yield _PART.red("port", f"{port}: no permission", "sudo usermod -aG dialout $USER, then log in again")
        return
    yield _PART.green("port", port)
    try:
        robot_id = driver.robot_id or only_id(driver.calibration_dir)
        file = find_calibration(robot_id, driver.calibration_dir, port)
        calibration = file.load(driver.full_turn_joints)
    except CalibrationError as error:
        yield _PART.red("calibration", str(error))
        return
    for note in (*file.notes, *calibration.notes(driver.full_turn_joints)):
        yield _PART.yellow("calibration", note)
    yield _PART.green("calibration", str(calibration.path))
    yield from _check_servos(driver, calibration)


def _check_servos(driver: DriverParameters, calibration: Calibration) -> Checks:
    port, folder, gains = driver.port, driver.calibration_dir, gains_of(driver)
    repair = repair_command(port, calibration.path.stem, folder, gains, driver.full_turn_joints)
    bus = FeetechBus(port, reply_timeout_s=_PATIENCE_S)
    known = known_files(folder)
    arm = Arm(bus, calibration, shadow=True, repair=repair, gains=gains, known=known, ports=described_ports)
    try:
        arm.open()
        arm.identify()
        yield _PART.green("servos", "six STS3215 with one firmware and a sound supply")
        found = mismatches(calibration, arm.read_eeprom(), gains)
        own_gains = gains_advice(found) if all(each.is_gain for each in found) else ""
        try:
            if own_gains:
                yield _PART.yellow("settings", f"as LeRobot writes them but for the gains; {found[0]}", own_gains)
            else:
                arm.verify_settings()
                own = f" but for the gains, {gains}, as the deployment says" if gains != Gains() else ""
                yield _PART.green("settings", f"as LeRobot writes them{own} and as the calibration says")
        except OtherArmError as error:
            yield _PART.red("settings", str(error), "name the follower's port with --port")
        except SettingsMismatchError as error:
            yield _PART.red("settings", str(error))
        for note in calibration.at_seam(arm.read().positions):
            yield _PART.yellow("calibration", note)
        yield from _check_reads(arm)
    except DriverError as error:
        yield _PART.red("servos", str(error))
    finally:
        arm.close()


def _check_reads(arm: Arm) -> Checks:
    readings = [arm.read() for _ in range(_READS)]
    lost = sum(not reading.complete for reading in readings)
    retried = sum(reading.retried for reading in readings)
    text = f"{_READS - lost} of {_READS} reads complete, {retried} replies requested twice"
    if lost:
        yield _PART.red("bus", text, "a loose cable, or another program on the port")
    elif retried:
        yield _PART.yellow("bus", text, "a loose cable, or noise")
    else:
        yield _PART.green("bus", text)
    last = readings[-1]
    temperature = float(np.nanmax(last.temperatures)) if last.answered.any() else float("nan")
    hottest = JOINT_NAMES[int(np.nanargmax(last.temperatures))] if last.answered.any() else "-"
    text = f"{temperature:.0f} deg C at most ({hottest}), {np.nanmin(last.voltages):.1f} V at least"
    if temperature >= DriverParameters().max_temperature_c:
        yield _PART.red("temperature", text, "let it cool down")
    elif temperature >= _WARM_C:
        yield _PART.yellow("temperature", text, "let it rest")
    else:
        yield _PART.green("temperature", text)


def _check_cameras(*, expected: bool) -> Checks:
    devices = sorted(str(path) for path in _DEVICES.glob("video*"))
    if not devices:
        text, remedy = "no /dev/video* device", "plug the cameras in, each at its own USB controller where there is one"
        yield _PART.red("cameras", text, remedy) if expected else _PART.yellow("cameras", text, remedy)
    working = 0
    for device in devices:
        source = OpenCvSource(SourceSettings(device=device))
        try:
            source.open()
            source.read()
        except SourceError as error:
            # Every camera has a second device node, for metadata: it opens nowhere and is no fault.
            yield _PART.yellow("camera", str(error))
            continue
        finally:
            source.close()
        working += 1
        kind = "JPEG from the camera" if source.passes_jpeg else "raw images, encoded here"
        yield _PART.green("camera", f"{device}: {kind}")
    yield from _check_frame_sources()
    if devices and not working:
        yield _PART.red("cameras", "none of the devices gives a frame", "close other programs that use them")


def _check_frame_sources() -> Checks:
    """Those of other packages: whether they can be imported. What they need beside that only their camera shows."""
    for name in foreign_sources():
        try:
            FRAME_SOURCES.load(name)
        except EntryPointError as error:
            yield _PART.yellow("frame sources", str(error), "repair or uninstall the package")
        else:
            yield _PART.green("frame sources", f"{name} is installed: frame_source: {name} below a camera's name")
