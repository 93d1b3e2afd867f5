# SPDX-License-Identifier: Apache-2.0
"""Serial ports of this computer, with the names under /dev/serial/by-id that tell two arms apart."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEVICES: Final = Path("/dev")
_PATTERNS: Final = ("ttyACM*", "ttyUSB*")


@dataclass(frozen=True, slots=True)
class SerialPort:
    """One port. `by_id`: its names under /dev/serial/by-id, which hold the adapter's serial number."""

    device: str
    by_id: tuple[str, ...]

    def __str__(self) -> str:
        """For example `/dev/ttyACM0 (usb-1a86_USB_Single_Serial_5A46081234-if00)`."""
        return f"{self.device} ({', '.join(self.by_id)})" if self.by_id else self.device


def serial_ports(devices: Path = DEVICES) -> list[SerialPort]:
    """USB serial ports, sorted by device."""
    names: dict[Path, list[str]] = {}
    for link in sorted((devices / "serial" / "by-id").glob("*")):
        names.setdefault(link.resolve(), []).append(link.name)
    found = sorted(path for pattern in _PATTERNS for path in devices.glob(pattern))
    return [SerialPort(str(path), tuple(names.get(path.resolve(), ()))) for path in found]


def described_ports(devices: Path = DEVICES) -> str:
    """The ports as one phrase for a message."""
    found = serial_ports(devices)
    if not found:
        return "this computer has no USB serial port now"
    return f"serial ports here: {', '.join(map(str, found))}"
