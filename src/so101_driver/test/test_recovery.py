# SPDX-License-Identifier: Apache-2.0
"""Back from faults on servos that really tripped: the emulator's protection and MuJoCo's arm, in virtual time."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from so101_driver.core import causes
from so101_driver.core import registers as reg
from so101_driver.core.arm import Arm
from so101_driver.core.calibration import load_calibration
from so101_driver.core.control_cycle import ControlCycle, Snapshot
from so101_driver.core.fault_monitor import FaultLimits
from so101_driver.core.gate_values import GateConfig
from so101_driver.core.motion_limits import MotionLimits
from so101_driver.core.registers import Register, StatusBits
from so101_driver.core.safety_gate import SafetyGate
from so101_driver.core.servo_bus import StatesRead
from so101_driver.servos.feetech_bus import FeetechBus
from so101_node.protocol import DriverState
from so101_sim.virtual_arm_client import RunningVirtualArm, running_virtual_arm

TICK_NS = 16_666_667
READ_NS = 2_000_000
LIFT = 1  # shoulder_lift carries the arm
REACHING = np.array([0.0, 0.6, -0.6, 0.0, 0.0, 0.0])  # far out, so that its weight is felt
PROTECTION_TIME = Register("Protection_Time", 35, 1)
OVER_CURRENT_PROTECTION_TIME = Register("Over_Current_Protection_Time", 38, 1)


class BusThatTakesTime(FeetechBus):
    """Virtual time goes on while servos are read, as it does on a wire."""

    arm: RunningVirtualArm

    def read_states(self, servo_ids: Sequence[int]) -> StatesRead:
        self.arm.client.advance(READ_NS)
        return super().read_states(servo_ids)


class Rig:
    """The driver's cycle on a virtual arm that reaches out."""

    def __init__(self, arm: RunningVirtualArm) -> None:
        calibration = load_calibration(arm.calibration)
        limits = MotionLimits(calibration.lower_rad(), calibration.upper_rad(), np.full(6, 6.0), np.full(6, 300.0))
        self.arm = arm
        self.bus = BusThatTakesTime(str(arm.port), reply_timeout_s=0.5)
        self.bus.arm = arm
        # What it holds and what it presses with must show as overload here, not as a stall.
        config = GateConfig(limits=limits, park_positions=REACHING, faults=FaultLimits(stall_time_s=1000.0))
        self.gate = SafetyGate(config)
        self.cycle = ControlCycle(Arm(self.bus, calibration), self.gate)
        self.now_ns = 0
        self.lift: list[float] = []  # rad, each tick

    def run(self, seconds: float) -> Snapshot:
        for _ in range(max(1, round(seconds * 60))):
            self.now_ns += TICK_NS
            snapshot = self.cycle.run(self.now_ns)
            assert snapshot.reading is not None
            self.lift.append(float(snapshot.reading.positions[LIFT]))
            self.arm.client.advance(TICK_NS - READ_NS)
        return snapshot

    def reach_out(self) -> "Rig":
        self.run(0.1)
        assert self.gate.park(self.now_ns).accepted
        while not self.gate.status.parked:
            self.run(0.1)
        self.run(0.5)
        return self

    def bits(self) -> int:
        snapshot = self.run(0)
        assert snapshot.reading is not None
        return int(snapshot.reading.error_bits[LIFT])

    def until_latched(self, cause: str) -> None:
        for _ in range(60):
            if self.run(0.1).status.state is DriverState.LATCHED:
                break
        assert self.gate.status.cause == cause

    def moved_up_after_reset(self) -> float:
        """Reset, and how far shoulder_lift rises within a second."""
        before = self.lift[-1]
        assert self.gate.reset().accepted
        del self.lift[:]
        assert self.run(1.0).status.state is DriverState.HOLD
        return before - min(self.lift)  # towards smaller angles it rises

    def sank_since_reset(self) -> float:
        return max(self.lift) - self.lift[0]

    def set(self, register: Register, value: int) -> None:
        self.bus.write_register(LIFT + 1, register, value)

    def share_of_torque(self) -> float:
        """Torque limit in force, of all that the servo has."""
        block = self.bus.read_block(LIFT + 1, *reg.CONTROL_BLOCK)
        return reg.TORQUE_LIMIT.decode(block, reg.CONTROL_BLOCK[0]) / 1000


