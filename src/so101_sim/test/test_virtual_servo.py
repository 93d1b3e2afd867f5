# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_sim.core import servo_registers as reg
from so101_sim.core.virtual_servo import VirtualServo

DT_S = 0.002
LIMITS = {reg.MIN_POSITION_LIMIT: 800, reg.MAX_POSITION_LIMIT: 3300}


def make_servo(encoder: float = 2048.0, **settings: int) -> VirtualServo:
    return VirtualServo(3, LIMITS | {getattr(reg, name): value for name, value in settings.items()}, encoder)


def present_position(servo: VirtualServo) -> int:
    return int.from_bytes(servo.read(reg.PRESENT_POSITION, 2), "little")


def set_byte(servo: VirtualServo, address: int, value: int) -> None:
    servo.write(address, bytes((value,)))


def test_after_power_up_it_is_limp_with_its_goal_where_it_is() -> None:
    servo = make_servo(1500.4)
    assert not servo.torque_on
    assert servo.goal == present_position(servo) == 1500
    assert servo.control(DT_S, 1500.4, 0.0).torque_limit == 0.0


def test_the_present_position_is_the_encoder_less_the_homing_offset_within_one_turn() -> None:
    assert present_position(make_servo(2000.0, HOMING_OFFSET=reg.encode_signed(-342, 11))) == 2342
    assert present_position(make_servo(100.0, HOMING_OFFSET=611)) == 3585


@given(st.integers(0, 4095), st.integers(-2047, 2047))
def test_a_goal_at_the_present_position_asks_for_no_motion(encoder: int, homing: int) -> None:
    servo = VirtualServo(1, {reg.HOMING_OFFSET: reg.encode_signed(homing, 11)}, float(encoder))
    set_byte(servo, reg.TORQUE_ENABLE, 1)
    assert servo.control(DT_S, float(encoder), 0.0).target == pytest.approx(encoder)


def test_torque_on_with_a_distant_goal_ramps_from_where_the_joint_is() -> None:
    servo = make_servo(2048.0)
    servo.write_word(reg.GOAL_POSITION, 3000)
    set_byte(servo, reg.ACCELERATION, 254)
    set_byte(servo, reg.TORQUE_ENABLE, 1)
    assert servo.control(DT_S, 2048.0, 0.0).target == pytest.approx(2048.0, abs=0.2)


def test_torque_off_forgets_the_ramp() -> None:
    servo = make_servo(2048.0)
    set_byte(servo, reg.ACCELERATION, 254)
    set_byte(servo, reg.TORQUE_ENABLE, 1)
    servo.write_word(reg.GOAL_POSITION, 3000)
    for _ in range(100):
        servo.control(DT_S, 2048.0, 0.0)
    set_byte(servo, reg.TORQUE_ENABLE, 0)
    servo.control(DT_S, 1000.0, 0.0)
    set_byte(servo, reg.TORQUE_ENABLE, 1)
    assert servo.control(DT_S, 1000.0, 0.0).target == pytest.approx(1000.0, abs=0.2)


@pytest.mark.parametrize(("written", "in_force"), [(100, 800), (799, 800), (801, 801), (3299, 3299), (4095, 3300)])
def test_goals_are_held_within_the_limits_and_read_back_as_written(written: int, in_force: int) -> None:
    servo = make_servo()
    servo.write_word(reg.GOAL_POSITION, written)
    assert servo.goal == in_force
    assert reg.word(servo.registers, reg.GOAL_POSITION) == written
    assert reg.word(servo.registers, reg.GOAL_POSITION_2) == in_force


def test_equal_limits_mean_no_limits() -> None:
    servo = make_servo(MIN_POSITION_LIMIT=0, MAX_POSITION_LIMIT=0)
    servo.write_word(reg.GOAL_POSITION, 4000)
    assert servo.goal == 4000


def test_read_only_registers_keep_their_value() -> None:
    servo = make_servo()
    before = servo.read(0, 5), servo.read(reg.PRESENT_POSITION, 15)
    servo.write(0, b"\x55" * 5)
    servo.write(reg.PRESENT_POSITION, b"\x55" * 15)
    assert (servo.read(0, 5), servo.read(reg.PRESENT_POSITION, 15)) == before


def test_reading_and_writing_beyond_the_map_is_harmless() -> None:
    servo = make_servo()
    servo.write(reg.REGISTER_COUNT - 1, b"\x07\x08\x09")
    assert servo.read(reg.REGISTER_COUNT - 1, 4) == b"\x07\x00\x00\x00"


