# SPDX-License-Identifier: Apache-2.0
"""The safety gate's transition table: what each event does in each mode.

The gate decides by this table, `docs/reference/states.md` is printed from it, and the tests walk over it. An event for
which a mode has no entry changes nothing: what is not listed is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from so101_node.protocol import DriverState

from so101_driver.core import causes


class GateMode(Enum):
    """The gate's states, finer than DriverStatus.state: HOLD is four of them."""

    NO_BUS = "no port, or no servo replies; nothing is known of the arm"
    RELEASED = "torque is off, or being switched on for the first time"
    HOLD = "the goals come to rest; a command near the joint positions engages"
    PARKING = "`park` was called: slowly to park_positions"
    UNATTENDED = "nobody commanded for hold_limit_s: more slowly to park_positions; a command ends it"
    STOPPING = "the driver is stopping: the goals come to rest, no command engages any more"
    ENGAGED = "commands are followed"
    LATCHED = "a fault or an emergency stop: the goals come to rest until `reset`"

    @property
    def state(self) -> DriverState:
        """What DriverStatus shows."""
        return _SHOWN.get(self) or DriverState[self.name]


_SHOWN: Final = dict.fromkeys((GateMode.PARKING, GateMode.UNATTENDED, GateMode.STOPPING), DriverState.HOLD)


class GateEvent(Enum):
    """What can happen; the value is the row of the table for people."""

    OPENED_LIMP = "port open; no servo has torque, joint positions as before"
    OPENED_HELD = "port open; servos hold, joint positions as before"
    OPENED_MOVED = "port open; a joint moved by more than `engage_tolerance_rad`"
    OPENED_AFTER_RELEASE = "port open; it was RELEASED before"
    OPENED_AFTER_LATCH = "port open; it was LATCHED before, or `emergency_stop` was called meanwhile"
    BUS_LOST = "serial port gone, or it cannot be opened"
    SERVOS_SILENT = "all servos silent for 0.3 s"
    PREPARED = "torque came on"
    REFUSED_LIMP = "torque refused; no servo holds"
    REFUSED_HELD = "torque refused, or kept; servos hold"
    TORQUE_IS_OFF = "torque went off as ordered"
    SOMEBODY_IS_THERE = "any command or `reset`"
    COMMAND = "command near the joint positions or the goal"
    SILENCE = "no command for `command_timeout_s`"
    NOISE = "damaged or missing replies"
    ANSWERS_LATE = "no servo heard for 5 ticks, nothing damaged"
    FAULT = "fault of a joint: STALL, OVERLOAD, ..."
    TORQUE_LOST = "torque of a servo gone"
    HOLD_LIMIT = "no command for `hold_limit_s`"
    ARRIVED = "arrived at park_positions, or blocked before it"
    ARRIVED_AT_REST = "arrived at park_positions where `rests_when_parked`"
    EMERGENCY_STOP = "`emergency_stop`"
    RESET = "`reset`, and no fault stands"
    PARK = "`park`, with the goals at rest"
    RELEASE = "`release`, at rest or with `release_anywhere`"
    STOP = "the driver is shutting down"


class Effect(Enum):
    """What a transition does besides changing the mode; the value is for people."""

    REMEMBER = "remembers the mode"
    DISARM = "no goal is written any more"
    SEED = "goals begin where the servos hold"
    BRAKE = "goals brake"
    FOLLOW = "goals follow the commands"
    PARK = "goals go to park_positions"
    PARK_SLOWLY = "goals go to park_positions at 0.25 rad/s at most"
    PROTECT = "the joints concerned are relieved"
    PROTECT_MORE = "further joints are relieved and named"
    LATCH_LATER = "LATCHED once the port is open"
    ORDER_PREPARE = "orders PREPARE"
    ORDER_TORQUE_OFF = "orders TORQUE_OFF"
    ORDER_CLOSE_PORT = "orders CLOSE_PORT"


OF_EVENT: Final = "of the event"
"""Cause that the event brings along: which fault, why the bus is away."""
KEPT: Final = "kept"
"""Cause and message stay as they are."""


@dataclass(frozen=True, slots=True)
class Transition:
    """What one event does in one mode."""

    mode: GateMode
    cause: str = ""
    effects: tuple[Effect, ...] = ()


_M, _E, _X = GateMode, GateEvent, Effect
_HOLDING: Final = (_M.HOLD, _M.PARKING, _M.UNATTENDED, _M.STOPPING, _M.ENGAGED)  # goals are written
_ANY_BUS: Final = (_M.RELEASED, *_HOLDING, _M.LATCHED)


def _same(modes: tuple[GateMode, ...], transition: Transition) -> dict[GateMode, Transition]:
    return dict.fromkeys(modes, transition)


_LOST: Final = Transition(_M.NO_BUS, OF_EVENT, (_X.REMEMBER, _X.DISARM))
_SILENT: Final = Transition(_M.NO_BUS, causes.SERVOS_SILENT, (_X.REMEMBER, _X.DISARM, _X.ORDER_CLOSE_PORT))
_BRAKE_AND_LATCH: Final = (_X.BRAKE, _X.PROTECT)
_SWITCHED_ON: Final = Transition(_M.HOLD, "", (_X.SEED,))
_RELEASED: Final = Transition(_M.RELEASED, causes.RELEASED_BY_REQUEST, (_X.DISARM,))

