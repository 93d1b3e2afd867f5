# SPDX-License-Identifier: Apache-2.0
"""One tick of the driver on servos in memory."""

import numpy as np
import pytest
from so101_driver.core import causes
from so101_driver.core import registers as reg
from so101_driver.core.arm import Arm
from so101_driver.core.calibration import Calibration
from so101_driver.core.control_cycle import ControlCycle, Snapshot
from so101_driver.core.gate_values import GateConfig
from so101_driver.core.motion_limits import MotionLimits
from so101_driver.core.safety_gate import SafetyGate
from so101_driver.testing.memory_bus import MemoryBus
from so101_node.protocol import DriverState

TICK_NS = 16_666_667


class Rig:
    """A cycle and a clock."""

    def __init__(self, bus: MemoryBus, calibration: Calibration, *, shadow: bool = False) -> None:
        limits = MotionLimits(calibration.lower_rad(), calibration.upper_rad(), np.full(6, 6.0), np.full(6, 300.0))
        self.bus = bus
        self.gate = SafetyGate(GateConfig(limits=limits, park_positions=np.zeros(6), release_anywhere=True))
        self.cycle = ControlCycle(Arm(bus, calibration, shadow=shadow), self.gate)
        self.now_ns = 0

    def run(self, ticks: int = 1) -> Snapshot:
        for _ in range(ticks):
            self.now_ns += TICK_NS
            snapshot = self.cycle.run(self.now_ns)
        return snapshot

    def drive(self, value: float, ticks: int) -> Snapshot:
        for tick in range(ticks):
            if tick % 2 == 0:
                self.gate.command(np.full(6, value), self.now_ns)
            snapshot = self.run()
        return snapshot


@pytest.fixture
def rig(memory_bus: MemoryBus, calibration: Calibration) -> Rig:
    return Rig(memory_bus, calibration)


def torques(bus: MemoryBus) -> list[int]:
    return [bus.peek(servo_id, reg.TORQUE_ENABLE) for servo_id in range(1, 7)]


def test_the_first_tick_finds_the_arm_and_holds_it_where_it_stands(rig: Rig) -> None:
    before = [rig.bus.peek(servo_id, reg.PRESENT_POSITION) for servo_id in range(1, 7)]
    snapshot = rig.run()
    assert snapshot.status.state is DriverState.HOLD
    assert torques(rig.bus) == [1] * 6
    rig.run(10)
    assert [rig.bus.peek(servo_id, reg.PRESENT_POSITION) for servo_id in range(1, 7)] == before


def test_commands_reach_the_servos(rig: Rig) -> None:
    rig.run()
    snapshot = rig.drive(0.15, 25)
    assert snapshot.status.state is DriverState.ENGAGED
    assert snapshot.reading is not None
    assert snapshot.reading.positions == pytest.approx(np.full(6, 0.15), abs=1e-3)
    assert snapshot.status.goal == pytest.approx(np.full(6, 0.15))


def test_wrong_settings_leave_torque_off_and_say_which(rig: Rig) -> None:
    rig.bus.poke(6, reg.MAX_TORQUE_LIMIT, 1000)
    snapshot = rig.run(3)
    assert (snapshot.status.state, snapshot.status.cause) == (DriverState.RELEASED, causes.SETTINGS_MISMATCH)
    assert "gripper Max_Torque_Limit is 1000, should be 500" in snapshot.status.message
    assert torques(rig.bus) == [0] * 6
    assert rig.bus.goals == []
    assert snapshot.reading is not None  # the pose is still published
    rig.bus.poke(6, reg.MAX_TORQUE_LIMIT, 500)
    assert rig.gate.reset().accepted
    assert rig.run(2).status.state is DriverState.HOLD


