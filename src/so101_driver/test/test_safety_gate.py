# SPDX-License-Identifier: Apache-2.0
"""The gate between commands and servos."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from healthy_readings import reading_at
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from so101_driver.core import causes
from so101_driver.core.arm import ArmReading
from so101_driver.core.fault_monitor import FaultLimits
from so101_driver.core.gate_values import GateConfig, GateOutput, ServoOrder
from so101_driver.core.motion_limits import MotionLimits
from so101_driver.core.registers import StatusBits
from so101_driver.core.safety_gate import SafetyGate
from so101_node.protocol import DriverState

PERIOD_S = 1 / 60
TICK_NS = 16_666_667
LOWER, UPPER, SPEED, ACCELERATION = -1.5, 1.5, 6.0, 300.0
ON = np.ones(6, dtype=np.bool_)
OFF = ~ON
PARK = np.full(6, 0.5)


def config_of(**changes: object) -> GateConfig:
    limits = MotionLimits(np.full(6, LOWER), np.full(6, UPPER), np.full(6, SPEED), np.full(6, ACCELERATION))
    return replace(GateConfig(limits=limits, park_positions=PARK, period_s=PERIOD_S), **changes)  # type: ignore[arg-type]


class Rig:
    """A gate, a clock, and an arm that stands where its goals are unless told otherwise."""

    def __init__(self, **changes: object) -> None:
        self.gate = SafetyGate(config_of(**changes))
        self.now_ns = 1_000_000_000
        self.pose = np.zeros(6)
        self.follows = True
        self.torque_after_prepare = ON
        self.change: Callable[[ArmReading], ArmReading] = lambda reading: reading

    def tick(self, count: int = 1) -> GateOutput:
        for _ in range(count):
            self.now_ns += TICK_NS
            output = self.gate.tick(self.change(reading_at(self.pose)), self.now_ns)
            if output.goal is not None and self.follows:
                self.pose = output.goal.copy()
            for action in output.orders:
                if action is ServoOrder.PREPARE:
                    self.gate.prepared(self.pose, self.torque_after_prepare)
                elif action is ServoOrder.TORQUE_OFF:
                    self.gate.released()
        return output

    def start(self) -> "Rig":
        self.gate.opened(reading_at(self.pose), OFF)
        self.tick()
        assert self.gate.state is DriverState.HOLD
        return self

    def command(self, value: float | list[float]) -> bool:
        return self.gate.command(np.full(6, value) if isinstance(value, float) else value, self.now_ns)

    def drive(self, value: float, ticks: int) -> None:
        """Command the same value at 30 Hz."""
        for tick in range(ticks):
            if tick % 2 == 0:
                self.command(value)
            self.tick()

    @property
    def cause(self) -> str:
        return self.gate.status.cause


# --- closed by default ------------------------------------------------------------------------------------------------


def test_before_the_bus_is_open_nothing_is_followed_and_nothing_written() -> None:
    rig = Rig()
    assert not rig.command(0.0)
    assert rig.tick(10) == GateOutput()
    assert rig.gate.state is DriverState.NO_BUS
    assert rig.gate.status.rejected == 1


def test_the_first_start_asks_for_torque_and_then_holds_where_the_arm_stands() -> None:
    rig = Rig()
    rig.pose = np.array([0.1, -0.2, 0.3, 0.4, -0.5, 0.6])
    rig.gate.opened(reading_at(rig.pose), OFF)
    assert rig.gate.tick(reading_at(rig.pose), 0) == GateOutput(orders=(ServoOrder.PREPARE,))
    rig.gate.prepared(rig.pose, ON)
    assert rig.gate.state is DriverState.HOLD
    assert rig.tick(5).goal == pytest.approx(rig.pose)


def test_a_joint_within_the_margin_is_held_there_and_led_out_by_the_commands() -> None:
    """limit_margin_rad: the seed is the pose; cut to the limits it would be a jump at torque-on."""
    rig = Rig()
    rig.pose[1] = 1.7
    rig.start()
    assert rig.tick(30).goal == pytest.approx([0.0, 1.7, 0.0, 0.0, 0.0, 0.0])
    rig.gate.emergency_stop()
    assert rig.tick(30).goal == pytest.approx([0.0, 1.7, 0.0, 0.0, 0.0, 0.0])
    rig.gate.reset()
    goals = [rig.tick().goal]
    for step in range(40):
        rig.command([0.0, max(1.7 - 0.01 * step, 1.2), 0.0, 0.0, 0.0, 0.0])
        goals.append(rig.tick().goal)
    assert rig.gate.state is DriverState.ENGAGED
    assert goals[-1][1] < UPPER
    assert np.abs(np.diff(np.array(goals), axis=0)).max() / PERIOD_S <= SPEED


def test_no_goal_leaves_before_the_servos_are_seeded() -> None:
    rig = Rig()
    rig.gate.opened(reading_at(rig.pose), OFF)
    rig.gate.refused(causes.SETTINGS_MISMATCH, "differs", OFF)
    for _ in range(20):
        rig.command(0.0)
        assert rig.tick().goal is None
    assert rig.gate.state is DriverState.RELEASED


def test_a_refusal_with_servos_that_hold_already_is_latched_and_not_released() -> None:
    rig = Rig()
    rig.gate.opened(reading_at(rig.pose), ON)
    rig.gate.refused(causes.SETTINGS_MISMATCH, "differs", ON)
    assert (rig.gate.state, rig.cause) == (DriverState.LATCHED, causes.SETTINGS_MISMATCH)


# --- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("joint", range(6))
@pytest.mark.parametrize("distance", [-0.3, -0.21, -0.19, 0.0, 0.19, 0.21, 0.3])
def test_only_a_command_near_the_pose_engages(joint: int, distance: float) -> None:
    rig = Rig().start()
    command = [0.0] * 6
    command[joint] = distance
    near = abs(distance) < 0.2
    assert rig.command(command) is near
    assert rig.gate.state is (DriverState.ENGAGED if near else DriverState.HOLD)
    if not near:
        assert "0.2" in rig.gate.status.message


def test_a_command_at_the_held_goal_engages_although_the_pose_is_elsewhere() -> None:
    """A gripper that holds an object has its goal beyond its position."""
    rig = Rig().start()
    rig.drive(0.19, 20)
    rig.follows = False
    rig.pose = np.zeros(6) - 0.4
    rig.tick(20)
    assert rig.gate.state is DriverState.HOLD
    assert rig.command(0.19)


def test_engaged_commands_are_followed_to_the_end() -> None:
    rig = Rig().start()
    for step in range(30):
        rig.drive(step * 0.03, 2)
    rig.drive(0.9, 4)
    assert rig.gate.state is DriverState.ENGAGED
    assert rig.pose == pytest.approx(np.full(6, 0.9))
    assert rig.gate.status.limited == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("engaged", [False, True])
def test_what_is_not_finite_is_rejected_whole(bad: float, engaged: bool) -> None:
    rig = Rig().start()
    if engaged:
        rig.drive(0.0, 2)
    before = rig.gate.status
    assert not rig.command([0.0, 0.0, bad, 0.0, 0.0, 0.0])
    assert rig.gate.status.accepted == before.accepted
    assert rig.gate.status.rejected == before.rejected + 1


@pytest.mark.parametrize("count", [0, 5, 7])
def test_a_command_of_another_size_is_rejected(count: int) -> None:
    assert not Rig().start().command([0.0] * count)


def test_a_command_out_of_limits_is_clamped_and_one_in_degrees_is_rejected() -> None:
    rig = Rig().start()
    rig.drive(0.0, 2)
    rig.drive(2.0, 60)
    assert rig.pose == pytest.approx(np.full(6, UPPER))
    assert rig.gate.status.limited > 0
    assert not rig.command(57.0)
    rig.tick(7)
    assert rig.pose == pytest.approx(np.full(6, UPPER))


@pytest.mark.parametrize("jump", [0.5, 1.0, 2.0])
def test_a_jump_of_the_commands_moves_the_goal_no_faster_than_the_limits(jump: float) -> None:
    rig = Rig(interpolate=False).start()
    rig.drive(0.0, 2)
    goals = [rig.gate.status.goal]
    for _ in range(30):
        rig.drive(jump, 1)
        goals.append(rig.gate.status.goal)
    speeds = np.diff(goals, axis=0) / PERIOD_S
    assert np.abs(speeds).max() <= SPEED + 1e-6
    assert np.abs(np.diff(speeds, axis=0)).max() <= ACCELERATION * PERIOD_S + 1e-6


# --- silence ----------------------------------------------------------------------------------------------------------


def test_silence_of_the_commands_becomes_hold_within_the_timeout_and_one_tick() -> None:
    rig = Rig().start()
    rig.drive(0.0, 10)
    last_ns = rig.now_ns - 2 * TICK_NS
    while rig.gate.state is DriverState.ENGAGED:
        rig.tick()
    assert rig.cause == causes.COMMAND_TIMEOUT
    assert 100_000_000 < rig.now_ns - last_ns <= 100_000_000 + TICK_NS


def ten_hertz(rig: Rig, seconds: float) -> set[DriverState]:
    """Command the pose every 0.1 s and return the states seen."""
    seen = set()
    for tick in range(round(seconds * 60)):
        if tick % 6 == 0:
            rig.command(0.0)
        rig.tick()
        seen.add(rig.gate.state)
    return seen


def test_commands_at_ten_hertz_are_no_silence() -> None:
    """fps may be 10, and command_timeout_s is 0.1."""
    assert ten_hertz(Rig().start(), 3.0) == {DriverState.ENGAGED}


@pytest.mark.parametrize("seconds", [0.1, 3.0])
def test_silence_after_slow_commands_is_noticed_within_a_quarter_of_a_second(seconds: float) -> None:
    rig = Rig().start()
    ten_hertz(rig, seconds)
    since_ns = rig.now_ns - 6 * TICK_NS
    while rig.gate.state is DriverState.ENGAGED:
        rig.tick()
    assert rig.now_ns - since_ns <= 250_000_000 + 2 * TICK_NS


def test_silence_in_the_middle_of_a_motion_brakes_evenly() -> None:
    rig = Rig(interpolate=False, command_timeout_s=0.02).start()
    for step in range(30):
        rig.command(step * 0.04)
        rig.tick()
    goals = [rig.gate.status.goal[0]]
    while not rig.gate.is_still or rig.gate.state is DriverState.ENGAGED:
        rig.tick()
        goals.append(rig.gate.status.goal[0])
    speeds = np.diff(goals) / PERIOD_S
    assert rig.cause == causes.COMMAND_TIMEOUT
    assert np.all(np.diff(speeds) <= 1e-9)
    assert np.all(speeds >= -1e-9)
    still = rig.gate.status.goal
    rig.tick(30)
    assert rig.gate.status.goal == pytest.approx(still)


def test_after_a_timeout_a_near_command_engages_again() -> None:
    rig = Rig().start()
    rig.drive(0.1, 10)
    rig.tick(20)
    assert rig.command(0.1)
    assert (rig.gate.state, rig.cause) == (DriverState.ENGAGED, "")


# --- faults -----------------------------------------------------------------------------------------------------------


def overload(reading: ArmReading) -> ArmReading:
    bits = np.zeros(6, dtype=np.int64)
    bits[1] = StatusBits.OVERLOAD
    return replace(reading, error_bits=bits)


def unplugged(reading: ArmReading) -> ArmReading:
    answered = ON.copy()
    answered[1] = False
    return replace(reading, answered=answered, positions=np.where(answered, reading.positions, np.nan))


@pytest.mark.parametrize("engaged", [False, True])
@pytest.mark.parametrize(("change", "cause"), [(overload, causes.OVERLOAD), (unplugged, causes.SERVO_LOST)])
def test_a_fault_latches_within_100_ms_and_the_others_hold(
    change: Callable[[ArmReading], ArmReading], cause: str, engaged: bool
) -> None:
    rig = Rig().start()
    if engaged:
        rig.drive(0.1, 10)
    rig.change = change
    ticks = 0
    while rig.gate.state is not DriverState.LATCHED:
        rig.drive(0.1, 1)
        ticks += 1
    assert rig.cause == cause
    assert ticks * TICK_NS <= 100_000_000
    assert rig.tick().goal is not None
    assert not rig.command(0.1)


def test_an_overload_asks_once_for_a_lower_torque_limit_of_that_joint() -> None:
    rig = Rig().start()
    rig.change = overload
    outputs = [rig.tick() for _ in range(10)]
    asked = [output for output in outputs if ServoOrder.LOWER_TORQUE in output.orders]
    assert len(asked) == 1
    assert asked[0].joints == (1,)


def bits_of(joint: int, bit: StatusBits) -> Callable[[ArmReading], ArmReading]:
    bits = np.zeros(6, dtype=np.int64)
    bits[joint] = bit
    return lambda reading: replace(reading, error_bits=bits)


def test_an_overloaded_joint_has_its_goal_taken_to_the_other_side_of_its_pose_and_the_others_none() -> None:
    """Only a goal in the other direction ends an overload."""
    rig = Rig().start()
    rig.drive(0.1, 10)
    rig.follows = False
    rig.pose = np.full(6, 0.1)
    rig.pose[1] = 0.05  # the load holds it back
    rig.change = overload
    rig.tick(10)
    assert rig.cause == causes.OVERLOAD
    assert rig.gate.status.goal == pytest.approx([0.1, 0.03, 0.1, 0.1, 0.1, 0.1])


def test_a_refused_reset_takes_the_goal_of_an_overloaded_joint_that_sank_back_again() -> None:
    rig = Rig().start()
    rig.follows = False
    rig.pose[1] = -0.05
    rig.change = overload
    rig.tick(10)
    rig.pose[1] = -0.5  # with a fifth of its torque
    rig.tick(10)
    assert rig.gate.status.goal[1] == pytest.approx(-0.07)  # by itself it does not follow
    outcome = rig.gate.reset()
    rig.tick(20)
    assert not outcome.accepted
    assert "moved to the unloaded side" in outcome.message
    assert rig.gate.status.goal[1] == pytest.approx(-0.52)
    assert rig.gate.state is DriverState.LATCHED


def test_a_gripper_that_latches_on_overload_does_not_let_go() -> None:
    rig = Rig(faults=FaultLimits(gripper_overload_latches=True)).start()
    rig.follows = False
    rig.pose[5] = 0.1
    rig.change = bits_of(5, StatusBits.OVERLOAD)
    rig.tick(10)
    assert rig.cause == causes.OVERLOAD
    assert rig.gate.status.goal[5] == pytest.approx(0.0)


def test_overcurrent_lets_a_reset_through_since_only_that_ends_it() -> None:
    rig = Rig().start()
    rig.change = bits_of(1, StatusBits.OVERCURRENT)
    rig.tick(10)
    assert rig.cause == causes.OVERCURRENT
    assert rig.gate.reset().accepted
    assert ServoOrder.PREPARE in rig.tick().orders


def test_a_joint_that_suffers_later_is_lowered_too_and_named() -> None:
    rig = Rig().start()
    rig.change = overload
    rig.tick(10)
    hot = np.full(6, 30.0)
    hot[[2, 4]] = 90.0
    rig.change = lambda reading: replace(overload(reading), temperatures=hot)
    outputs = [rig.tick() for _ in range(10)]
    asked = [output.joints for output in outputs if ServoOrder.LOWER_TORQUE in output.orders]
    assert asked == [(1, 2, 4)]
    assert rig.cause == causes.OVERLOAD
    assert "elbow_flex" in rig.gate.status.message


@pytest.mark.parametrize(("sank", "followed"), [(0.05, False), (0.6, True)])
def test_the_goal_of_a_joint_that_heat_made_limp_follows_where_it_sank(sank: float, followed: bool) -> None:
    """Or the servo, when it has cooled, would leap back to it by itself. One that still holds must not creep down."""
    rig = Rig().start()
    rig.follows = False
    rig.change = bits_of(1, StatusBits.OVERHEAT)
    rig.tick(10)
    rig.pose[1] = -sank
    rig.tick(30)
    assert rig.gate.status.goal == pytest.approx([0.0, -sank if followed else 0.0, 0.0, 0.0, 0.0, 0.0])


def test_a_latched_fault_stays_until_reset_and_reset_is_refused_while_it_stands() -> None:
    rig = Rig().start()
    rig.change = overload
    rig.tick(10)
    outcome = rig.gate.reset()
    assert not outcome.accepted
    assert "shoulder_lift" in outcome.message
    rig.change = lambda reading: reading
    rig.tick(10)
    assert rig.gate.state is DriverState.LATCHED
    assert rig.gate.reset().accepted
    rig.tick()
    assert rig.gate.state is DriverState.HOLD
    assert rig.command(list(rig.pose))


def test_a_stalled_joint_is_moved_back_to_where_it_stands() -> None:
    rig = Rig().start()
    rig.drive(0.0, 2)
    rig.follows = False

    def press(reading: ArmReading) -> ArmReading:
        currents = np.full(6, 0.1)
        currents[2] = 2.0
        return replace(reading, currents=currents)

    rig.change = press
    rig.drive(0.5, 60)
    assert (rig.gate.state, rig.cause) == (DriverState.LATCHED, causes.STALL)
    goal = rig.gate.status.goal
    assert goal[2] == pytest.approx(0.0)
    assert goal[0] == pytest.approx(0.5)


def test_noise_on_the_bus_ends_the_following_and_latches_nothing() -> None:
    rig = Rig().start()
    rig.drive(0.0, 4)
    rig.change = lambda reading: replace(unplugged(reading), garbled=True)
    rig.drive(0.0, 6)
    assert (rig.gate.state, rig.cause) == (DriverState.HOLD, causes.BUS_NOISE)
    rig.change = lambda reading: reading
    rig.tick()
    assert rig.command(0.0)


def test_a_bus_of_which_nothing_is_heard_is_held_under_its_own_name_until_all_servos_are_heard() -> None:
    rig = Rig().start()
    rig.drive(0.0, 4)
    rig.change = lambda reading: replace(reading, positions=np.full(6, np.nan), answered=np.zeros(6, dtype=np.bool_))
    rig.drive(0.0, 6)
    assert (rig.gate.state, rig.cause) == (DriverState.HOLD, causes.ANSWERS_LATE)
    assert "cable" not in rig.gate.status.message
    assert not rig.command(0.0)  # nobody knows where the arm is
    rig.change = lambda reading: reading
    rig.tick()
    assert rig.command(0.0)
    assert rig.gate.state is DriverState.ENGAGED


def test_a_servo_that_lost_its_torque_latches_and_is_shown() -> None:
    rig = Rig().start()
    torque = ON.copy()
    torque[4] = False
    rig.gate.torque_lost(torque)
    assert (rig.gate.state, rig.cause) == (DriverState.LATCHED, causes.TORQUE_LOST)
    assert "wrist_roll" in rig.gate.status.message
    assert rig.gate.status.torque.tolist() == torque.tolist()


# --- the bus comes and goes -------------------------------------------------------------------------------------------


def test_silence_of_all_servos_closes_the_port() -> None:
    rig = Rig().start()
    rig.change = lambda reading: replace(reading, answered=OFF, positions=np.full(6, np.nan))
    outputs = [rig.tick() for _ in range(18)]
    assert rig.gate.state is DriverState.HOLD
    outputs.append(rig.tick())
    assert outputs[-1].orders == (ServoOrder.CLOSE_PORT,)
    assert (rig.gate.state, rig.cause) == (DriverState.NO_BUS, causes.SERVOS_SILENT)


@pytest.mark.parametrize("moved", [0.0, 0.19, 0.21, 1.0])
def test_after_a_loss_torque_comes_back_by_itself_only_near_the_old_pose(moved: float) -> None:
    rig = Rig().start()
    rig.gate.bus_lost(causes.PORT_LOST, "gone")
    rig.pose = np.array([0.0, 0.0, moved, 0.0, 0.0, 0.0])
    rig.gate.opened(reading_at(rig.pose), OFF)
    rig.tick(2)
    if moved <= 0.2:
        assert rig.gate.state is DriverState.HOLD
        assert rig.gate.status.goal == pytest.approx(rig.pose)
    else:
        assert (rig.gate.state, rig.cause) == (DriverState.LATCHED, causes.MOVED_WHILE_AWAY)
        assert "elbow_flex" in rig.gate.status.message
        assert rig.tick().goal is None


@pytest.mark.parametrize("before", ["released", "latched"])
def test_a_loss_does_not_end_a_release_or_a_latch(before: str) -> None:
    rig = Rig(release_anywhere=True).start()
    rig.gate.release() if before == "released" else rig.gate.emergency_stop()
    rig.tick()
    state = rig.gate.state
    for _ in range(3):  # reopening fails a few times
        rig.gate.bus_lost(causes.PORT_LOST, "gone")
    rig.gate.opened(reading_at(rig.pose), OFF)
    rig.tick(5)
    assert rig.gate.state is state


@pytest.mark.parametrize("held", [ON, OFF])
def test_a_loss_while_torque_is_being_switched_on_begins_that_again(held: np.ndarray) -> None:
    rig = Rig()
    rig.gate.opened(reading_at(rig.pose), held)
    rig.gate.bus_lost(causes.PORT_LOST, "gone")
    rig.gate.opened(reading_at(rig.pose), held)
    rig.tick()
    assert rig.gate.state is DriverState.HOLD


def test_an_emergency_stop_while_the_bus_is_away_holds_when_it_is_back() -> None:
    rig = Rig().start()
    rig.gate.bus_lost(causes.PORT_LOST, "gone")
    assert rig.gate.emergency_stop().accepted
    rig.gate.opened(reading_at(rig.pose), ON)
    rig.tick(5)
    assert (rig.gate.state, rig.cause) == (DriverState.LATCHED, causes.EMERGENCY_STOP)


# --- requests ---------------------------------------------------------------------------------------------------------


def test_an_emergency_stop_comes_to_rest_near_the_pose() -> None:
    rig = Rig().start()
    rig.drive(0.0, 2)
    rig.follows = False
    rig.drive(1.0, 20)
    assert rig.gate.emergency_stop().accepted
    rig.tick(60)
    assert rig.gate.is_still
    assert np.abs(rig.gate.status.goal - rig.pose).max() <= 0.1 + 1e-9
    assert (rig.gate.state, rig.cause) == (DriverState.LATCHED, causes.EMERGENCY_STOP)


def test_an_emergency_stop_beats_a_reset_of_the_same_tick() -> None:
    rig = Rig().start()
    rig.gate.emergency_stop()
    rig.tick()
    rig.gate.reset()
    rig.gate.emergency_stop()
    rig.tick(3)
    assert rig.gate.state is DriverState.LATCHED


def test_parking_moves_slowly_and_ends_parked() -> None:
    rig = Rig(park_speed_rad_s=0.5).start()
    assert rig.gate.park(rig.now_ns).accepted
    assert (rig.gate.state, rig.cause) == (DriverState.HOLD, causes.PARKING)
    goals = [rig.gate.status.goal]
    while rig.cause == causes.PARKING:
        assert not rig.gate.status.parked
        assert not rig.command(list(rig.pose))
        rig.tick()
        goals.append(rig.gate.status.goal)
    assert np.abs(np.diff(goals, axis=0)).max() / PERIOD_S == pytest.approx(0.5, rel=0.05)
    rig.tick()
    assert rig.gate.status.parked
    assert rig.pose == pytest.approx(PARK)
    assert rig.command(list(rig.pose))


def test_an_arm_is_parked_when_it_is_there_and_not_when_the_time_is_over() -> None:
    """Limits slower than the plan make it late."""
    slow = MotionLimits(np.full(6, LOWER), np.full(6, UPPER), np.full(6, 0.2), np.full(6, 0.3))
    rig = Rig(limits=slow, park_speed_rad_s=3.0).start()
    rig.gate.park(rig.now_ns)
    goals = [rig.gate.status.goal]
    while rig.cause == causes.PARKING:
        rig.tick()
        goals.append(rig.gate.status.goal)
        assert len(goals) < 6000
    assert goals[-1] == pytest.approx(PARK, abs=0.001)
    assert np.abs(np.diff(goals, axis=0)).max() / PERIOD_S <= 0.2 + 1e-6


def test_the_park_pose_is_no_place_to_let_go_unless_the_arm_rests_there() -> None:
    rig = Rig().start()
    rig.gate.park(rig.now_ns)
    rig.tick(300)
    assert rig.gate.status.parked
    outcome = rig.gate.release()
    assert not outcome.accepted
    assert "rests_when_parked" in outcome.message
    assert "release_anywhere" in outcome.message


def test_parking_is_refused_while_commands_are_followed_or_a_fault_is_latched() -> None:
    rig = Rig().start()
    rig.drive(0.0, 2)
    assert not rig.gate.park(rig.now_ns).accepted
    rig.gate.emergency_stop()
    assert not rig.gate.park(rig.now_ns).accepted


def test_a_fault_ends_parking() -> None:
    rig = Rig().start()
    rig.gate.park(rig.now_ns)
    rig.tick(5)
    rig.gate.emergency_stop()
    rig.tick(120)
    assert not rig.gate.status.parked
    assert rig.gate.state is DriverState.LATCHED


def test_a_release_is_refused_unless_parked() -> None:
    rig = Rig(rests_when_parked=True).start()
    assert not rig.gate.release().accepted
    rig.gate.park(rig.now_ns)
    assert not rig.gate.release().accepted
    rig.tick(300)
    assert rig.gate.release().accepted
    rig.tick()
    assert rig.gate.state is DriverState.RELEASED
    assert rig.gate.status.torque.tolist() == [False] * 6
    assert rig.tick().goal is None
    assert not rig.command(list(rig.pose))


def test_a_release_anywhere_has_to_be_set() -> None:
    rig = Rig(release_anywhere=True).start()
    rig.drive(0.0, 2)
    assert not rig.gate.release().accepted  # still following commands
    rig.tick(20)
    assert rig.gate.release().accepted


def test_a_reset_after_a_release_holds_where_the_arm_fell_to() -> None:
    rig = Rig(release_anywhere=True).start()
    rig.gate.release()
    rig.tick()
    rig.pose = np.full(6, -0.7)
    rig.tick(5)
    assert rig.gate.reset().accepted
    rig.tick(2)
    assert rig.gate.state is DriverState.HOLD
    assert rig.gate.status.goal == pytest.approx(rig.pose)


def test_stopping_the_driver_brakes_and_follows_nothing_any_more() -> None:
    rig = Rig().start()
    rig.drive(0.1, 10)
    rig.gate.stop()
    assert (rig.gate.state, rig.cause) == (DriverState.HOLD, causes.STOPPING)
    assert not rig.command(list(rig.pose))
    rig.tick(30)
    assert rig.gate.is_still


def test_in_shadow_the_gate_runs_but_shows_the_torque_as_it_is() -> None:
    rig = Rig()
    rig.torque_after_prepare = OFF
    rig.start()
    assert rig.gate.status.torque.tolist() == [False] * 6
    assert rig.command(0.0)


# --- whatever happens -------------------------------------------------------------------------------------------------

NUMBER = st.one_of(st.floats(-2, 2), st.floats(allow_nan=True, allow_infinity=True))


class AnythingHappens(RuleBasedStateMachine):
    """Random events; what must hold after each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig(release_anywhere=True)
        self.previous: np.ndarray | None = None
        self.speed = np.zeros(6)
        self.was_latched = False
        self.reset_asked = False

    def ticked(self, count: int) -> None:
        for _ in range(count):
            state = self.rig.gate.state
            output = self.rig.tick()
            if output.goal is None:
                self.previous = None
                continue
            start = output.goal if self.previous is None else self.previous  # torque may come on outside
            assert np.all((output.goal >= np.minimum(LOWER, start)) & (output.goal <= np.maximum(UPPER, start)))
            assert state is not DriverState.RELEASED
            if self.previous is not None:
                speed = (output.goal - self.previous) / PERIOD_S
                assert np.all(np.abs(speed) <= SPEED + 1e-6)
                assert np.all(np.abs(speed - self.speed) <= ACCELERATION * PERIOD_S + 1e-6)
                self.speed = speed
            else:
                self.speed = np.zeros(6)
            # PREPARE holds the arm where it stands; a joint that something blocks has its goal elsewhere until then.
            self.previous = None if ServoOrder.PREPARE in output.orders else output.goal

    @rule(count=st.integers(1, 20))
    def time_passes(self, count: int) -> None:
        self.ticked(count)

    @rule(values=st.lists(NUMBER, min_size=6, max_size=6), times=st.integers(1, 10))
    def any_command(self, values: list[float], times: int) -> None:
        for _ in range(times):
            self.rig.command(values)
            self.ticked(1)

    @rule(step=st.floats(-0.1, 0.1), times=st.integers(1, 20))
    def sensible_commands(self, step: float, times: int) -> None:
        for _ in range(times):
            self.rig.command(list(self.rig.pose + step))
            self.ticked(2)

    @rule(stuck=st.booleans())
    def blocked(self, stuck: bool) -> None:
        self.rig.follows = not stuck

    @rule(change=st.sampled_from([overload, unplugged, lambda reading: reading]), count=st.integers(1, 8))
    def fault(self, change: Callable[[ArmReading], ArmReading], count: int) -> None:
        self.rig.change = change
        self.ticked(count)
        self.rig.change = lambda reading: reading

    @rule()
    def port_lost(self) -> None:
        self.rig.gate.bus_lost(causes.PORT_LOST, "gone")
        self.previous = None

    @precondition(lambda self: self.rig.gate.state is DriverState.NO_BUS)
    @rule(moved=st.sampled_from([0.0, 0.1, 0.5]))
    def port_back(self, moved: float) -> None:
        self.rig.pose = self.rig.pose + moved
        self.rig.gate.opened(reading_at(self.rig.pose), OFF)
        self.previous = None

    @rule(request=st.sampled_from(["emergency_stop", "park", "release", "stop"]))
    def people(self, request: str) -> None:
        if request == "park":
            self.rig.gate.park(self.rig.now_ns)
        else:
            getattr(self.rig.gate, request)()

    @rule()
    def reset(self) -> None:
        self.reset_asked = self.rig.gate.reset().accepted or self.reset_asked
        self.ticked(1)

    @invariant()
    def a_latch_is_left_only_by_reset(self) -> None:
        state = self.rig.gate.state
        if self.was_latched and state in (DriverState.HOLD, DriverState.ENGAGED):
            assert self.reset_asked
        if state is DriverState.LATCHED and not self.was_latched:
            self.reset_asked = False
        if state is not DriverState.NO_BUS:
            self.was_latched = state is DriverState.LATCHED and self.rig.cause != causes.STARTING

    @invariant()
    def a_cause_is_named_unless_all_is_well(self) -> None:
        status = self.rig.gate.status
        if status.state in (DriverState.LATCHED, DriverState.NO_BUS, DriverState.RELEASED):
            assert status.cause
            assert status.message
        if status.state is DriverState.ENGAGED:
            assert status.cause == ""


AnythingHappens.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestAnythingHappens = AnythingHappens.TestCase


def test_goals_keep_their_speed_over_resets_of_a_joint_that_its_load_holds_back() -> None:
    """Resets move the goal to the unloaded side and back; commands then lead away from there."""
    happens = AnythingHappens()
    happens.reset()
    happens.blocked(stuck=True)
    happens.port_back(moved=0.0)
    happens.sensible_commands(step=0.09375, times=6)
    happens.fault(overload, 3)
    assert happens.rig.gate.state is DriverState.LATCHED
    happens.reset()
    happens.reset()
    happens.sensible_commands(step=-0.0625, times=1)
    assert happens.rig.gate.state is DriverState.ENGAGED