def test_eeprom_written_while_locked_works_but_is_gone_after_a_power_cycle() -> None:
    servo = make_servo()
    set_byte(servo, reg.P_COEFFICIENT, 7)
    assert servo.read(reg.P_COEFFICIENT, 1) == b"\x07"
    servo.cut_power()
    servo.restore_power()
    assert servo.read(reg.P_COEFFICIENT, 1) == b"\x20"


def test_eeprom_written_while_unlocked_survives_a_power_cycle_and_sram_does_not() -> None:
    servo = make_servo()
    set_byte(servo, reg.LOCK, 0)
    set_byte(servo, reg.P_COEFFICIENT, 7)
    set_byte(servo, reg.TORQUE_ENABLE, 1)
    set_byte(servo, reg.ACCELERATION, 99)
    servo.cut_power()
    assert not servo.torque_on
    servo.restore_power()
    assert servo.read(reg.P_COEFFICIENT, 1) == b"\x07"
    assert servo.read(reg.TORQUE_ENABLE, 2) == b"\x00\x00"
    assert servo.read(reg.LOCK, 1) == b"\x01"


def test_the_torque_limit_starts_at_the_eeprom_limit() -> None:
    assert reg.word(make_servo(MAX_TORQUE_LIMIT=500).registers, reg.TORQUE_LIMIT) == 500


@pytest.mark.parametrize(("limit", "highest", "share"), [(1000, 1000, 1.0), (300, 1000, 0.3), (1000, 500, 0.5)])
def test_the_smaller_torque_limit_counts(limit: int, highest: int, share: float) -> None:
    servo = make_servo(MAX_TORQUE_LIMIT=highest)
    servo.write_word(reg.TORQUE_LIMIT, limit)
    set_byte(servo, reg.TORQUE_ENABLE, 1)
    assert servo.control(DT_S, 2048.0, 0.0).torque_limit == pytest.approx(share)


def test_stiffness_follows_the_p_coefficient() -> None:
    servo = make_servo(P_COEFFICIENT=8)
    set_byte(servo, reg.TORQUE_ENABLE, 1)
    assert servo.control(DT_S, 2048.0, 0.0).stiffness == pytest.approx(0.5)


@pytest.mark.parametrize("encoder", [0.0, 1000.0, 2048.0, 4095.0])
def test_calibrate_middle_makes_the_position_read_2048_for_ever(encoder: float) -> None:
    servo = make_servo(encoder)
    set_byte(servo, reg.TORQUE_ENABLE, reg.CALIBRATE_MIDDLE)
    servo.sense(encoder, 0.0, 0.0)
    assert present_position(servo) == pytest.approx(2048, abs=1)  # an offset of -2048 does not fit into 11 bits
    servo.cut_power()
    servo.restore_power()
    assert present_position(servo) == pytest.approx(2048, abs=1)
    assert servo.read(reg.TORQUE_ENABLE, 1) == b"\x00"


def test_a_registered_write_waits_for_its_action_and_happens_once() -> None:
    servo = make_servo()
    servo.store(reg.GOAL_POSITION, b"\xe8\x03")
    assert servo.read(reg.ASYNC_WRITE_FLAG, 1) == b"\x01"
    assert servo.goal == 2048
    servo.act()
    assert (servo.goal, servo.read(reg.ASYNC_WRITE_FLAG, 1)) == (1000, b"\x00")
    servo.write_word(reg.GOAL_POSITION, 1100)
    servo.act()
    assert servo.goal == 1100


def test_feedback_is_sign_magnitude() -> None:
    servo = make_servo()
    servo.sense(2048.0, -300.0, -0.25)
    assert reg.decode_signed(reg.word(servo.registers, reg.PRESENT_VELOCITY), 15) == -300
    assert reg.decode_signed(reg.word(servo.registers, reg.PRESENT_LOAD), 10) == -250
    assert reg.word(servo.registers, reg.PRESENT_CURRENT) == 104  # 0.25 * 2.7 A / 6.5 mA
    assert servo.read(reg.MOVING, 1) == b"\x01"


def test_other_operating_modes_leave_it_limp() -> None:
    servo = make_servo(OPERATING_MODE=1)
    set_byte(servo, reg.TORQUE_ENABLE, 1)
    assert servo.control(DT_S, 2048.0, 0.0).torque_limit == 0.0


def test_an_injected_status_is_reported_with_the_servo_s_own() -> None:
    servo = make_servo()
    servo.set_temperature(90)
    servo.control(DT_S, 2048.0, 0.0)
    servo.injected_status = reg.STATUS_VOLTAGE
    servo.sense(2048.0, 0.0, 0.0)
    assert servo.status == reg.STATUS_OVERHEAT | reg.STATUS_VOLTAGE
    assert servo.read(reg.STATUS, 1)[0] == servo.status
