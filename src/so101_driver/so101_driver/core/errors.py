# SPDX-License-Identifier: Apache-2.0
"""Errors of the driver, and the cause that DriverStatus names for each. Every message is one line with the remedy."""

from typing import ClassVar

from so101_driver.core import causes


class DriverError(Exception):
    """Base of everything the driver raises on purpose."""

    cause: ClassVar[str] = ""
    """DriverStatus.cause; empty where the driver does not come up at all."""


class CalibrationError(DriverError):
    """The calibration file is missing, unreadable or contradicts itself."""


class ParkPositionsError(DriverError):
    """park_positions lie beyond the ranges of the arm."""


class PortError(DriverError):
    """The serial port cannot be opened, or went away while it was in use."""

    cause: ClassVar[str] = causes.PORT_LOST


class NoReplyError(DriverError):
    """A servo did not answer, or its answer was unreadable, after the retry."""

    cause: ClassVar[str] = causes.SERVO_LOST


class ServoRefusedError(DriverError):
    """A servo answered, and what it says forbids torque: wrong model, voltage, settings or position."""

    cause: ClassVar[str] = causes.SERVO_REFUSED


class SettingsMismatchError(ServoRefusedError):
    """Servo settings differ from what training relied on or from the calibration file."""

    cause: ClassVar[str] = causes.SETTINGS_MISMATCH


class OtherArmError(SettingsMismatchError):
    """The servos seem to be those of another arm: its calibration must not be written over."""

    cause: ClassVar[str] = causes.OTHER_ARM


class NotConfirmedError(DriverError):
    """Something would be written into servos, and nobody has said which arm they belong to."""