def test_another_arms_servos_leave_torque_off_under_a_cause_of_their_own(rig: Rig) -> None:
    for servo_id in range(1, 7):
        rig.bus.poke(servo_id, reg.HOMING_OFFSET, 700 + servo_id)
    snapshot = rig.run(3)
    assert (snapshot.status.state, snapshot.status.cause) == (DriverState.RELEASED, causes.OTHER_ARM)
    assert "looks like another arm" in snapshot.status.message[:80]
    assert "set `port`" in snapshot.status.message
    assert torques(rig.bus) == [0] * 6
    assert rig.bus.writes == []


def at_the_seam(rig: Rig) -> None:
    rig.bus.poke(5, reg.PRESENT_POSITION, 4060)
    rig.bus.poke(5, reg.GOAL_POSITION, 4060)
    assert rig.run(2).status.state is DriverState.HOLD
    rig.bus.blocked.add(5)


@pytest.mark.parametrize("engaged", [False, True])
def test_a_wrap_latches_within_one_tick_and_the_pose_does_not_jump(rig: Rig, engaged: bool) -> None:
    at_the_seam(rig)
    if engaged:
        rig.gate.command(rig.gate.status.goal, rig.now_ns)
    before = rig.run().reading
    assert before is not None
    rig.bus.poke(5, reg.PRESENT_POSITION, 20)
    snapshot = rig.run()
    assert (snapshot.status.state, snapshot.status.cause) == (DriverState.LATCHED, causes.POSITION_JUMP)
    assert "wrist_roll went over the encoder's 0/4095 seam (step 4060 -> 20)" in snapshot.status.message
    assert snapshot.reading is not None
    assert snapshot.reading.complete
    assert abs(snapshot.reading.positions[4] - before.positions[4]) < 0.1
    assert rig.bus.peek(5, reg.GOAL_POSITION) == 20
    goals = len(rig.bus.goals)
    snapshot = rig.run(10)
    assert all(5 not in goal for goal in rig.bus.goals[goals:])
    assert snapshot.status.torque.all()
    assert "wrist_roll went over" in rig.gate.reset().message
    assert not rig.gate.reset().accepted


def test_after_a_wrap_the_joint_is_turned_back_by_hand_and_reset_goes_on(rig: Rig) -> None:
    at_the_seam(rig)
    rig.bus.poke(5, reg.PRESENT_POSITION, 20)
    rig.run()
    assert rig.gate.release().accepted
    assert rig.run(2).status.state is DriverState.RELEASED
    assert not rig.gate.reset().accepted
    rig.bus.poke(5, reg.PRESENT_POSITION, 4000)
    rig.run(2)
    assert rig.gate.reset().accepted
    assert rig.run(2).status.state is DriverState.HOLD
    rig.run(2)
    assert 5 in rig.bus.goals[-1]


def test_a_wrap_is_not_forgotten_when_the_bus_was_away(rig: Rig) -> None:
    at_the_seam(rig)
    rig.bus.poke(5, reg.PRESENT_POSITION, 20)
    rig.run(3)
    rig.bus.unplugged = True
    rig.run(3)
    rig.bus.unplugged = False
    snapshot = rig.run(200)
    assert (snapshot.status.state, snapshot.status.cause) == (DriverState.LATCHED, causes.POSITION_JUMP)
    assert not rig.gate.reset().accepted


def test_an_encoder_that_jumps_faster_than_a_joint_can_turn_latches(rig: Rig) -> None:
    rig.run(3)
    rig.bus.blocked.add(2)
    rig.bus.poke(2, reg.PRESENT_POSITION, 3000)
    rig.run()
    snapshot = rig.run()
    assert (snapshot.status.state, snapshot.status.cause) == (DriverState.LATCHED, causes.POSITION_JUMP)
    assert "shoulder_lift jumped from step" in snapshot.status.message
    assert rig.bus.peek(2, reg.GOAL_POSITION) == 3000
    rig.run(5)
    assert rig.gate.reset().accepted  # it stands still where it is now: somebody has looked
    assert rig.run(3).status.state is DriverState.HOLD


