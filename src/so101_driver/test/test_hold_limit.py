# SPDX-License-Identifier: Apache-2.0
"""An arm that is left holding parks after hold_limit_s, and rests where it may; nobody who is there is surprised."""

from collections.abc import Callable

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
from so101_driver.ros.driver_messages import warm_joints
from so101_driver.testing.memory_bus import MemoryBus
from so101_node.protocol import DriverState

TICK_NS = 16_666_667
LIMIT_S = 10.0
PARK = np.array([0.3, 0.3, 0.0, 0.0, 0.0, 0.0])  # 1.875 * 0.3 rad / 0.25 rad/s: 2.25 s away


class Rig:
    """A cycle on servos in memory, in virtual time."""

    def __init__(self, calibration: Calibration, **changes: object) -> None:
        limits = MotionLimits(calibration.lower_rad(), calibration.upper_rad(), np.full(6, 6.0), np.full(6, 300.0))
        settings: dict[str, object] = {"hold_limit_s": LIMIT_S, "rests_when_parked": True, **changes}
        self.gate = SafetyGate(GateConfig(limits=limits, park_positions=PARK, **settings))  # type: ignore[arg-type]
        self.bus = MemoryBus(calibration)
        self.cycle = ControlCycle(Arm(self.bus, calibration), self.gate)
        self.now_ns = 0
        self.goals: list[np.ndarray] = []
        self.run(0.1)

    def run(self, seconds: float, each: Callable[[], object] = lambda: None) -> Snapshot:
        for _ in range(max(1, round(seconds * 60))):
            self.now_ns += TICK_NS
            each()
            snapshot = self.cycle.run(self.now_ns)
            self.goals.append(self.gate.status.goal)
        return snapshot

    def shown(self) -> tuple[DriverState, str]:
        return self.gate.state, self.gate.status.cause

    def torques(self) -> list[int]:
        return [self.bus.peek(servo_id, reg.TORQUE_ENABLE) for servo_id in range(1, 7)]

    def fastest_rad_s(self) -> float:
        return float(np.max(np.abs(np.diff(self.goals, axis=0)))) * 60


def test_by_default_it_holds_without_a_limit(calibration: Calibration) -> None:
    rig = Rig(calibration, hold_limit_s=0.0)
    rig.run(100.0)
    assert rig.shown() == (DriverState.HOLD, "")
    assert GateConfig.__dataclass_fields__["hold_limit_s"].default == 0.0


def test_after_the_limit_it_parks_slowly_and_rests(calibration: Calibration) -> None:
    rig = Rig(calibration)
    rig.run(LIMIT_S - 0.3)
    assert rig.shown() == (DriverState.HOLD, "")
    rig.run(0.5)
    assert rig.shown() == (DriverState.HOLD, causes.HOLD_LIMIT)
    assert "moving slowly" in rig.gate.status.message
    rig.goals.clear()
    snapshot = rig.run(2.5)
    assert rig.fastest_rad_s() < 0.26
    assert rig.shown() == (DriverState.RELEASED, causes.HOLD_LIMIT)
    assert rig.torques() == [0] * 6
    assert snapshot.reading is not None
    assert snapshot.reading.positions == pytest.approx(PARK, abs=1e-3)
    assert rig.gate.reset().accepted
    rig.run(0.1)
    assert rig.shown() == (DriverState.HOLD, "")


def test_where_the_arm_would_sink_it_parks_once_and_goes_on_holding(calibration: Calibration) -> None:
    rig = Rig(calibration, rests_when_parked=False)
    rig.run(LIMIT_S + 3.0)
    assert rig.shown() == (DriverState.HOLD, causes.HOLD_LIMIT)
    assert "torque stays on, since rests_when_parked is false" in rig.gate.status.message
    rig.goals.clear()
    rig.run(3 * LIMIT_S)
    assert rig.fastest_rad_s() == 0.0
    assert rig.torques() == [1] * 6


def test_where_it_did_not_arrive_it_is_not_let_fall(calibration: Calibration) -> None:
    rig = Rig(calibration)
    rig.bus.blocked.add(2)
    rig.run(LIMIT_S + 3.0)
    assert rig.shown() == (DriverState.HOLD, causes.HOLD_LIMIT)
    assert "did not reach park_positions" in rig.gate.status.message
    assert rig.torques() == [1] * 6


