# SPDX-License-Identifier: Apache-2.0
"""Whether the servos that answer are those of this arm and set as training relied on, before torque comes on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from so101_node.protocol import JOINT_NAMES

from so101_driver.core import registers as reg
from so101_driver.core.arm_identity import other_arm, travel_over_seam
from so101_driver.core.calibration import Calibration
from so101_driver.core.errors import NoReplyError, OtherArmError, ServoRefusedError, SettingsMismatchError
from so101_driver.core.patience import TIMES, patiently
from so101_driver.core.servo_bus import ServoBus
from so101_driver.core.servo_settings import Gains, gains_advice, mismatches


def identify(bus: ServoBus, servo_ids: Sequence[int]) -> None:
    """Make sure that an STS3215 answers at each id, of one firmware and with a healthy supply.

    Raises NoReplyError or ServoRefusedError naming the servo and the remedy.
    """
    _find(bus, servo_ids)
    firmware: dict[str, str] = {}
    for name, servo_id in zip(JOINT_NAMES, servo_ids, strict=True):
        eeprom = read_eeprom(bus, servo_id)
        model = reg.MODEL_NUMBER.decode(eeprom)
        if model != reg.MODEL_STS3215:
            raise ServoRefusedError(
                f"servo {name} (id {servo_id}) has model number {model}, expected {reg.MODEL_STS3215} (STS3215)"
            )
        firmware[name] = f"{reg.FIRMWARE_MAJOR.decode(eeprom)}.{reg.FIRMWARE_MINOR.decode(eeprom)}"
        _check_voltage(bus, name, servo_id, eeprom)
    if len(set(firmware.values())) > 1:
        versions = ", ".join(f"{name} {version}" for name, version in firmware.items())
        raise ServoRefusedError(f"servos differ in firmware ({versions}): update them with Feetech's FD software")


def verify_settings(
    calibration: Calibration,
    eeprom: Mapping[int, bytes],
    gains: Gains,
    known: Iterable[Path],
    repair: str,
    ports: Callable[[], str],
) -> None:
    """Compare `eeprom` (EEPROM_BLOCK by servo id) with the settings and the calibration.

    `known`, `repair`, `ports`: as given to `Arm`. Raises SettingsMismatchError; OtherArmError where the servos seem not
    to be those of the calibration at all.
    """
    found = mismatches(calibration, eeprom, gains)
    if not found:
        return
    if other := other_arm(calibration, eeprom, tuple(known)):
        here = ports()
        raise OtherArmError(
            f"{other}; torque refused: set `port` to that of {calibration.path.stem}{f' ({here})' if here else ''}; "
            f"`{repair}` shows all differences"
        )
    shown = "; ".join(str(mismatch) for mismatch in found[:3])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    advice = "".join(f"; {part}" for part in (travel_over_seam(calibration, eeprom), gains_advice(found)) if part)
    raise SettingsMismatchError(
        f"{shown}{more} (calibration {calibration.path.name}){advice}; torque refused: with the driver "
        f"stopped, run `{repair}`"
    )


def read_eeprom(bus: ServoBus, servo_id: int) -> bytes:
    """EEPROM_BLOCK of a servo. Raises NoReplyError."""
    return patiently(lambda: bus.read_block(servo_id, *reg.EEPROM_BLOCK))


def _find(bus: ServoBus, servo_ids: Sequence[int]) -> None:
    """Ask each servo whether it is there. Raises NoReplyError."""
    silent = [index for index, servo_id in enumerate(servo_ids) if not bus.ping(servo_id)]
    for _ in range(TIMES - 1 if len(silent) < len(servo_ids) else 0):
        silent = [index for index in silent if not bus.ping(servo_ids[index])]
    if len(silent) == len(servo_ids):
        raise NoReplyError(
            f"no servo answers (ids {', '.join(map(str, servo_ids))} at {reg.BAUD_RATE} baud): check the power "
            "supply and the cable to the first servo, and that the port is that of the follower arm"
        )
    if silent:
        names = ", ".join(f"{JOINT_NAMES[index]} (id {servo_ids[index]})" for index in silent)
        raise NoReplyError(
            f"servo {names} does not answer, the others do: check its cable, or its id with lerobot-setup-motors"
        )


def _check_voltage(bus: ServoBus, name: str, servo_id: int, eeprom: bytes) -> None:
    states = (bus.read_states([servo_id]).states.get(servo_id) for _ in range(TIMES))
    state = next((state for state in states if state is not None), None)
    if state is None:
        raise NoReplyError(f"servo {name} (id {servo_id}) does not answer: check its cable")
    lowest, highest = reg.MIN_VOLTAGE_LIMIT.decode(eeprom), reg.MAX_VOLTAGE_LIMIT.decode(eeprom)
    if not lowest <= state.voltage <= highest:
        volts = [value * reg.VOLT_PER_UNIT for value in (state.voltage, lowest, highest)]
        raise ServoRefusedError(
            f"servo {name} (id {servo_id}) measures {volts[0]:.1f} V, outside its limits {volts[1]:.1f} to "
            f"{volts[2]:.1f} V: check the power supply"
        )