def test_a_count_beyond_one_turn_latches_and_stays_so(rig: Rig) -> None:
    at_the_seam(rig)
    rig.bus.poke(5, reg.PRESENT_POSITION, 4100)
    snapshot = rig.run(2)
    assert (snapshot.status.state, snapshot.status.cause) == (DriverState.LATCHED, causes.POSITION_JUMP)
    assert "beyond one turn" in snapshot.status.message
    assert not rig.gate.reset().accepted


@pytest.mark.parametrize("step", [-200, 4096, 4200])
def test_a_count_beyond_one_turn_at_the_start_gets_no_torque_and_is_not_called_silence(rig: Rig, step: int) -> None:
    rig.bus.poke(5, reg.PRESENT_POSITION, step)
    snapshot = rig.run(30)
    assert (snapshot.status.state, snapshot.status.cause) == (DriverState.RELEASED, causes.SERVO_REFUSED)
    assert f"wrist_roll reports step {step}, beyond one turn" in snapshot.status.message
    assert torques(rig.bus) == [0] * 6


def test_a_joint_that_was_left_without_torque_does_not_pass_for_a_second_fault(rig: Rig) -> None:
    rig.bus.poke(5, reg.MIN_POSITION_LIMIT, 0)
    at_the_seam(rig)
    rig.bus.poke(5, reg.PRESENT_POSITION, 4100)
    snapshot = rig.run(30)
    assert snapshot.status.cause == causes.POSITION_JUMP
    assert snapshot.status.torque.tolist() == [True, True, True, True, False, True]
    assert "without torque now: wrist_roll" in snapshot.status.message


def test_a_missing_servo_at_the_start_gets_no_torque_anywhere(rig: Rig) -> None:
    rig.bus.silent = {5}
    snapshot = rig.run(3)
    assert snapshot.status.state is DriverState.NO_BUS
    assert "wrist_roll" in snapshot.status.message
    assert torques(rig.bus) == [0] * 6


def test_a_lost_port_is_looked_for_with_back_off_and_the_arm_is_back_within_two_seconds(rig: Rig) -> None:
    rig.run(5)
    rig.bus.unplugged = True
    snapshot = rig.run()
    assert (snapshot.status.state, snapshot.status.cause) == (DriverState.NO_BUS, causes.PORT_LOST)
    assert snapshot.reading is None
    opened = rig.bus.opened
    rig.run(600)  # 10 s
    assert 8 <= rig.bus.opened - opened <= 15  # 0.1 + 0.2 + 0.4 + 0.8 + then once a second
    rig.bus.unplugged = False
    ticks = 0
    while rig.run().status.state is not DriverState.HOLD:
        ticks += 1
    assert ticks * TICK_NS < 1.1e9


def test_a_port_that_is_back_with_the_arm_elsewhere_waits_for_people(rig: Rig) -> None:
    rig.run(5)
    rig.bus.unplugged = True
    rig.run()
    rig.bus.unplugged = False
    for servo_id in range(1, 7):
        rig.bus.poke(servo_id, reg.TORQUE_ENABLE, 0)
    rig.bus.poke(2, reg.PRESENT_POSITION, 2800)
    snapshot = rig.run(70)
    assert (snapshot.status.state, snapshot.status.cause) == (DriverState.LATCHED, causes.MOVED_WHILE_AWAY)
    assert torques(rig.bus) == [0] * 6
    assert rig.gate.reset().accepted
    assert rig.run(2).status.state is DriverState.HOLD
    assert rig.bus.peek(2, reg.PRESENT_POSITION) == 2800


def test_a_power_cut_of_the_servos_closes_the_port_and_comes_back(rig: Rig) -> None:
    rig.run(5)
    rig.bus.silent = set(range(1, 7))
    snapshot = rig.run(20)
    assert (snapshot.status.state, snapshot.status.cause) == (DriverState.NO_BUS, causes.SERVOS_SILENT)
    assert not rig.bus.is_open
    rig.bus.silent = set()
    assert rig.run(70).status.state is DriverState.HOLD