TRANSITIONS: Final[Mapping[GateEvent, Mapping[GateMode, Transition]]] = {
    _E.OPENED_LIMP: {_M.NO_BUS: Transition(_M.RELEASED, causes.STARTING, (_X.ORDER_PREPARE,))},
    _E.OPENED_HELD: {_M.NO_BUS: Transition(_M.LATCHED, causes.STARTING, (_X.ORDER_PREPARE,))},
    _E.OPENED_MOVED: {_M.NO_BUS: Transition(_M.LATCHED, causes.MOVED_WHILE_AWAY)},
    _E.OPENED_AFTER_RELEASE: {_M.NO_BUS: Transition(_M.RELEASED, OF_EVENT)},
    _E.OPENED_AFTER_LATCH: {_M.NO_BUS: Transition(_M.LATCHED, OF_EVENT)},
    _E.BUS_LOST: {_M.NO_BUS: Transition(_M.NO_BUS, OF_EVENT), **_same(_ANY_BUS, _LOST)},
    _E.SERVOS_SILENT: _same(_ANY_BUS, _SILENT),
    _E.PREPARED: _same((_M.RELEASED, _M.LATCHED), _SWITCHED_ON),
    _E.REFUSED_LIMP: _same(_ANY_BUS, Transition(_M.RELEASED, OF_EVENT, (_X.DISARM,))),
    _E.REFUSED_HELD: _same(_ANY_BUS, Transition(_M.LATCHED, OF_EVENT, (_X.DISARM,))),
    _E.TORQUE_IS_OFF: {
        **_same(_ANY_BUS, _RELEASED),
        _M.UNATTENDED: Transition(_M.RELEASED, causes.HOLD_LIMIT, (_X.DISARM,)),
    },
    _E.SOMEBODY_IS_THERE: {_M.UNATTENDED: Transition(_M.HOLD, "", (_X.BRAKE,))},
    _E.COMMAND: {_M.HOLD: Transition(_M.ENGAGED, "", (_X.FOLLOW,)), _M.ENGAGED: Transition(_M.ENGAGED, KEPT)},
    _E.SILENCE: {_M.ENGAGED: Transition(_M.HOLD, causes.COMMAND_TIMEOUT, (_X.BRAKE,))},
    _E.NOISE: _same((_M.PARKING, _M.UNATTENDED, _M.ENGAGED), Transition(_M.HOLD, causes.BUS_NOISE, (_X.BRAKE,))),
    _E.ANSWERS_LATE: _same(
        (_M.PARKING, _M.UNATTENDED, _M.ENGAGED), Transition(_M.HOLD, causes.ANSWERS_LATE, (_X.BRAKE,))
    ),
    _E.FAULT: {
        **_same(_HOLDING, Transition(_M.LATCHED, OF_EVENT, _BRAKE_AND_LATCH)),
        _M.LATCHED: Transition(_M.LATCHED, KEPT, (_X.PROTECT_MORE,)),
    },
    _E.TORQUE_LOST: _same((*_HOLDING, _M.LATCHED), Transition(_M.LATCHED, causes.TORQUE_LOST, _BRAKE_AND_LATCH)),
    _E.HOLD_LIMIT: {_M.HOLD: Transition(_M.UNATTENDED, causes.HOLD_LIMIT, (_X.PARK_SLOWLY,))},
    _E.ARRIVED: {_M.PARKING: Transition(_M.HOLD), _M.UNATTENDED: Transition(_M.HOLD, causes.HOLD_LIMIT)},
    _E.ARRIVED_AT_REST: {
        _M.PARKING: Transition(_M.HOLD),
        _M.UNATTENDED: Transition(_M.UNATTENDED, KEPT, (_X.ORDER_TORQUE_OFF,)),
    },
    _E.EMERGENCY_STOP: {
        _M.NO_BUS: Transition(_M.NO_BUS, KEPT, (_X.LATCH_LATER,)),
        **_same(_ANY_BUS, Transition(_M.LATCHED, causes.EMERGENCY_STOP, _BRAKE_AND_LATCH)),
    },
    _E.RESET: {mode: Transition(mode, KEPT, (_X.ORDER_PREPARE,)) for mode in (_M.RELEASED, _M.LATCHED)},
    _E.PARK: _same((_M.HOLD, _M.PARKING, _M.UNATTENDED), Transition(_M.PARKING, causes.PARKING, (_X.PARK,))),
    _E.RELEASE: {
        mode: Transition(mode, KEPT, (_X.ORDER_TORQUE_OFF,)) for mode in (_M.RELEASED, _M.HOLD, _M.STOPPING, _M.LATCHED)
    },
    _E.STOP: _same(_HOLDING, Transition(_M.STOPPING, causes.STOPPING, (_X.BRAKE,))),
}


def transition(event: GateEvent, mode: GateMode) -> Transition | None:
    """What `event` does in `mode`; None: nothing."""
    return TRANSITIONS[event].get(mode)
