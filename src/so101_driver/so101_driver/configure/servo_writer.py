# SPDX-License-Identifier: Apache-2.0
"""Writing into servos: nothing before the arm was named, torque is off everywhere and a backup is kept."""

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from so101_driver.configure import servo_backup
from so101_driver.configure.servo_backup import Backup, Write
from so101_driver.core import registers as reg
from so101_driver.core.errors import DriverError, NotConfirmedError, ServoRefusedError
from so101_driver.core.servo_bus import ServoBus
from so101_driver.core.torque_on import has_torque
from so101_driver.servos.serial_ports import described_ports, serial_ports

COMMAND: Final = "ros2 run so101_driver configure_servos"


@dataclass(frozen=True, slots=True)
class Order:
    """What is written where. `robot_id`: the arm it is meant for; `arm_id`: the arm that a person named, or empty."""

    port: str
    robot_id: str
    arm_id: str
    backup_folder: Path


def perform(
    order: Order,
    bus: ServoBus,
    joints: Mapping[int, str],
    writes: Sequence[Write],
    now: Mapping[int, Mapping[str, int]],
    *,
    known: bool = False,
) -> None:
    """Show what is to be written, have the arm named unless it is `known`, keep a backup, write."""
    holding = [servo_id for servo_id in joints if has_torque(bus, servo_id)]
    if holding:
        raise ServoRefusedError("torque is on: nothing is written; support the arm and add --release")
    for write in writes:
        print(write)
    if not known:
        _confirm(order, input if sys.stdin.isatty() else None)
    written: dict[int, dict[str, int]] = {}
    for write in writes:
        written.setdefault(write.servo_id, {})[write.register.name] = write.value
    backup = Backup(order.robot_id, lasting_name(order.port), joints, now, written)
    path = servo_backup.save(order.backup_folder, backup)
    undo = f"{COMMAND} {shlex.join(['--port', order.port, '--restore', str(path)])}"
    print(f"what the servos held is kept in {path}; `{undo}` writes it back")
    try:
        _write(bus, writes)
    except DriverError as error:
        raise ServoRefusedError(f"only a part was written ({error}); run it again, or `{undo}`") from error


def _confirm(order: Order, ask: Callable[[str], str] | None) -> None:
    """Raises NotConfirmedError unless the person names the arm whose registers are written over."""
    given = order.arm_id
    if not given and ask is not None:
        try:
            given = ask(f"to write this into the arm on {order.port} type its id ({order.robot_id}): ").strip()
        except (EOFError, KeyboardInterrupt):
            given = ""
        if not given:
            raise NotConfirmedError("nothing written")
    if not given:
        add = f"--arm-id {shlex.quote(order.robot_id)}"
        raise NotConfirmedError(
            f"nothing written: look which arm is plugged in at {lasting_name(order.port)}; if it is "
            f"{order.robot_id} add `{add}`, else name another --port ({described_ports()})"
        )
    if given != order.robot_id:
        raise NotConfirmedError(
            f"nothing written: the arm was named {given}, but what would be written is that of {order.robot_id}; "
            "give the --port and the --robot-id of the same arm"
        )


def lasting_name(port: str) -> str:
    """The port's name under /dev/serial/by-id where it has one: the others change with the order of plugging."""
    target = str(Path(port).resolve())
    names = [each.by_id for each in serial_ports() if str(Path(each.device).resolve()) == target and each.by_id]
    return f"/dev/serial/by-id/{names[0][0]}" if names else port


def _write(bus: ServoBus, writes: Sequence[Write]) -> None:
    """Write while unlocked, so that it lasts, and lock again."""
    for servo_id in dict.fromkeys(write.servo_id for write in writes):
        bus.write_register(servo_id, reg.LOCK, 0)
        try:
            for write in writes:
                if write.servo_id == servo_id:
                    bus.write_register(servo_id, write.register, write.value)
        finally:
            bus.write_register(servo_id, reg.LOCK, 1)
