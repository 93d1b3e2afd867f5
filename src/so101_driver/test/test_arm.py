# SPDX-License-Identifier: Apache-2.0
"""Six servos in radians, on servos in memory."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from so101_driver.core import registers as reg
from so101_driver.core.arm import Arm
from so101_driver.core.calibration import Calibration, load_calibration
from so101_driver.core.errors import NoReplyError, ServoRefusedError, SettingsMismatchError
from so101_driver.core.registers import Register, StatusBits
from so101_driver.core.servo_bus import StatesRead
from so101_driver.core.servo_settings import Gains, repair_command
from so101_driver.testing.memory_bus import MemoryBus


@pytest.fixture
def arm(calibration: Calibration, memory_bus: MemoryBus) -> Arm:
    result = Arm(memory_bus, calibration)
    result.open()
    return result


def test_six_sound_servos_pass(arm: Arm) -> None:
    arm.identify()
    arm.verify_settings()


def test_a_servo_that_does_not_answer_is_named(arm: Arm, memory_bus: MemoryBus) -> None:
    memory_bus.silent = {4}
    with pytest.raises(NoReplyError, match=r"wrist_flex \(id 4\)"):
        arm.identify()


class HeldUpBus(MemoryBus):
    """A bus whose answers a busy computer holds up: the next `held_up` questions seem to stay without one."""

    held_up = 0

    def read_states(self, servo_ids: Sequence[int]) -> StatesRead:
        read = super().read_states(servo_ids)
        return replace(read, states={}) if self._is_held_up() else read

    def _check_servo(self, servo_id: int) -> None:
        super()._check_servo(servo_id)
        if self._is_held_up():
            raise NoReplyError(f"servo {servo_id} on memory does not answer")

    def _is_held_up(self) -> bool:
        self.held_up -= 1
        return self.held_up >= 0


@pytest.mark.parametrize("before", range(1, 36))
def test_answers_that_a_busy_computer_holds_up_do_not_keep_torque_off(calibration: Calibration, before: int) -> None:
    bus = HeldUpBus(calibration)
    arm = Arm(bus, calibration)
    arm.open()
    check = bus._check_servo
    asked = 0

    def count(servo_id: int) -> None:
        nonlocal asked
        asked += 1
        if asked == before:
            bus.held_up = 3
        check(servo_id)

    bus._check_servo = count  # type: ignore[method-assign]
    arm.verify_settings()
    pose = arm.torque_on()
    assert bus.held_up < 0
    assert pose == pytest.approx(np.zeros(6), abs=0.01)
    assert [bus.peek(servo_id, reg.TORQUE_ENABLE) for servo_id in range(1, 7)] == [1] * 6
    assert all(
        bus.peek(servo_id, reg.GOAL_POSITION) == bus.peek(servo_id, reg.PRESENT_POSITION) for servo_id in range(1, 7)
    )


def test_a_servo_that_is_gone_while_torque_comes_on_is_named_after_a_few_questions(calibration: Calibration) -> None:
    bus = HeldUpBus(calibration)
    arm = Arm(bus, calibration)
    arm.open()
    bus.held_up = 1000
    with pytest.raises(NoReplyError, match="servo 1 "):
        arm.verify_settings()
    assert 1000 - bus.held_up == 4


def test_a_bus_without_any_servo_points_to_the_power_supply(arm: Arm, memory_bus: MemoryBus) -> None:
    memory_bus.silent = set(range(1, 7))
    with pytest.raises(NoReplyError, match="power supply"):
        arm.identify()


@pytest.mark.parametrize(
    ("register", "value", "said"),
    [
        (reg.MODEL_NUMBER, 2825, r"shoulder_lift \(id 2\) has model number 2825, expected 777"),
        (reg.FIRMWARE_MINOR, 9, r"differ in firmware.*shoulder_lift 3\.9"),
        (reg.PRESENT_VOLTAGE, 36, r"shoulder_lift \(id 2\) measures 3\.6 V.*power supply"),
    ],
)
def test_a_wrong_servo_is_named(arm: Arm, memory_bus: MemoryBus, register: Register, value: int, said: str) -> None:
    memory_bus.poke(2, register, value)
    with pytest.raises(ServoRefusedError, match=said):
        arm.identify()


@pytest.mark.parametrize(
    ("servo_id", "register", "value"),
    [
        (1, reg.P_COEFFICIENT, 32),
        (2, reg.I_COEFFICIENT, 1),
        (3, reg.D_COEFFICIENT, 0),
        (4, reg.RETURN_DELAY_TIME, 250),
        (5, reg.OPERATING_MODE, 1),
        (5, reg.RESPONSE_STATUS_LEVEL, 0),
        (1, reg.PHASE, 28),
        (6, reg.MAX_TORQUE_LIMIT, 1000),
        (6, reg.PROTECTION_CURRENT, 500),
        (6, reg.OVERLOAD_TORQUE, 80),
        (3, reg.HOMING_OFFSET, 7),
        (3, reg.MIN_POSITION_LIMIT, 0),
        (3, reg.MAX_POSITION_LIMIT, 4095),
    ],
)
def test_every_setting_that_differs_is_named_with_the_command_that_repairs_it(
    arm: Arm, memory_bus: MemoryBus, servo_id: int, register: Register, value: int
) -> None:
    memory_bus.poke(servo_id, register, value)
    with pytest.raises(SettingsMismatchError, match=rf"{register.name} is {value}, should be .*configure_servos"):
        arm.verify_settings()


def test_a_reading_is_in_si_units(arm: Arm, memory_bus: MemoryBus) -> None:
    for register, value in (
        (reg.PRESENT_POSITION, 2048 + 1000),
        (reg.PRESENT_VELOCITY, -2048),
        (reg.PRESENT_LOAD, -250),
        (reg.PRESENT_CURRENT, 200),
        (reg.PRESENT_TEMPERATURE, 40),
    ):
        memory_bus.poke(1, register, value)
    memory_bus.status[1] = 32
    reading = arm.read()
    assert reading.complete
    assert reading.positions[0] == pytest.approx(1000 * 2 * np.pi / 4095)
    assert reading.velocities[0] == pytest.approx(-np.pi)
    assert reading.loads[0] == pytest.approx(-0.25)
    assert reading.currents[0] == pytest.approx(1.3)
    assert reading.voltages[0] == pytest.approx(12.1)
    assert reading.temperatures[0] == 40
    assert reading.error_bits[0] == 32


def test_a_silent_servo_is_nan_and_the_others_are_read(arm: Arm, memory_bus: MemoryBus) -> None:
    memory_bus.silent = {2}
    reading = arm.read()
    assert reading.answered.tolist() == [True, False, True, True, True, True]
    assert np.isnan(reading.positions[1])
    assert np.all(np.isfinite(reading.positions[[0, 2, 3, 4, 5]]))


def test_a_position_that_a_joint_cannot_have_reached_is_dropped_unless_it_is_confirmed(
    arm: Arm, memory_bus: MemoryBus
) -> None:
    """A packet with two damaged bytes passes the checksum once in 256 times."""
    arm.read()
    memory_bus.poke(1, reg.PRESENT_POSITION, 3200)
    assert arm.read().answered.tolist() == [False, True, True, True, True, True]
    memory_bus.poke(1, reg.PRESENT_POSITION, 2050)
    assert arm.read().complete
    memory_bus.poke(1, reg.PRESENT_POSITION, 3200)
    assert not arm.read().complete
    assert arm.read().complete


def test_torque_comes_on_after_the_goal_was_seeded_with_the_present_position(arm: Arm, memory_bus: MemoryBus) -> None:
    memory_bus.poke(3, reg.PRESENT_POSITION, 1500)
    goals = arm.torque_on()
    assert goals == pytest.approx(arm.read().positions)
    for servo_id in range(1, 7):
        names = [write.register for write in memory_bus.writes if write.servo_id == servo_id]
        assert names[-1] == "Torque_Enable"
        assert memory_bus.peek(servo_id, reg.GOAL_POSITION) == memory_bus.peek(servo_id, reg.PRESENT_POSITION)
        assert memory_bus.peek(servo_id, reg.ACCELERATION) == 254
    order = [write.servo_id for write in memory_bus.writes if write.register == "Torque_Enable"]
    assert order == [1, 2, 3, 4, 5, 6]


def test_a_servo_that_holds_already_keeps_its_goal_and_is_not_written(arm: Arm, memory_bus: MemoryBus) -> None:
    """The gripper holds an object: its goal lies beyond its position, and letting go would drop it."""
    arm.torque_on()
    memory_bus.blocked = {6}
    memory_bus.write_goals({6: 1500})
    memory_bus.writes.clear()
    goals = arm.torque_on()
    assert arm.calibration.to_raw(goals)[5] == 1500
    assert memory_bus.writes == []


def written(bus: MemoryBus, servo_id: int) -> list[tuple[str, int]]:
    return [(write.register, write.value) for write in bus.writes if write.servo_id == servo_id]


@pytest.fixture
def sagged(arm: Arm, memory_bus: MemoryBus) -> Arm:
    """Servo 2 was hot: its torque limit was halved, and it sank to step 1500 while its goal stayed at 2048."""
    arm.torque_on()
    arm.limit_torque([1], 0.5)
    memory_bus.poke(2, reg.PRESENT_POSITION, 1500)
    arm.open()  # forgets the last pose, from which no joint gets so far within one read
    memory_bus.writes.clear()
    return arm


def test_a_joint_that_sagged_under_a_lowered_torque_limit_is_held_where_it_is(
    sagged: Arm, memory_bus: MemoryBus
) -> None:
    """With its old goal and all its torque it would leap up at full speed."""
    goals = sagged.torque_on()
    assert sagged.calibration.to_raw(goals)[1] == 1500
    assert written(memory_bus, 2) == [
        ("Goal_Position", 1500),
        ("Torque_Enable", 0),  # its ramp would begin at the old goal
        ("Torque_Enable", 1),
        ("Torque_Limit", 1000),
    ]
    assert {write.servo_id for write in memory_bus.writes} == {2}


def test_a_joint_that_stayed_up_with_a_lowered_torque_limit_is_not_let_go_for_a_moment(
    arm: Arm, memory_bus: MemoryBus
) -> None:
    arm.torque_on()
    arm.limit_torque([1], 0.5)
    memory_bus.poke(2, reg.PRESENT_POSITION, 2040)
    memory_bus.writes.clear()
    arm.torque_on()
    assert written(memory_bus, 2) == [("Goal_Position", 2040), ("Torque_Limit", 1000)]


def test_a_joint_far_from_its_goal_is_held_where_it_is(arm: Arm, memory_bus: MemoryBus) -> None:
    arm.torque_on()
    memory_bus.poke(2, reg.PRESENT_POSITION, 1850)
    memory_bus.writes.clear()
    arm.torque_on()
    assert written(memory_bus, 2) == [("Goal_Position", 1850)]


def test_a_servo_that_overcurrent_made_limp_is_switched_off_and_on_where_it_stands(
    arm: Arm, memory_bus: MemoryBus
) -> None:
    arm.torque_on()
    memory_bus.poke(4, reg.PRESENT_POSITION, 2100)
    memory_bus.tripped[4] = StatusBits.OVERCURRENT
    memory_bus.writes.clear()
    arm.torque_on()
    assert written(memory_bus, 4) == [("Goal_Position", 2100), ("Torque_Enable", 0), ("Torque_Enable", 1)]
    assert {write.servo_id for write in memory_bus.writes} == {4}


def test_a_servo_that_reports_overcurrent_without_torque_too_is_refused_and_not_left_limp(
    arm: Arm, memory_bus: MemoryBus
) -> None:
    arm.torque_on()
    memory_bus.status[4] = StatusBits.OVERCURRENT
    with pytest.raises(ServoRefusedError, match=r"wrist_flex \(id 4\) reports overcurrent with its torque off too"):
        arm.torque_on()
    assert memory_bus.peek(4, reg.TORQUE_ENABLE) == 1


def test_torque_limits_are_lowered_at_the_servos_that_answer(arm: Arm, memory_bus: MemoryBus) -> None:
    memory_bus.silent = {2}
    arm.limit_torque([1, 3], 0.5)
    assert memory_bus.peek(4, reg.TORQUE_LIMIT) == 500


@pytest.mark.parametrize(("beyond", "refused"), [(30, False), (40, True)])
def test_a_limp_joint_may_stand_a_little_outside_its_range_but_is_not_thrown_inside(
    arm: Arm, memory_bus: MemoryBus, beyond: int, refused: bool
) -> None:
    memory_bus.poke(2, reg.PRESENT_POSITION, 910 - beyond)  # 0.05 rad are 32.6 steps
    if not refused:
        assert arm.calibration.to_raw(arm.torque_on())[1] == 910
        return
    with pytest.raises(ServoRefusedError, match="move it inside by hand"):
        arm.torque_on()
    assert memory_bus.writes == []


def test_a_torque_limit_that_an_earlier_fault_lowered_is_restored(arm: Arm, memory_bus: MemoryBus) -> None:
    arm.torque_on()
    arm.limit_torque([5], 0.5)
    assert memory_bus.peek(6, reg.TORQUE_LIMIT) == 250
    arm.torque_on()
    assert memory_bus.peek(6, reg.TORQUE_LIMIT) == 500


def test_a_joint_outside_its_range_gets_no_torque_and_neither_does_any_other(arm: Arm, memory_bus: MemoryBus) -> None:
    memory_bus.poke(2, reg.PRESENT_POSITION, 600)
    with pytest.raises(ServoRefusedError, match=r"shoulder_lift stands at step 600.*910\.\.3186"):
        arm.torque_on()
    assert memory_bus.writes == []


def test_a_servo_that_refuses_its_torque_is_named(
    arm: Arm, memory_bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryBus, "write_register", lambda self, servo_id, register, value: None)
    with pytest.raises(ServoRefusedError, match=r"shoulder_pan .*keeps its torque off"):
        arm.torque_on()


def test_torque_goes_off_at_all_servos_even_if_one_does_not_answer(arm: Arm, memory_bus: MemoryBus) -> None:
    arm.torque_on()
    memory_bus.silent = {1}
    with pytest.raises(NoReplyError, match="shoulder_pan did not acknowledge"):
        arm.torque_off()
    assert [memory_bus.peek(servo_id, reg.TORQUE_ENABLE) for servo_id in range(1, 7)] == [1, 0, 0, 0, 0, 0]


def test_goals_are_rounded_to_steps(arm: Arm, memory_bus: MemoryBus) -> None:
    step = 2 * np.pi / 4095
    arm.write_goals([0.6 * step, 0, 0, 0, 0, 0])
    assert memory_bus.goals[-1][1] == 2049


def test_in_shadow_nothing_at_all_is_written(calibration: Calibration, memory_bus: MemoryBus) -> None:
    arm = Arm(memory_bus, calibration, shadow=True)
    arm.open()
    goals = arm.torque_on()
    arm.write_goals(goals)
    arm.limit_torque([0], 0.5)
    arm.torque_off()
    assert memory_bus.writes == []
    assert memory_bus.goals == []


def cross(arm: Arm, bus: MemoryBus, servo_id: int, before: int, after: int) -> None:
    """The count of a servo goes over the seam while it has torque."""
    bus.poke(servo_id, reg.PRESENT_POSITION, before)
    bus.poke(servo_id, reg.GOAL_POSITION, before)
    arm.torque_on()
    bus.blocked.add(servo_id)
    bus.poke(servo_id, reg.PRESENT_POSITION, after)
    assert list(arm.read().jumps) == [servo_id - 1]
    bus.writes.clear()
    bus.goals.clear()


@pytest.mark.parametrize(
    ("before", "after", "goal"), [(4050, 60, 60), (4090, 2, 10), (40, 4000, 4000), (3, 4094, 4085)]
)
def test_a_joint_over_the_seam_is_stopped_where_it_stands(
    arm: Arm, memory_bus: MemoryBus, before: int, after: int, goal: int
) -> None:
    """To its servo the old goal now lies a whole turn away."""
    cross(arm, memory_bus, 5, before, after)
    assert arm.hold_here((4,)) == []
    assert [(write.register, write.value) for write in memory_bus.writes] == [
        ("Torque_Enable", 0),
        ("Goal_Position", goal),
        ("Torque_Enable", 1),
    ]
    arm.write_goals(np.zeros(6))
    assert sorted(memory_bus.goals[-1]) == [1, 2, 3, 4, 6]  # it keeps that goal
    with pytest.raises(ServoRefusedError, match="went over the encoder's 0/4095 seam"):
        arm.torque_on()
    memory_bus.poke(5, reg.PRESENT_POSITION, before)
    arm.read()
    arm.torque_on()
    arm.write_goals(np.zeros(6))
    assert 5 in memory_bus.goals[-1]


def test_a_joint_that_no_goal_of_its_range_can_hold_goes_limp(tmp_path: Path, calibration_json: dict[str, Any]) -> None:
    """Any goal that its servo takes would drive it on, away from its range, with all its torque."""
    calibration_json["elbow_flex"].update(range_min=1900, range_max=4092)
    path = tmp_path / "arm.json"
    path.write_text(json.dumps(calibration_json))
    calibration = load_calibration(path)
    bus = MemoryBus(calibration)
    arm = Arm(bus, calibration)
    arm.open()
    cross(arm, bus, 3, 4091, 4)
    assert arm.hold_here((2,)) == [2]
    assert bus.peek(3, reg.TORQUE_ENABLE) == 0


@pytest.mark.parametrize(("moved", "crosses"), [(945, False), (946, False), (947, True), (-945, False), (-946, True)])
def test_an_offset_that_puts_the_seam_into_the_travel_is_said_to(
    arm: Arm, memory_bus: MemoryBus, moved: int, crosses: bool
) -> None:
    """elbow_flex travels from 946 to 3150."""
    memory_bus.poke(3, reg.HOMING_OFFSET, memory_bus.peek(3, reg.HOMING_OFFSET) + moved)
    with pytest.raises(SettingsMismatchError, match="elbow_flex Homing_Offset") as caught:
        arm.verify_settings()
    text = f"the travel of elbow_flex ({946 - moved}..{3150 - moved}) crosses the encoder's 0/4095 seam"
    assert (text in str(caught.value)) == crosses


def test_a_joint_just_over_the_seam_is_said_to_be_there(tmp_path: Path, calibration_json: dict[str, Any]) -> None:
    calibration_json["elbow_flex"].update(range_min=1900, range_max=4000)
    path = tmp_path / "arm.json"
    path.write_text(json.dumps(calibration_json))
    calibration = load_calibration(path)
    bus = MemoryBus(calibration)
    bus.poke(3, reg.PRESENT_POSITION, 4)
    arm = Arm(bus, calibration)
    arm.open()
    with pytest.raises(
        ServoRefusedError, match=r"elbow_flex stands at step 4, outside.*gone over the encoder's 0/4095"
    ):
        arm.torque_on()


def test_a_joint_far_outside_its_range_is_not_said_to_have_gone_over_the_seam(arm: Arm, memory_bus: MemoryBus) -> None:
    memory_bus.poke(3, reg.PRESENT_POSITION, 4000)  # 946 steps above 3150, 1042 below 946
    with pytest.raises(ServoRefusedError, match=r"elbow_flex stands at step 4000, outside.*move it inside") as caught:
        arm.torque_on()
    assert "seam" not in str(caught.value)


GAINS = Gains(position_p_coefficient=48, position_i_coefficient=2, position_d_coefficient=0)


def test_gains_are_verified_against_those_that_were_asked_for(calibration: Calibration, memory_bus: MemoryBus) -> None:
    command = repair_command("/dev/ttyACM0", "arm", "", GAINS)
    arm = Arm(memory_bus, calibration, gains=GAINS, repair=command)
    arm.open()
    with pytest.raises(SettingsMismatchError, match="P_Coefficient is 16, should be 48") as caught:
        arm.verify_settings()
    options = "--position-p-coefficient 48 --position-i-coefficient 2 --position-d-coefficient 0"
    assert f"`ros2 run so101_driver configure_servos --port /dev/ttyACM0 --robot-id arm {options}`" in str(caught.value)
    for servo_id in range(1, 7):
        for register, value in GAINS.wanted():
            memory_bus.poke(servo_id, register, value)
    arm.verify_settings()
    with pytest.raises(SettingsMismatchError, match=r"keep the servos' gains set position_p_coefficient: 48"):
        Arm(memory_bus, calibration).verify_settings()
    memory_bus.poke(3, reg.P_COEFFICIENT, 20)
    with pytest.raises(SettingsMismatchError, match="gains differ from joint to joint"):
        Arm(memory_bus, calibration).verify_settings()
