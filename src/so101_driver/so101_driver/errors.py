"""Errors of the driver. Every message is one line that names the thing, the value and the remedy."""


class DriverError(Exception):
    """Base of everything the driver raises on purpose."""


class CalibrationError(DriverError):
    """The calibration file is missing, unreadable or contradicts itself."""


class PortError(DriverError):
    """The serial port cannot be opened, or went away while it was in use."""


class NoAnswerError(DriverError):
    """A servo did not answer, or its answer was unreadable, after the retry."""


class ServoRefusedError(DriverError):
    """A servo answered, and what it says forbids torque: wrong model, voltage, settings or pose."""


class SettingsMismatchError(ServoRefusedError):
    """Servo settings differ from what training relied on or from the calibration file."""


class OtherArmError(SettingsMismatchError):
    """The servos seem to be those of another arm: its calibration must not be written over."""


class NotConfirmedError(DriverError):
    """Something would be written into servos, and nobody has said which arm they belong to."""