def test_a_servo_that_comes_back_limp_is_noticed(rig: Rig) -> None:
    rig.run(5)
    rig.bus.poke(4, reg.TORQUE_ENABLE, 0)
    snapshot = rig.run(36)
    assert (snapshot.status.state, snapshot.status.cause) == (DriverState.LATCHED, causes.TORQUE_LOST)
    assert snapshot.status.torque.tolist() == [True, True, True, False, True, True]


def test_an_overloaded_joint_gets_a_lower_torque_limit_until_reset(rig: Rig) -> None:
    rig.run(5)
    rig.bus.status[3] = 32
    rig.run(4)
    assert rig.bus.peek(3, reg.TORQUE_LIMIT) == 500
    rig.bus.status.clear()
    rig.run()
    assert rig.gate.reset().accepted
    rig.run(2)
    assert rig.bus.peek(3, reg.TORQUE_LIMIT) == 1000


def test_all_joints_that_are_hot_get_a_lower_torque_limit(rig: Rig) -> None:
    rig.run(5)
    for servo_id in (2, 4):
        rig.bus.poke(servo_id, reg.PRESENT_TEMPERATURE, 69)
    rig.run(6)
    assert [rig.bus.peek(servo_id, reg.TORQUE_LIMIT) for servo_id in range(1, 7)] == [
        1000,
        500,
        1000,
        500,
        1000,
        500,
    ]  # the gripper has 500


def test_a_sagged_joint_is_held_where_it_is_after_reset(rig: Rig) -> None:
    rig.run(5)
    rig.bus.poke(2, reg.PRESENT_TEMPERATURE, 69)
    rig.run(6)
    rig.bus.blocked = {2}  # half its torque does not hold it
    rig.bus.poke(2, reg.PRESENT_POSITION, 2500)
    rig.bus.poke(2, reg.PRESENT_TEMPERATURE, 40)
    rig.run(5)
    assert rig.gate.reset().accepted
    rig.run(5)
    assert rig.gate.state is DriverState.HOLD
    assert rig.bus.peek(2, reg.GOAL_POSITION) == 2500
    assert rig.bus.peek(2, reg.TORQUE_LIMIT) == 1000


def test_a_release_switches_torque_off_and_writes_no_goal_any_more(rig: Rig) -> None:
    rig.run(5)
    assert rig.gate.release().accepted
    rig.run()
    assert torques(rig.bus) == [0] * 6
    written = len(rig.bus.goals)
    assert rig.run(20).status.state is DriverState.RELEASED
    assert len(rig.bus.goals) == written


def test_a_release_that_one_servo_does_not_acknowledge_is_not_called_released(rig: Rig) -> None:
    rig.run(5)
    rig.gate.release()
    rig.bus.silent = {2}
    snapshot = rig.run()
    assert snapshot.status.state is DriverState.LATCHED
    assert "shoulder_lift" in snapshot.status.message


def test_in_shadow_everything_runs_and_nothing_is_written(memory_bus: MemoryBus, calibration: Calibration) -> None:
    rig = Rig(memory_bus, calibration, shadow=True)
    rig.run()
    snapshot = rig.drive(0.1, 30)
    assert snapshot.status.state is DriverState.ENGAGED
    assert snapshot.status.goal == pytest.approx(np.full(6, 0.1))
    assert snapshot.status.torque.tolist() == [False] * 6
    assert memory_bus.writes == []
    assert memory_bus.goals == []


def test_bus_counters_count(rig: Rig) -> None:
    rig.run(5)
    rig.bus.silent = {1}
    snapshot = rig.run(2)
    assert (snapshot.bus_reads, snapshot.bus_errors, snapshot.bus_retries) == (7, 2, 2)
