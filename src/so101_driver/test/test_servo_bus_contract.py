# SPDX-License-Identifier: Apache-2.0
"""What every ServoBus does: the same tests on servos in memory and on the STS3215 emulator behind a real tty.

FeetechBus runs on the unmodified scservo_sdk. With SO101_TEST_PORT set to a serial port the tests
that only read run on a real arm too.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from so101_driver.core import registers as reg
from so101_driver.core.arm import Arm
from so101_driver.core.calibration import Calibration, load_calibration
from so101_driver.core.errors import NoReplyError, PortError
from so101_driver.core.servo_bus import ServoBus
from so101_driver.servos.feetech_bus import FeetechBus
from so101_driver.testing.memory_bus import MemoryBus
from so101_sim.virtual_arm_client import RunningVirtualArm

IDS = (1, 2, 3, 4, 5, 6)
PATIENT_S = 0.1  # the emulator is a process on a machine that may be busy
REAL_PORT = os.environ.get("SO101_TEST_PORT", "")


@dataclass
class Rig:
    """A bus, the faults it can have, and its calibration."""

    bus: ServoBus
    calibration: Calibration
    unplug_servo: Callable[[int], None]
    plug_servo: Callable[[int], None]
    unplug_port: Callable[[], None]


def tty_rig(arm: RunningVirtualArm) -> Rig:
    arm.client.fault("clear")
    return Rig(
        bus=FeetechBus(str(arm.port), reply_timeout_s=PATIENT_S),
        calibration=load_calibration(arm.calibration),
        unplug_servo=lambda servo_id: arm.client.fault("servo_off", servo_id),
        plug_servo=lambda servo_id: arm.client.fault("servo_on", servo_id),
        unplug_port=lambda: arm.client.fault("unplug", 0.05),
    )


def memory_rig(calibration: Calibration) -> Rig:
    bus = MemoryBus(calibration)

    def unplug() -> None:
        bus.unplugged = True

    return Rig(bus, calibration, bus.silent.add, bus.silent.discard, unplug)


@pytest.fixture(params=["memory", "tty"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    if request.param == "memory":
        made = memory_rig(request.getfixturevalue("calibration"))
    else:
        made = tty_rig(request.getfixturevalue("virtual_arm"))
    made.bus.open()
    yield made
    made.bus.close()


@pytest.fixture(
    params=["memory", "tty", pytest.param("real", marks=pytest.mark.skipif(not REAL_PORT, reason="no arm"))]
)
def reading_bus(request: pytest.FixtureRequest) -> Iterator[ServoBus]:
    """A bus for tests that write nothing."""
    if request.param == "real":
        bus: ServoBus = FeetechBus(REAL_PORT)
    elif request.param == "memory":
        bus = MemoryBus(request.getfixturevalue("calibration"))
    else:
        bus = tty_rig(request.getfixturevalue("virtual_arm")).bus
    bus.open()
    yield bus
    bus.close()


def test_all_six_servos_answer_a_ping_and_a_seventh_does_not(reading_bus: ServoBus) -> None:
    assert [reading_bus.ping(servo_id) for servo_id in (*IDS, 77)] == [True] * 6 + [False]


def test_all_states_come_in_one_read_and_are_plausible(reading_bus: ServoBus) -> None:
    read = reading_bus.read_states(IDS)
    assert set(read.states) == set(IDS)
    for state in read.states.values():
        assert 0 <= state.position <= 4095
        assert 40 <= state.voltage <= 140
        assert 0 <= state.temperature <= 70


def test_blocks_hold_what_single_registers_say(reading_bus: ServoBus) -> None:
    for servo_id in IDS:
        block = reading_bus.read_block(servo_id, *reg.EEPROM_BLOCK)
        assert len(block) == reg.EEPROM_BLOCK[1]
        assert reg.MODEL_NUMBER.decode(block) == reg.MODEL_STS3215
        register = reg.MAX_POSITION_LIMIT
        single = reading_bus.read_block(servo_id, register.address, register.length)
        assert register.decode(single, register.address) == register.decode(block)


def test_a_written_register_reads_back(rig: Rig) -> None:
    rig.bus.write_register(3, reg.TORQUE_LIMIT, 777)
    assert reg.TORQUE_LIMIT.decode(rig.bus.read_block(3, *reg.CONTROL_BLOCK), reg.CONTROL_BLOCK[0]) == 777
    rig.bus.write_register(3, reg.TORQUE_LIMIT, 1000)


def test_goals_reach_each_servo(rig: Rig) -> None:
    goals = {servo_id: 2000 + servo_id for servo_id in IDS}
    rig.bus.write_goals(goals)
    for servo_id in IDS:
        block = rig.bus.read_block(servo_id, *reg.CONTROL_BLOCK)
        assert reg.GOAL_POSITION.decode(block, reg.CONTROL_BLOCK[0]) == goals[servo_id]


def test_a_value_that_the_register_cannot_hold_never_reaches_the_wire(rig: Rig) -> None:
    with pytest.raises(ValueError, match="Goal_Position"):
        rig.bus.write_goals({1: 1 << 15})
    with pytest.raises(ValueError, match="Torque_Enable"):
        rig.bus.write_register(1, reg.TORQUE_ENABLE, 256)


@pytest.mark.parametrize("dead", [{1}, {3}, {6}, {2, 5}])
def test_a_dead_servo_is_absent_and_the_others_are_read(rig: Rig, dead: set[int]) -> None:
    for servo_id in dead:
        rig.unplug_servo(servo_id)
    read = rig.bus.read_states(IDS)
    assert set(read.states) == set(IDS) - dead
    assert read.retried == len(dead)
    assert not read.garbled
    for servo_id in dead:
        assert not rig.bus.ping(servo_id)
        with pytest.raises(NoReplyError, match=str(servo_id)):
            rig.bus.read_block(servo_id, *reg.CONTROL_BLOCK)
        with pytest.raises(NoReplyError, match=str(servo_id)):
            rig.bus.write_register(servo_id, reg.TORQUE_ENABLE, 0)
        rig.plug_servo(servo_id)
    assert set(rig.bus.read_states(IDS).states) == set(IDS)


def test_a_bus_without_servos_reads_nothing(rig: Rig) -> None:
    for servo_id in IDS:
        rig.unplug_servo(servo_id)
    assert rig.bus.read_states(IDS).states == {}
    for servo_id in IDS:
        rig.plug_servo(servo_id)


def test_a_closed_port_is_an_error_and_closing_twice_is_not(rig: Rig) -> None:
    rig.bus.close()
    rig.bus.close()
    assert not rig.bus.is_open
    for use in (
        lambda: rig.bus.ping(1),
        lambda: rig.bus.read_states(IDS),
        lambda: rig.bus.read_block(1, *reg.CONTROL_BLOCK),
        lambda: rig.bus.write_register(1, reg.TORQUE_ENABLE, 0),
        lambda: rig.bus.write_goals({1: 2048}),
    ):
        with pytest.raises(PortError):
            use()
    rig.bus.open()
    rig.bus.open()
    assert rig.bus.ping(1)


def test_the_arm_class_takes_the_bus_from_open_to_torque(rig: Rig) -> None:
    arm = Arm(rig.bus, rig.calibration)
    arm.open()
    arm.identify()
    arm.verify_settings()
    before = arm.read().positions
    goals = arm.torque_on()
    assert arm.torque().all()
    assert goals == pytest.approx(before, abs=0.02)
    arm.torque_off()
    assert not arm.torque().any()
    arm.torque_on()


def test_a_vanished_port_is_an_error_and_can_be_opened_again(rig: Rig) -> None:
    rig.unplug_port()
    with pytest.raises(PortError, match="plug the arm in"):
        rig.bus.read_states(IDS)
    if isinstance(rig.bus, MemoryBus):
        rig.bus.unplugged = False
    rig.bus.close()
    deadline = time.monotonic() + 5  # the tty is back after 50 ms
    while not rig.bus.is_open and time.monotonic() < deadline:
        with contextlib.suppress(PortError):
            rig.bus.open()
        time.sleep(0.01)
    assert set(rig.bus.read_states(IDS).states) == set(IDS)
