# SPDX-License-Identifier: Apache-2.0
"""What configure_servos writes over is kept in a file first, and can be written back from it."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from so101_driver.core import registers as reg
from so101_driver.core.errors import DriverError
from so101_driver.core.registers import Register
from so101_driver.core.servo_bus import ServoBus
from so101_driver.core.servo_settings import CONFIGURABLE, MAXIMUM_ACCELERATION

_FORMAT: Final = "so101 servo backup 1"
_REGISTERS: Final = {register.name: register for register in (*CONFIGURABLE, MAXIMUM_ACCELERATION)}


class BackupError(DriverError):
    """A backup cannot be kept or is not one."""


@dataclass(frozen=True, slots=True)
class Write:
    """One register that is to be written, and what it holds before."""

    servo_id: int
    joint: str
    register: Register
    before: int
    value: int

    def __str__(self) -> str:
        """For example `wrist_roll Homing_Offset: 12 -> 1003`."""
        return f"{self.joint} {self.register.name}: {self.before} -> {self.value}"


@dataclass(frozen=True, slots=True)
class Backup:
    """Registers of all servos before something was written: by servo id, then by register name."""

    robot_id: str
    port: str
    joints: Mapping[int, str]
    before: Mapping[int, Mapping[str, int]]
    written: Mapping[int, Mapping[str, int]]  # only those that were to be written

    def differences(self, now: Mapping[int, Mapping[str, int]]) -> list[Write]:
        """What has to be written to have the servos, which hold `now`, as they were before."""
        return [
            Write(servo_id, self.joints[servo_id], _REGISTERS[name], now[servo_id][name], value)
            for servo_id, values in self.before.items()
            for name, value in values.items()
            if now[servo_id][name] != value
        ]

    def stranger(self, now: Mapping[int, Mapping[str, int]]) -> str:
        """A register that holds neither what it held before nor what was written then; empty where there is none."""
        for servo_id, values in self.before.items():
            for name, value in values.items():
                read, written = now[servo_id][name], self.written.get(servo_id, {}).get(name, value)
                if read not in (value, written):
                    return f"{self.joints[servo_id]} {name} is {read}, was {value} before and {written} after"
        return ""


def read_registers(bus: ServoBus, servo_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """All registers that configure_servos may write, by servo id and name. Raises NoReplyError."""
    found: dict[int, dict[str, int]] = {}
    for servo_id in servo_ids:
        block = bus.read_block(servo_id, *reg.EEPROM_BLOCK)
        found[servo_id] = {register.name: register.decode(block) for register in CONFIGURABLE}
        extra = bus.read_block(servo_id, MAXIMUM_ACCELERATION.address, MAXIMUM_ACCELERATION.length)
        found[servo_id][MAXIMUM_ACCELERATION.name] = MAXIMUM_ACCELERATION.decode(extra, MAXIMUM_ACCELERATION.address)
    return found


def default_folder(environ: Mapping[str, str] | None = None) -> Path:
    """$XDG_DATA_HOME/so101/servo_backups, or below ~/.local/share. Raises BackupError: this user has no home."""
    base = (os.environ if environ is None else environ).get("XDG_DATA_HOME")
    try:
        return (Path(base) if base else Path.home() / ".local" / "share") / "so101" / "servo_backups"
    except RuntimeError as error:
        raise BackupError(f"nothing written: no place for a backup ({error}); name one with --backup-dir") from error


def save(folder: Path, backup: Backup) -> Path:
    """Keep `backup` in a new file of `folder` and return its path. Raises BackupError: then nothing may be written."""
    now = datetime.now().astimezone()
    document = {
        "format": _FORMAT,
        "made": now.isoformat(timespec="seconds"),
        "robot_id": backup.robot_id,
        "port": backup.port,
        "servos": {
            str(servo_id): {
                "joint": backup.joints[servo_id],
                "before": dict(backup.before[servo_id]),
                "written": dict(backup.written.get(servo_id, {})),
            }
            for servo_id in backup.before
        },
    }
    stem = f"{backup.robot_id or 'arm'}_{now:%Y%m%d_%H%M%S}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(100):
            path = folder / f"{stem}{f'_{number}' if number else ''}.json"
            if not path.exists():
                break
        with path.open("x", encoding="utf-8") as file:
            file.write(json.dumps(document, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())  # a power cut must not take the only copy
    except OSError as error:
        raise BackupError(
            f"nothing written: no backup can be kept in {folder} ({error.strerror}); name a folder with --backup-dir"
        ) from error
    return path


def load(path: Path) -> Backup:
    """A backup from its file. Raises BackupError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BackupError(f"cannot read the backup {path}: {error.strerror}") from error
    except ValueError as error:
        raise BackupError(f"{path} is no backup of configure_servos: not JSON ({error})") from error
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise BackupError(f'{path} is no backup of configure_servos: expected "format": "{_FORMAT}"')
    try:
        servos: dict[str, Any] = document["servos"]
        backup = Backup(
            robot_id=str(document["robot_id"]),
            port=str(document["port"]),
            joints={int(servo_id): str(entry["joint"]) for servo_id, entry in servos.items()},
            before={int(servo_id): _values(entry["before"]) for servo_id, entry in servos.items()},
            written={int(servo_id): _values(entry["written"]) for servo_id, entry in servos.items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BackupError(f"{path} is damaged: {error!s}; nothing written") from error
    return backup


def _values(entry: Mapping[str, Any]) -> dict[str, int]:
    """Register values by name. Raises ValueError for unknown names and values that a register cannot hold."""
    values: dict[str, int] = {}
    for name, value in entry.items():
        if name not in _REGISTERS or not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{name} = {value!r} is no register value")
        _REGISTERS[name].encode(value)
        values[name] = value
    return values
