# SPDX-License-Identifier: Apache-2.0
"""Commands that are away from the goal, and a driver that stood still: the arm comes after slowly."""

import numpy as np
import pytest
from healthy_readings import reading_at
from so101_driver.core import causes
from so101_driver.core.approach import Approach
from so101_driver.core.gate_values import GateConfig, ServoOrder
from so101_driver.core.motion_limits import MotionLimits
from so101_driver.core.safety_gate import SafetyGate
from so101_node.protocol import DriverState

TICK_NS = 16_666_667
SECOND_NS = 1_000_000_000
SLOW_RAD = 0.5 / 60 * 1.01  # of a tick: the distance is closed at 0.5 rad/s
PARK = np.full(6, 1.4)


class Rig:
    """A gate that holds, with an arm that stands where its goals are."""

    def __init__(self, **changes: float) -> None:
        limits = MotionLimits(np.full(6, -1.5), np.full(6, 1.5), np.full(6, 6.0), np.full(6, 300.0))
        self.gate = SafetyGate(GateConfig(limits=limits, park_positions=PARK, **changes))  # type: ignore[arg-type]
        self.now_ns = SECOND_NS
        self.goals = [np.zeros(6)]
        self.gate.opened(reading_at(self.goals[-1]), np.zeros(6, dtype=np.bool_))
        self.tick()

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.now_ns += TICK_NS
            output = self.gate.tick(reading_at(self.goals[-1]), self.now_ns)
            if ServoOrder.PREPARE in output.orders:
                self.gate.prepared(self.goals[-1], np.ones(6, dtype=np.bool_))
            if output.goal is not None:
                self.goals.append(output.goal)

    def command(self, value: float) -> bool:
        return self.gate.command(np.full(6, value), self.now_ns)

    def drive(self, value: float, ticks: int) -> None:
        for tick in range(ticks):
            if tick % 2 == 0:
                self.command(value)
            self.tick()

    def steps(self, since: int = 0) -> np.ndarray:
        """Changes of the goal from tick to tick, rad."""
        return np.abs(np.diff(np.array(self.goals[since:]), axis=0))

    def stand_still(self, seconds: float) -> int:
        """The driver does not run for that long; returns how many goals there were."""
        self.now_ns += round(seconds * SECOND_NS)
        return len(self.goals) - 1


@pytest.mark.parametrize("away", [-0.19, -0.05, 0.02, 0.19])
def test_the_way_to_the_first_command_is_taken_slowly_and_to_its_end(away: float) -> None:
    rig = Rig()
    rig.drive(away, 30)
    assert rig.gate.state is DriverState.ENGAGED
    assert rig.steps().max() <= SLOW_RAD
    assert rig.goals[-1] == pytest.approx(np.full(6, away), abs=1e-6)


def test_it_has_no_part_in_commands_that_begin_at_the_goal() -> None:
    rig = Rig()
    rig.drive(0.0, 4)
    rig.command(0.1)
    rig.tick(3)
    assert rig.goals[-1] == pytest.approx(np.full(6, 0.1), abs=1e-6)


@pytest.mark.parametrize("seconds", [0.12, 0.25, 0.5, 0.8, 3.0])
def test_a_plan_that_went_on_while_the_driver_stood_still_is_not_jumped_to(seconds: float) -> None:
    rig = Rig()
    rig.drive(0.0, 10)
    before = rig.stand_still(seconds)
    rig.drive(0.18, 40)
    assert rig.steps(before).max() <= SLOW_RAD
    assert rig.goals[-1] == pytest.approx(np.full(6, 0.18), abs=1e-6)


def test_a_command_from_before_the_standstill_is_not_followed_after_it() -> None:
    rig = Rig()
    rig.drive(0.0, 10)
    before = rig.stand_still(3.0)
    assert not rig.command(0.15)
    rig.tick()
    assert (rig.gate.state, rig.gate.status.cause) == (DriverState.HOLD, causes.COMMAND_TIMEOUT)
    assert "the driver itself stood still" in rig.gate.status.message
    rig.tick(20)
    assert rig.steps(before).max() == 0.0
    assert rig.command(0.0)  # from a commander that lives


@pytest.mark.parametrize("seconds", [0.2, 0.8, 5.0])
def test_parking_begins_again_after_a_standstill_instead_of_leaping_to_where_it_would_be(seconds: float) -> None:
    rig = Rig(park_speed_rad_s=1.0)
    assert rig.gate.park(rig.now_ns).accepted
    rig.tick(40)
    before = rig.stand_still(seconds)
    rig.tick(240)
    assert rig.steps(before).max() <= 1.0 / 60 * 1.05
    assert rig.goals[-1] == pytest.approx(PARK, abs=1e-3)
    assert rig.gate.status.cause == ""


def test_what_is_left_of_a_distance_solved_by_hand() -> None:
    approach = Approach()
    approach.begin([0.2, -0.1, 0.0], SECOND_NS)
    assert approach.remaining(SECOND_NS) == pytest.approx([0.2, -0.1, 0.0])
    assert approach.remaining(SECOND_NS + 100_000_000) == pytest.approx([0.15, -0.05, 0.0])
    assert approach.remaining(9 * SECOND_NS) == pytest.approx([0.0, 0.0, 0.0])
