# SPDX-License-Identifier: Apache-2.0
import importlib.util
import runpy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_sim.core import servo_registers as reg

LEROBOT_NAMES = {
    "ID": reg.ID,
    "Baud_Rate": reg.BAUD_RATE,
    "Return_Delay_Time": reg.RETURN_DELAY_TIME,
    "Response_Status_Level": reg.RESPONSE_STATUS_LEVEL,
    "Min_Position_Limit": reg.MIN_POSITION_LIMIT,
    "Max_Position_Limit": reg.MAX_POSITION_LIMIT,
    "Max_Temperature_Limit": reg.MAX_TEMPERATURE_LIMIT,
    "Max_Torque_Limit": reg.MAX_TORQUE_LIMIT,
    "Unloading_Condition": reg.UNLOADING_CONDITION,
    "P_Coefficient": reg.P_COEFFICIENT,
    "D_Coefficient": reg.D_COEFFICIENT,
    "I_Coefficient": reg.I_COEFFICIENT,
    "Protection_Current": reg.PROTECTION_CURRENT,
    "Homing_Offset": reg.HOMING_OFFSET,
    "Operating_Mode": reg.OPERATING_MODE,
    "Protective_Torque": reg.PROTECTIVE_TORQUE,
    "Protection_Time": reg.PROTECTION_TIME,
    "Overload_Torque": reg.OVERLOAD_TORQUE,
    "Over_Current_Protection_Time": reg.OVER_CURRENT_PROTECTION_TIME,
    "Torque_Enable": reg.TORQUE_ENABLE,
    "Acceleration": reg.ACCELERATION,
    "Goal_Position": reg.GOAL_POSITION,
    "Goal_Velocity": reg.GOAL_VELOCITY,
    "Torque_Limit": reg.TORQUE_LIMIT,
    "Lock": reg.LOCK,
    "Present_Position": reg.PRESENT_POSITION,
    "Present_Velocity": reg.PRESENT_VELOCITY,
    "Present_Load": reg.PRESENT_LOAD,
    "Present_Voltage": reg.PRESENT_VOLTAGE,
    "Present_Temperature": reg.PRESENT_TEMPERATURE,
    "Status": reg.STATUS,
    "Moving": reg.MOVING,
    "Present_Current": reg.PRESENT_CURRENT,
    "Goal_Position_2": reg.GOAL_POSITION_2,
    "Maximum_Acceleration": reg.MAXIMUM_ACCELERATION,
}


def lerobot_tables() -> dict[str, Any]:
    """LeRobot's tables by file, since importing its package takes seconds."""
    package = importlib.util.find_spec("lerobot")
    if package is None or not package.submodule_search_locations:
        pytest.skip("LeRobot is not installed here")
    return runpy.run_path(str(Path(package.submodule_search_locations[0]) / "motors" / "feetech" / "tables.py"))


def test_the_register_map_is_the_one_that_lerobot_uses() -> None:
    tables = lerobot_tables()
    table = tables["STS_SMS_SERIES_CONTROL_TABLE"]
    assert {name: table[name][0] for name in LEROBOT_NAMES} == LEROBOT_NAMES
    assert tables["MODEL_NUMBER_TABLE"]["sts3215"] == reg.STS3215_MODEL
    assert tuple(tables["STS_SMS_SERIES_BAUDRATE_TABLE"]) == reg.BAUD_RATES


@given(st.integers(-2047, 2047))
def test_a_homing_offset_survives_sign_magnitude(value: int) -> None:
    assert reg.decode_signed(reg.encode_signed(value, 11), 11) == value


@pytest.mark.parametrize(("value", "bit", "encoded"), [(5, 11, 5), (-5, 11, 0x805), (-1, 15, 0x8001), (0, 10, 0)])
def test_sign_magnitude_has_the_sign_in_one_bit(value: int, bit: int, encoded: int) -> None:
    assert reg.encode_signed(value, bit) == encoded


def test_a_magnitude_that_does_not_fit_is_clamped_instead_of_changing_the_sign() -> None:
    assert reg.decode_signed(reg.encode_signed(5000, 11), 11) == 2047
    assert reg.decode_signed(reg.encode_signed(-5000, 11), 11) == -2047


@given(st.integers(0, 0xFFFF))
def test_words_are_little_endian(value: int) -> None:
    registers = bytearray(4)
    reg.put_word(registers, 1, value)
    assert registers[1:3] == value.to_bytes(2, "little")
    assert reg.word(registers, 1) == value