@pytest.fixture
def rig() -> Iterator[Rig]:
    with running_virtual_arm("--lockstep") as arm:
        made = Rig(arm)
        yield made.reach_out()
        made.bus.close()


def test_an_overloaded_joint_is_relieved_and_comes_back_without_a_leap(rig: Rig) -> None:
    """The servo keeps a fifth of its torque, less than the weight, until its goal lies below it."""
    rig.set(PROTECTION_TIME, 10)
    rig.set(reg.OVERLOAD_TORQUE, 15)
    rig.until_latched(causes.OVERLOAD)
    rig.set(reg.OVERLOAD_TORQUE, 80)
    refused = 0
    while rig.bits() & StatusBits.OVERLOAD:
        rig.run(1.0)
        if rig.bits() & StatusBits.OVERLOAD:
            assert not rig.gate.reset().accepted
            refused += 1
            assert refused < 5
            rig.run(0.3)
    assert rig.moved_up_after_reset() < 0.03
    assert rig.sank_since_reset() < 0.03


def test_a_joint_with_overcurrent_is_switched_off_and_on_and_carries_again_where_it_fell(rig: Rig) -> None:
    rig.set(OVER_CURRENT_PROTECTION_TIME, 10)
    rig.set(reg.PROTECTION_CURRENT, 50)
    rig.until_latched(causes.OVERCURRENT)
    rig.set(reg.PROTECTION_CURRENT, 500)
    rig.run(2.0)
    assert rig.bits() & StatusBits.OVERCURRENT  # not by itself
    assert rig.lift[-1] > REACHING[LIFT] + 0.3  # it fell
    assert rig.moved_up_after_reset() < 0.03
    assert not rig.bits()
    assert rig.share_of_torque() == 1.0


def test_a_joint_that_cut_its_torque_in_heat_does_not_leap_when_it_has_cooled(rig: Rig) -> None:
    rig.arm.client.fault("temperature", LIFT + 1, 72)
    rig.until_latched(causes.OVERHEAT)
    rig.run(2.0)
    fallen_to = rig.lift[-1]
    assert fallen_to > REACHING[LIFT] + 0.3
    rig.arm.client.fault("temperature", LIFT + 1, 40)
    del rig.lift[:]
    rig.run(1.0)  # the servo has its torque back before anybody calls reset
    assert fallen_to - min(rig.lift) < 0.1  # else 0.4: as far as it fell
    assert rig.moved_up_after_reset() < 0.03
    assert rig.share_of_torque() == 1.0


def test_a_joint_that_sagged_under_its_lowered_torque_limit_stays_there_after_reset(rig: Rig) -> None:
    rig.arm.client.fault("status", LIFT + 1, int(StatusBits.VOLTAGE))
    rig.until_latched(causes.VOLTAGE)
    rig.bus.write_register(LIFT + 1, reg.TORQUE_LIMIT, 150)  # as with a heavy object in the gripper
    rig.run(2.0)
    assert rig.lift[-1] > REACHING[LIFT] + 0.3
    rig.arm.client.fault("clear")
    rig.run(0.1)
    assert rig.moved_up_after_reset() < 0.03
    assert rig.share_of_torque() == 1.0


ROLL = 4


def test_a_servo_whose_count_went_over_the_seam_does_not_drive_the_joint_a_turn_back() -> None:
    """Its encoder stands near the seam, as after a calibration that did not begin in the middle, and gives way."""
    with running_virtual_arm("--lockstep", "--torque-off") as arm:
        arm.client.fault("slip", ROLL + 1, 1990)
        rig = Rig(arm)
        assert rig.run(0.2).status.state is DriverState.HOLD
        before = arm.state.read().qpos[ROLL]
        arm.client.fault("slip", ROLL + 1, 2090)
        snapshot = rig.run(1.0)
        rig.bus.close()
        assert (snapshot.status.state, snapshot.status.cause) == (DriverState.LATCHED, causes.POSITION_JUMP)
        assert abs(arm.state.read().qpos[ROLL] - before) < 0.25
