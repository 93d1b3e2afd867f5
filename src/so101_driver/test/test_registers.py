# SPDX-License-Identifier: Apache-2.0
"""The register table of the STS3215."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_driver.core import registers as reg
from so101_driver.core.registers import Register, ServoState

ALL = [value for value in vars(reg).values() if isinstance(value, Register)]


@pytest.mark.parametrize("register", ALL, ids=lambda register: register.name)
@given(data=st.data())
def test_decoding_undoes_encoding(register: Register, data: st.DataObject) -> None:
    largest = (1 << (register.sign_bit or 8 * register.length)) - 1
    value = data.draw(st.integers(-largest if register.sign_bit else 0, largest))
    block = bytes(register.address) + register.encode(value)
    assert register.decode(block) == value


@pytest.mark.parametrize("register", ALL, ids=lambda register: register.name)
def test_a_value_that_does_not_fit_is_refused(register: Register) -> None:
    for value in (1 << (register.sign_bit or 8 * register.length), -(1 << 16)):
        with pytest.raises(ValueError, match=register.name):
            register.encode(value)


def test_negative_numbers_are_sign_and_magnitude() -> None:
    assert reg.HOMING_OFFSET.encode(-501) == bytes((501 & 0xFF, 501 >> 8 | 0x08))
    assert reg.GOAL_POSITION.encode(-1) == b"\x01\x80"


@pytest.mark.long  # importing LeRobot takes 10-40 s
def test_registers_lie_where_lerobot_says() -> None:
    tables = pytest.importorskip("lerobot.motors.feetech.tables")
    table = tables.STS_SMS_SERIES_CONTROL_TABLE
    signs = tables.STS_SMS_SERIES_ENCODINGS_TABLE
    for register in ALL:
        assert (register.address, register.length) == table[register.name], register.name
        if register.name != "Present_Current":  # LeRobot reads it unsigned
            assert register.sign_bit == signs.get(register.name), register.name


def test_no_two_blocks_have_the_same_length_so_that_a_late_reply_cannot_pass_for_another() -> None:
    lengths = [length for _, length in (reg.EEPROM_BLOCK, reg.CONTROL_BLOCK, reg.STATE_BLOCK)]
    assert len(set(lengths)) == 3
    assert 0 not in lengths  # acknowledgements carry no data


def test_a_state_block_is_decoded_by_hand() -> None:
    block = bytes.fromhex("0008 6480 0a04 79 1f 00 20 01 0000 0a80".replace(" ", ""))
    state = ServoState.decode(block, packet_status=4)
    assert state == ServoState(
        position=2048, velocity=-100, load=-10, voltage=121, temperature=31, status=0x24, current=-10
    )


def test_a_register_outside_the_block_is_an_error() -> None:
    with pytest.raises(ValueError, match="outside the block"):
        reg.STATUS.decode(bytes(9), start=56)
