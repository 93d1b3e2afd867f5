# SPDX-License-Identifier: Apache-2.0
"""The gate's transition table against the gate: every event in every mode, and values beside every limit."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from healthy_readings import reading_at
from so101_driver.core import causes
from so101_driver.core.arm import ArmReading
from so101_driver.core.gate_table import KEPT, OF_EVENT, TRANSITIONS, Effect, GateEvent, GateMode, transition
from so101_driver.core.gate_values import GateConfig, ServoOrder
from so101_driver.core.motion_limits import MotionLimits
from so101_driver.core.registers import StatusBits
from so101_driver.core.safety_gate import SafetyGate
from so101_node.protocol import DriverState

TICK_NS = 16_666_667
TOLERANCE_RAD, TIMEOUT_S, HOLD_LIMIT_S, LIMIT_RAD, IMPLAUSIBLE_RAD = 0.2, 0.3, 1.0, 1.5, 1.0
ON = np.ones(6, dtype=np.bool_)
PARK = np.full(6, 0.5)
HAIR = 1e-9
E, M = GateEvent, GateMode
LIMITS = MotionLimits(np.full(6, -LIMIT_RAD), np.full(6, LIMIT_RAD), np.full(6, 6.0), np.full(6, 300.0))
BASE = GateConfig(
    limits=LIMITS,
    park_positions=PARK,
    engage_tolerance_rad=TOLERANCE_RAD,
    command_timeout_s=TIMEOUT_S,
    implausible_rad=IMPLAUSIBLE_RAD,
    hold_limit_s=HOLD_LIMIT_S,
    release_anywhere=True,
)


class TableRig:
    """A gate whose orders are carried out only where a test wants it."""

    def __init__(self, **changes: object) -> None:
        self.gate = SafetyGate(replace(BASE, **changes))  # type: ignore[arg-type]
        self.now_ns = 1_000_000_000
        self.positions = np.zeros(6)
        self.obeys = True
        self.orders: list[ServoOrder] = []
        self.change: Callable[[ArmReading], ArmReading] = lambda reading: reading

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.now_ns += TICK_NS
            self.see()

    def see(self) -> None:
        output = self.gate.tick(self.change(reading_at(self.positions)), self.now_ns)
        if output.goal is not None:
            self.positions = output.goal.copy()
        self.orders += output.orders
        for order in output.orders if self.obeys else ():
            if order is ServoOrder.PREPARE:
                self.gate.prepared(self.positions, ON)
            elif order is ServoOrder.TORQUE_OFF:
                self.gate.released()

    def command(self, values: object = 0.0) -> bool:
        return self.gate.command(self.positions + values, self.now_ns)


def gate_in(mode: GateMode, **changes: object) -> TableRig:
    """A gate in that mode, by a way that leads there, at rest where it can be."""
    rig = TableRig(**changes)
    if mode is M.NO_BUS:
        return rig
    rig.gate.opened(reading_at(rig.positions), ~ON)
    rig.tick(3)
    ways: Mapping[GateMode, Callable[[], object]] = {
        M.RELEASED: rig.gate.release,
        M.HOLD: lambda: None,
        M.PARKING: lambda: rig.gate.park(rig.now_ns),
        M.UNATTENDED: lambda: rig.tick(round(HOLD_LIMIT_S * 60) + 2),
        M.STOPPING: rig.gate.stop,
        M.ENGAGED: rig.command,
        M.LATCHED: rig.gate.emergency_stop,
    }
    ways[mode]()
    rig.tick(1)
    rig.orders.clear()
    assert rig.gate.mode is mode
    return rig


def bits(joint: int, bit: int) -> Callable[[ArmReading], ArmReading]:
    array = np.zeros(6, dtype=np.int64)
    array[joint] = bit
    return lambda reading: replace(reading, error_bits=array)


def missing(*joints: int, garbled: bool = False) -> Callable[[ArmReading], ArmReading]:
    answered = ON.copy()
    answered[list(joints)] = False
    return lambda reading: replace(
        reading, answered=answered, positions=np.where(answered, reading.positions, np.nan), garbled=garbled
    )


def spoiled(rig: TableRig, change: Callable[[ArmReading], ArmReading], ticks: int) -> None:
    rig.change = change
    rig.tick(ticks)


def reopen(rig: TableRig, before: GateMode = M.HOLD, moved_rad: float = 0.0, torque: np.ndarray = ON) -> None:
    """Where the rig is in NO_BUS: as if the bus had been lost in mode `before`."""
    if rig.gate.mode is M.NO_BUS:
        there = gate_in(before)
        there.gate.bus_lost(causes.PORT_LOST, "gone")
        rig.gate, rig.now_ns, rig.positions = there.gate, there.now_ns, there.positions
    rig.gate.opened(reading_at(rig.positions + moved_rad), torque)


def arrive(rig: TableRig, at_rest: bool) -> None:
    """Let whatever parks arrive; blocked just before its end where it is not to rest."""
    if rig.gate.mode not in (M.PARKING, M.UNATTENDED):
        return
    rig.obeys = False
    away = np.array([0.0, 0.0 if at_rest else -0.3, 0.0, 0.0, 0.0, 0.0])
    for _ in range(600):
        rig.now_ns += TICK_NS
        output = rig.gate.tick(reading_at(rig.positions + away), rig.now_ns)
        rig.orders += output.orders
        assert output.goal is not None
        rig.positions = output.goal
        if not rig.gate._machine.path.is_parking:
            return
    raise AssertionError("never arrived")


HAPPEN: Mapping[GateEvent, Callable[[TableRig], object]] = {
    E.OPENED_LIMP: lambda rig: reopen(rig, torque=~ON),
    E.OPENED_HELD: reopen,
    E.OPENED_MOVED: lambda rig: reopen(rig, moved_rad=0.5),
    E.OPENED_AFTER_RELEASE: lambda rig: reopen(rig, before=M.RELEASED),
    E.OPENED_AFTER_LATCH: lambda rig: reopen(rig, before=M.LATCHED),
    E.BUS_LOST: lambda rig: rig.gate.bus_lost(causes.PORT_LOST, "gone"),
    E.SERVOS_SILENT: lambda rig: spoiled(rig, missing(*range(6)), 20),
    E.PREPARED: lambda rig: rig.gate.prepared(rig.positions, ON),
    E.REFUSED_LIMP: lambda rig: rig.gate.refused(causes.SERVO_REFUSED, "refused", ~ON),
    E.REFUSED_HELD: lambda rig: rig.gate.refused(causes.SERVO_REFUSED, "refused", ON),
    E.TORQUE_IS_OFF: lambda rig: rig.gate.released(),
    E.SOMEBODY_IS_THERE: lambda rig: rig.command(5.0),
    E.COMMAND: lambda rig: rig.command(0.1),
    E.SILENCE: lambda rig: rig.tick(round(TIMEOUT_S * 60) + 2),
    E.NOISE: lambda rig: spoiled(rig, missing(1, garbled=True), 5),
    E.ANSWERS_LATE: lambda rig: spoiled(rig, missing(*range(6)), 5),
    E.FAULT: lambda rig: spoiled(rig, bits(1, StatusBits.OVERLOAD), 3),
    E.TORQUE_LOST: lambda rig: rig.gate.torque_lost(np.array([True, False, True, True, True, True])),
    E.HOLD_LIMIT: lambda rig: rig.tick(round(HOLD_LIMIT_S * 60) + 2) if rig.gate.mode is M.HOLD else None,
    E.ARRIVED: lambda rig: arrive(rig, at_rest=False),
    E.ARRIVED_AT_REST: lambda rig: arrive(rig, at_rest=True),
    E.EMERGENCY_STOP: lambda rig: rig.gate.emergency_stop(),
    E.RESET: lambda rig: rig.gate.reset(),
    E.PARK: lambda rig: rig.gate.park(rig.now_ns),
    E.RELEASE: lambda rig: rig.gate.release(),
    E.STOP: lambda rig: rig.gate.stop(),
}
OF_EVENT_CAUSES = {
    E.OPENED_AFTER_RELEASE: causes.RELEASED_BY_REQUEST,
    E.OPENED_AFTER_LATCH: causes.EMERGENCY_STOP,
    E.BUS_LOST: causes.PORT_LOST,
    E.REFUSED_LIMP: causes.SERVO_REFUSED,
    E.REFUSED_HELD: causes.SERVO_REFUSED,
    E.FAULT: causes.OVERLOAD,
}
ORDERS = {
    Effect.ORDER_PREPARE: ServoOrder.PREPARE,
    Effect.ORDER_TORQUE_OFF: ServoOrder.TORQUE_OFF,
    Effect.ORDER_CLOSE_PORT: ServoOrder.CLOSE_PORT,
}
# SOMEBODY_IS_THERE happens first.
OF_TWO_STEPS = {(E.COMMAND, M.UNATTENDED): (M.ENGAGED, ""), (E.RESET, M.UNATTENDED): (M.HOLD, "")}


def test_the_table_and_this_test_know_all_events_modes_and_effects() -> None:
    assert set(TRANSITIONS) == set(HAPPEN) == set(GateEvent)
    entered = {step.mode for row in TRANSITIONS.values() for step in row.values()}
    assert entered == set(GateMode)
    assert {mode for row in TRANSITIONS.values() for mode in row} == set(GateMode)
    used = {effect for row in TRANSITIONS.values() for step in row.values() for effect in step.effects}
    assert used == set(Effect) == set(SafetyGate(BASE)._machine._effects)
    assert {mode.state for mode in GateMode} == set(DriverState)


def test_what_must_hold_for_every_row_of_the_table() -> None:
    for event, row in TRANSITIONS.items():
        for mode, step in row.items():
            where = f"{event.name} in {mode.name}"
            if step.mode.state is DriverState.ENGAGED:
                assert event is E.COMMAND, where  # nothing else opens the gate
            if mode.state is DriverState.LATCHED and step.mode.state in (DriverState.HOLD, DriverState.ENGAGED):
                assert event is E.PREPARED, where  # which only `reset` and a first start order
            if step.mode.state in (DriverState.NO_BUS, DriverState.RELEASED, DriverState.LATCHED):
                assert step.cause, where
            if mode.state in (DriverState.HOLD, DriverState.ENGAGED) and step.mode.state in (
                DriverState.NO_BUS,
                DriverState.RELEASED,
            ):
                assert Effect.DISARM in step.effects, where
            if Effect.SEED in step.effects:
                assert event is E.PREPARED, where
    assert set(TRANSITIONS[E.EMERGENCY_STOP]) == set(GateMode)
    assert set(TRANSITIONS[E.BUS_LOST]) == set(GateMode)


@pytest.mark.parametrize("mode", GateMode)
@pytest.mark.parametrize("event", GateEvent)
def test_the_gate_does_what_the_table_says(event: GateEvent, mode: GateMode) -> None:
    rig = gate_in(mode, rests_when_parked=event in (E.ARRIVED_AT_REST, E.TORQUE_IS_OFF))
    before = rig.gate.status
    HAPPEN[event](rig)
    step = transition(event, mode)
    after = rig.gate.status
    if (event, mode) in OF_TWO_STEPS:
        assert (rig.gate.mode, after.cause) == OF_TWO_STEPS[event, mode]
        return
    if step is None:
        if event in (E.SILENCE, E.HOLD_LIMIT, E.SERVOS_SILENT, E.ANSWERS_LATE) and mode is not M.NO_BUS:
            assert rig.gate.mode.state is mode.state  # time went on, and brought parking to its end perhaps
        else:
            assert (rig.gate.mode, after.cause) == (mode, before.cause)
        assert rig.orders == []
        return
    cause = {OF_EVENT: OF_EVENT_CAUSES.get(event, ""), KEPT: before.cause}.get(step.cause, step.cause)
    if event is E.ARRIVED and mode is M.PARKING:
        cause = ""
    assert (rig.gate.mode, after.cause) == (step.mode, cause)
    rig.obeys = False
    if rig.gate.mode is not M.NO_BUS:
        rig.see()
    for effect, order in ORDERS.items():
        assert (order in rig.orders) == (effect in step.effects)


# --- beside every limit, in every mode --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", GateMode)
@pytest.mark.parametrize("joint", range(6))
@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("beside", [-0.01, -1e-6, 1e-6, 0.01])
def test_a_command_engages_up_to_the_tolerance_and_only_in_hold(
    mode: GateMode, joint: int, sign: float, beside: float
) -> None:
    rig = gate_in(mode)
    offset = np.zeros(6)
    offset[joint] = sign * (TOLERANCE_RAD + beside)
    measured = rig.gate._machine.measured  # a parking arm's goal is a hair ahead of it
    outer = np.minimum(measured, rig.positions) if sign < 0 else np.maximum(measured, rig.positions)
    followed = rig.gate.command((rig.positions if mode is M.NO_BUS else outer) + offset, rig.now_ns)
    opens = mode in (M.HOLD, M.UNATTENDED)  # any command ends the latter
    assert followed == ((opens and beside < 0) or mode is M.ENGAGED)
    assert (rig.gate.mode is M.ENGAGED) == followed


@pytest.mark.parametrize("mode", GateMode)
@pytest.mark.parametrize("value", [-2.5 - HAIR, -2.5 + HAIR, -1.5 - HAIR, 1.5 + HAIR, 2.5 - HAIR, 2.5 + HAIR, 60.0])
def test_a_command_beyond_a_limit_is_clamped_and_one_that_cannot_be_meant_is_refused_in_every_mode(
    mode: GateMode, value: float
) -> None:
    rig = gate_in(mode)
    command = np.zeros(6)
    command[2] = value
    accepted = rig.gate.command(command, rig.now_ns)
    assert accepted == (mode is M.ENGAGED and abs(value) < LIMIT_RAD + IMPLAUSIBLE_RAD)
    rig.tick(1)
    assert np.all(np.abs(rig.positions) <= LIMIT_RAD)


@pytest.mark.parametrize("mode", GateMode)
@pytest.mark.parametrize("beside_ns", [-TICK_NS, -1, 0, 1, TICK_NS])
def test_commands_are_silent_after_the_timeout_and_not_before(mode: GateMode, beside_ns: int) -> None:
    rig = gate_in(mode)
    rig.command()
    engaged = rig.gate.mode is M.ENGAGED
    end_ns = rig.now_ns + round(TIMEOUT_S * 1e9) + beside_ns
    while rig.now_ns + TICK_NS < end_ns:
        rig.tick()
    rig.now_ns = end_ns
    rig.see()
    timed_out = engaged and beside_ns > 0
    assert (rig.gate.status.cause == causes.COMMAND_TIMEOUT) == timed_out
    assert (rig.gate.mode is M.ENGAGED) == (engaged and not timed_out)


@pytest.mark.parametrize("mode", GateMode)
@pytest.mark.parametrize("joint", range(6))
@pytest.mark.parametrize("moved", [-0.2 - 1e-6, -0.2 + 1e-6, 0.2 - 1e-6, 0.2 + 1e-6])
def test_torque_comes_back_by_itself_only_within_the_tolerance(mode: GateMode, joint: int, moved: float) -> None:
    rig = gate_in(mode)
    rig.gate.bus_lost(causes.PORT_LOST, "gone")
    rig.positions = rig.gate._machine.measured.copy() if mode is not M.NO_BUS else rig.positions
    rig.positions[joint] += moved
    rig.gate.opened(reading_at(rig.positions), ON)
    rig.tick(2)
    if mode in (M.RELEASED, M.LATCHED):
        assert rig.gate.mode is mode
    elif mode is M.NO_BUS or abs(moved) < TOLERANCE_RAD:
        assert rig.gate.mode is M.HOLD
    else:
        assert (rig.gate.mode, rig.gate.status.cause) == (M.LATCHED, causes.MOVED_WHILE_AWAY)


@pytest.mark.parametrize("mode", GateMode)
@pytest.mark.parametrize("ticks", [2, 3])
@pytest.mark.parametrize("temperature_c", [65.0, 65.1])
def test_heat_latches_above_its_limit_in_the_third_tick_where_the_arm_holds(
    mode: GateMode, ticks: int, temperature_c: float
) -> None:
    rig = gate_in(mode)
    temperatures = np.full(6, 30.0)
    temperatures[3] = temperature_c
    spoiled(rig, lambda reading: replace(reading, temperatures=temperatures), ticks)
    latches = temperature_c > 65.0 and ticks == 3 and mode.state in (DriverState.HOLD, DriverState.ENGAGED)
    assert (rig.gate.status.cause == causes.OVERHEAT) == latches
    assert (rig.gate.mode is M.LATCHED) == (latches or mode is M.LATCHED)


@pytest.mark.parametrize("mode", GateMode)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_changes_nothing_in_any_mode(mode: GateMode, bad: float) -> None:
    rig = gate_in(mode)
    before = rig.gate.status
    assert not rig.command(np.array([0.0, 0.0, 0.0, bad, 0.0, 0.0]))
    after = rig.gate.status
    assert (rig.gate.mode, after.cause, after.message) == (mode, before.cause, before.message)
    assert after.rejected == before.rejected + 1


@pytest.mark.parametrize("mode", GateMode)
@pytest.mark.parametrize("beside", [-1e-6, 1e-6])
def test_an_arm_that_rests_when_parked_is_released_within_the_tolerance_only(mode: GateMode, beside: float) -> None:
    rig = gate_in(mode, rests_when_parked=True, release_anywhere=True)
    rig.gate._config = replace(rig.gate._config, release_anywhere=False)
    at_park = PARK + np.array([0.0, 0.0, 0.1 + beside, 0.0, 0.0, 0.0])
    if mode is not M.NO_BUS:
        rig.change = lambda reading: replace(reading, positions=at_park)
        rig.gate.tick(rig.change(reading_at(at_park)), rig.now_ns)
    at_rest = mode in (M.RELEASED, M.HOLD, M.STOPPING, M.LATCHED)
    assert rig.gate.release().accepted == (at_rest and beside < 0)


def test_shapes_that_differ_are_told_with_both() -> None:
    with pytest.raises(ValueError, match=r"park_positions has shape \(5,\), the limits have \(6,\)"):
        replace(BASE, park_positions=np.zeros(5))
    with pytest.raises(ValueError, match=r"currents has shape \(5,\), expected \(6,\)"):
        replace(reading_at(np.zeros(6)), currents=np.zeros(5))