@pytest.mark.parametrize("after_s", [0.1, 0.7, 1.2, 1.8, 2.0])
def test_commands_end_the_parking_wherever_it_is_and_engage_without_a_jump(
    calibration: Calibration, after_s: float
) -> None:
    rig = Rig(calibration)
    rig.run(LIMIT_S)
    rig.run(after_s)
    assert rig.shown() == (DriverState.HOLD, causes.HOLD_LIMIT)
    held = rig.gate.status.goal
    rig.goals.clear()
    rig.run(0.5, lambda: rig.gate.command(held, rig.now_ns))
    assert rig.shown() == (DriverState.ENGAGED, "")
    assert rig.fastest_rad_s() < 0.5
    assert rig.goals[-1] == pytest.approx(held, abs=1e-3)
    rig.run(LIMIT_S - 0.5)
    assert rig.shown() == (DriverState.HOLD, causes.COMMAND_TIMEOUT)  # the limit counts from the last command
    rig.run(1.0)
    assert rig.gate.status.cause == causes.HOLD_LIMIT


def test_a_command_from_elsewhere_ends_the_parking_too_but_is_not_followed(calibration: Calibration) -> None:
    rig = Rig(calibration)
    rig.run(LIMIT_S + 1.0)
    assert not rig.gate.command(np.full(6, -0.8), rig.now_ns)
    rig.run(0.5)
    goal = rig.gate.status.goal
    rig.run(5.0)
    assert rig.gate.status.goal == pytest.approx(goal)
    assert rig.gate.state is DriverState.HOLD


@pytest.mark.parametrize("ask", [SafetyGate.reset, lambda gate: gate.park(0), SafetyGate.emergency_stop])
def test_a_person_who_asks_for_something_is_obeyed(
    calibration: Calibration, ask: Callable[[SafetyGate], object]
) -> None:
    rig = Rig(calibration)
    rig.run(LIMIT_S + 1.0)
    ask(rig.gate)
    rig.run(5.0)
    assert rig.gate.status.cause in ("", causes.EMERGENCY_STOP)
    assert rig.torques() == [1] * 6


def test_commands_at_any_rate_keep_it_from_parking(calibration: Calibration) -> None:
    rig = Rig(calibration)
    pose = rig.gate.status.goal
    for _ in range(5):
        rig.run(LIMIT_S - 1.0)
        rig.gate.command(pose, rig.now_ns)
    rig.run(LIMIT_S - 1.0)
    assert rig.shown() == (DriverState.HOLD, causes.COMMAND_TIMEOUT)


def test_faults_latch_as_ever_and_a_latched_arm_stays_where_it_is(calibration: Calibration) -> None:
    rig = Rig(calibration)
    rig.run(LIMIT_S + 1.0)
    rig.bus.poke(2, reg.PRESENT_TEMPERATURE, 66)
    rig.run(0.2)
    assert rig.shown() == (DriverState.LATCHED, causes.OVERHEAT)
    rig.goals.clear()
    rig.run(3 * LIMIT_S)
    assert rig.shown() == (DriverState.LATCHED, causes.OVERHEAT)
    assert float(np.max(np.abs(rig.goals[-1] - rig.goals[30]))) < 1e-6


def test_noise_puts_it_off(calibration: Calibration) -> None:
    rig = Rig(calibration)
    rig.run(LIMIT_S - 0.2)
    rig.bus.silent, rig.bus.garbled = {3}, True
    rig.run(0.5)
    assert rig.gate.status.cause != causes.HOLD_LIMIT
    rig.bus.silent, rig.bus.garbled = set(), False
    rig.run(0.1)
    assert rig.shown() == (DriverState.HOLD, causes.HOLD_LIMIT)


def test_warm_joints_are_named_before_they_latch(calibration: Calibration) -> None:
    rig = Rig(calibration)
    for temperature, warm in ((54, False), (55, True), (65, True)):
        rig.bus.poke(2, reg.PRESENT_TEMPERATURE, temperature)
        snapshot = rig.run(0.1)
        assert snapshot.reading is not None
        said = warm_joints(snapshot.reading, 55.0, 65.0)
        assert bool(said) == warm
        assert (f"shoulder_lift {temperature} deg C" in said) == warm
    assert rig.gate.state is DriverState.HOLD
