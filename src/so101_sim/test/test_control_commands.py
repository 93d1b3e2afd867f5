# SPDX-License-Identifier: Apache-2.0
import time

import mujoco
import pytest
from so101_sim.arm.control_commands import CommandError, ControlCommands
from so101_sim.core import servo_registers as reg
from so101_sim.core.virtual_bus import BusFaults, VirtualBus
from so101_sim.world import scene
from so101_sim.world.plant import BLOCKED_DAMPING_NM_S, ArmPlant


class SpyHost:
    """Records what the commands ask of the process."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def reset_scene(self, task: str, seed: int, *, holds_world: bool = False) -> None:
        if task == "impossible":
            raise CommandError("task = impossible: no such task")
        self.calls.append(("hold_scene" if holds_world else "reset_scene", task, seed))

    def start_world(self) -> None:
        self.calls.append(("start_world",))

    def advance(self, duration_ns: int) -> None:
        self.calls.append(("advance", duration_ns))

    def unplug(self, duration_s: float) -> None:
        self.calls.append(("unplug", duration_s))

    def stats(self) -> str:
        return "packets=3"


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return scene.build_model()


class Bench:
    """Commands on a real plant and bus, with a spy for the process."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.host = SpyHost()
        self.plant = ArmPlant(model, scene.new_data(model), scene.before_step)
        self.plant.enable_torque()
        self.bus = VirtualBus(self.plant.servos)
        self.reply = ControlCommands(self.host, self.plant, self.bus).reply

    def fault(self, words: str) -> int:
        """Injects a fault, which succeeds; returns when it was there, ns."""
        ok, at_ns = self.reply(f"fault {words}").split()
        assert ok == "ok"
        return int(at_ns)


@pytest.fixture
def bench(model: mujoco.MjModel) -> Bench:
    return Bench(model)


@pytest.mark.parametrize(
    ("line", "answer", "calls"),
    [
        ("ping", "ok", []),
        ("stats", "ok packets=3", []),
        ("reset_scene static 7", "ok", [("reset_scene", "static", 7)]),
        ("hold_scene belt 7", "ok", [("hold_scene", "belt", 7)]),
        ("start_world", "ok", [("start_world",)]),
        ("advance 33333333", "ok", [("advance", 33_333_333)]),
    ],
)
def test_commands_reach_the_process(bench: Bench, line: str, answer: str, calls: list[object]) -> None:
    assert bench.reply(line) == answer
    assert bench.host.calls == calls


def test_a_fault_is_told_the_time_at_which_it_is_there(bench: Bench) -> None:
    before_ns = time.monotonic_ns()
    assert before_ns <= bench.fault("unplug 0.5") <= time.monotonic_ns()
    assert bench.host.calls == [("unplug", 0.5)]


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("", "unknown"),
        ("dance", "'dance'"),
        ("ping now", "got now"),
        ("reset_scene static", "TASK SEED"),
        ("reset_scene static -1", "-1: expected a whole number from 0"),
        ("reset_scene impossible 1", "no such task"),
        ("advance soon", "soon: expected a whole number"),
        ("fault", "unknown; there are servo_off"),
        ("fault servo_off", "servo_off: expected ID after it, got nothing"),
        ("fault servo_off 9", "servo 9: not on the bus; there are 1, 2, 3, 4, 5, 6"),
        ("fault temperature 3 warm", "warm: expected a number from 0 to 255"),
        ("fault corrupt 101", "101: expected a number from 0 to 100"),
        ("fault late_ms nan", "nan: expected a number"),
        ("fault status 3 128", "128: expected a whole number from 0 to 127"),
    ],
)
def test_what_is_not_understood_is_answered_in_one_line(bench: Bench, line: str, part: str) -> None:
    answer = bench.reply(line)
    assert answer.startswith("error: ")
    assert part in answer
    assert "\n" not in answer
    assert bench.host.calls == []


def test_servos_are_switched_off_and_on(bench: Bench) -> None:
    bench.fault("servo_off 4")
    assert [servo.powered for servo in bench.plant.servos] == [True, True, True, False, True, True]
    bench.fault("servo_on 4")
    assert bench.plant.servo(4).powered
    assert not bench.plant.servo(4).torque_on


def test_sensor_faults_are_what_the_servos_measure(bench: Bench) -> None:
    for fault in ("temperature 3 75", "voltage 3.5", "status 2 8"):
        bench.fault(fault)
    bench.plant.step()
    assert bench.plant.servo(3).registers[reg.PRESENT_TEMPERATURE] == 75
    assert bench.plant.servo(3).status == reg.STATUS_OVERHEAT | reg.STATUS_VOLTAGE
    assert bench.plant.servo(2).status == reg.STATUS_OVERCURRENT | reg.STATUS_VOLTAGE


def test_wire_faults_reach_the_bus(bench: Bench) -> None:
    for fault in ("corrupt 5", "drop 2.5", "late_ms 60"):
        bench.fault(fault)
    assert bench.bus.faults == BusFaults(5.0, 2.5, 60_000_000)


def test_a_power_cycle_leaves_every_servo_limp(bench: Bench) -> None:
    bench.fault("power_cycle")
    assert not any(servo.torque_on for servo in bench.plant.servos)


def test_clear_takes_every_fault_away(bench: Bench) -> None:
    for fault in ("servo_off 1", "stall 2", "status 3 32", "temperature 4 90", "voltage 3", "corrupt 9", "late_ms 9"):
        bench.fault(fault)
    assert bench.plant.model.dof_damping[1] == BLOCKED_DAMPING_NM_S
    bench.fault("clear")
    bench.plant.step()
    assert bench.bus.faults == BusFaults()
    assert bench.plant.model.dof_damping[1] < 1.0
    assert [servo.status for servo in bench.plant.servos] == [0] * 6
    assert all(servo.powered for servo in bench.plant.servos)


def test_free_undoes_stall(bench: Bench) -> None:
    bench.fault("stall 2")
    bench.fault("free 2")
    assert bench.plant.model.dof_damping[1] < 1.0
