# SPDX-License-Identifier: Apache-2.0
"""What the control socket understands: `ping`, `stats`, scenes, `advance` and the faults.

ping                      stats                     advance NS
reset_scene TASK SEED     hold_scene TASK SEED      start_world
fault servo_off ID        fault servo_on ID         fault stall ID             fault free ID
fault status ID BITS      fault temperature ID C    fault voltage V            fault power_cycle
fault corrupt PCT         fault drop PCT            fault late_ms MS           fault unplug SECONDS
fault slip ID STEPS       fault clear

`hold_scene` does what `reset_scene` does, with belt and hand at a stand until `start_world`. The reply to a fault is
the monotonic time at which it was there, ns.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from so101_sim.core.virtual_bus import BusFaults, VirtualBus
from so101_sim.core.virtual_servo import AMBIENT_C, SUPPLY_V, VirtualServo
from so101_sim.errors import SimulationError
from so101_sim.world.plant import ArmPlant

_LONGEST_ADVANCE_NS = 3_600_000_000_000
_LONGEST_UNPLUG_S = 3600.0


class CommandError(SimulationError):
    """A command that is not understood or not possible now."""


class Host(Protocol):
    """What commands ask of the process as a whole."""

    def reset_scene(self, task: str, seed: int, *, holds_world: bool = False) -> None:
        """Places the objects; SimulationError if that cannot be done."""

    def start_world(self) -> None:
        """Begins what a belt or a hand that is held does."""

    def advance(self, duration_ns: int) -> None:
        """Advances the physics; SimulationError if it follows the clock."""

    def unplug(self, duration_s: float) -> None:
        """Takes the serial port away for a while."""

    def stats(self) -> str:
        """Counters, `name=value` separated by blanks."""


class ControlCommands:
    """Turns a line into a deed and its reply."""

    def __init__(self, host: Host, plant: ArmPlant, bus: VirtualBus) -> None:
        self._host = host
        self._plant = plant
        self._bus = bus
        self._commands: dict[str, tuple[str, Callable[[Sequence[str]], str | None]]] = {
            "ping": ("", lambda _: None),
            "stats": ("", lambda _: host.stats()),
            "reset_scene": ("TASK SEED", lambda words: self._reset_scene(words, holds_world=False)),
            "hold_scene": ("TASK SEED", lambda words: self._reset_scene(words, holds_world=True)),
            "start_world": ("", lambda _: host.start_world()),
            "advance": ("NS", self._advance),
            "fault": ("NAME ...", self._fault),
        }
        self._faults: dict[str, tuple[str, Callable[[Sequence[str]], None]]] = {
            "servo_off": ("ID", lambda words: self._servo(words[0]).cut_power()),
            "servo_on": ("ID", lambda words: self._servo(words[0]).restore_power()),
            "stall": ("ID", lambda words: plant.block(self._servo(words[0]).id, True)),
            "free": ("ID", lambda words: plant.block(self._servo(words[0]).id, False)),
            "status": ("ID BITS", self._status),
            "temperature": ("ID C", lambda words: self._servo(words[0]).set_temperature(_number(words[1], 0, 255))),
            "slip": ("ID STEPS", self._slip),
            "voltage": ("V", self._voltage),
            "power_cycle": ("", self._power_cycle),
            "corrupt": ("PCT", self._corrupt),
            "drop": ("PCT", self._drop),
            "late_ms": ("MS", self._late),
            "unplug": ("SECONDS", lambda words: host.unplug(_number(words[0], 0, _LONGEST_UNPLUG_S))),
            "clear": ("", self._clear),
        }

    def reply(self, line: str) -> str:
        """`ok`, `ok` and a result, or `error: ` and why not; never raises for what a user can send."""
        try:
            result = _dispatch(self._commands, line.split(), "command")
        except SimulationError as error:
            return f"error: {error}"
        return f"ok {result}" if result else "ok"

    def _reset_scene(self, words: Sequence[str], *, holds_world: bool) -> None:
        self._host.reset_scene(words[0], _integer(words[1], 0, 2**64 - 1), holds_world=holds_world)

    def _advance(self, words: Sequence[str]) -> None:
        self._host.advance(_integer(words[0], 0, _LONGEST_ADVANCE_NS))

    def _fault(self, words: Sequence[str]) -> str:
        _dispatch(self._faults, words, "fault")
        return str(time.monotonic_ns())

    def _servo(self, word: str) -> VirtualServo:
        servo_id = _integer(word, 0, 253)
        try:
            return self._plant.servo(servo_id)
        except KeyError:
            ids = ", ".join(str(servo.id) for servo in self._plant.servos)
            raise CommandError(f"servo {servo_id}: not on the bus; there are {ids}") from None

    def _status(self, words: Sequence[str]) -> None:
        self._servo(words[0]).injected_status = _integer(words[1], 0, 127)

    def _slip(self, words: Sequence[str]) -> None:
        self._servo(words[0]).slip = _integer(words[1], -4096, 4096)

    def _voltage(self, words: Sequence[str]) -> None:
        for servo in self._plant.servos:
            servo.set_voltage(_number(words[0], 0, 25.5))

    def _power_cycle(self, _: Sequence[str]) -> None:
        for servo in self._plant.servos:
            servo.cut_power()
            servo.restore_power()

    def _corrupt(self, words: Sequence[str]) -> None:
        self._bus.faults.corrupt_pct = _number(words[0], 0, 100)

    def _drop(self, words: Sequence[str]) -> None:
        self._bus.faults.drop_pct = _number(words[0], 0, 100)

    def _late(self, words: Sequence[str]) -> None:
        self._bus.faults.late_ns = round(_number(words[0], 0, 60_000) * 1e6)

    def _clear(self, _: Sequence[str]) -> None:
        self._bus.faults = BusFaults()
        for servo in self._plant.servos:
            servo.injected_status = servo.slip = 0
            servo.set_voltage(SUPPLY_V)
            servo.set_temperature(AMBIENT_C)
            self._plant.block(servo.id, False)
            if not servo.powered:
                servo.restore_power()


def _dispatch[Result](
    table: dict[str, tuple[str, Callable[[Sequence[str]], Result]]], words: Sequence[str], kind: str
) -> Result:
    name = words[0] if words else ""
    if name not in table:
        raise CommandError(f"{kind} {name!r}: unknown; there are {', '.join(table)}")
    usage, deed = table[name]
    expected = len(usage.split())
    if len(words) - 1 != expected and "..." not in usage:
        raise CommandError(f"{name}: expected {usage or 'nothing'} after it, got {' '.join(words[1:]) or 'nothing'}")
    return deed(words[1:])


def _integer(word: str, lowest: int, highest: int) -> int:
    try:
        value = int(word)
    except ValueError:
        value = lowest - 1
    if not lowest <= value <= highest:
        raise CommandError(f"{word}: expected a whole number from {lowest} to {highest}")
    return value


def _number(word: str, lowest: float, highest: float) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not lowest <= value <= highest:
        raise CommandError(f"{word}: expected a number from {lowest:g} to {highest:g}")
    return value
