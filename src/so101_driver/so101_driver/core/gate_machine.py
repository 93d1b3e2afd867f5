# SPDX-License-Identifier: Apache-2.0
"""The gate's state: the mode, how it came about, and what transitions do to goals and servos.

`gate_table` decides; this module carries its effects out. What happened is judged in `safety_gate`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from so101_node.protocol import FloatArray

from so101_driver.core import causes
from so101_driver.core.arm import JOINTS, ArmReading
from so101_driver.core.fault_monitor import Fault
from so101_driver.core.fault_relief import FaultRelief
from so101_driver.core.gate_table import KEPT, OF_EVENT, Effect, GateEvent, GateMode, transition
from so101_driver.core.gate_values import GateConfig, ServoOrder
from so101_driver.core.goal_path import GoalPath

_PROTECTIVE: Final = (ServoOrder.HOLD_HERE, ServoOrder.LOWER_TORQUE)
_UNATTENDED_RAD_S: Final = 0.25  # of the fastest joint
_NOWHERE: Final[FloatArray] = np.full(JOINTS, np.nan)


@dataclass(frozen=True, slots=True)
class Shown:
    """What people are told of a mode."""

    mode: GateMode
    cause: str
    message: str


@dataclass(frozen=True, slots=True)
class _Facts:
    """What came along with an event."""

    message: str
    cause: str
    joints: tuple[int, ...]
    positions: FloatArray
    now_ns: int


class GateMachine:
    """Mode, goals and orders of one arm. Only `take` changes the mode."""

    def __init__(self, config: GateConfig) -> None:
        self._config = config
        self.shown = Shown(GateMode.NO_BUS, causes.STARTING, "the port is not open yet")
        self.before_loss: Shown | None = None
        self.path = GoalPath(
            config.limits,
            config.period_s,
            interpolate=config.interpolate,
            deceleration_rad_s2=config.hold_deceleration_rad_s2,
        )
        self.relief = FaultRelief(self.path, config.emergency_error_rad)
        self.armed = False
        """Goals may be written only between torque that came on and the loss of the bus or of the torque."""
        self.measured: FloatArray = _NOWHERE.copy()  # rad; of each joint the newest answer
        self.reading: ArmReading | None = None
        self._orders: list[ServoOrder] = []
        self._effects: Mapping[Effect, Callable[[_Facts], None]] = {
            Effect.REMEMBER: lambda _: self._remember(self.shown),
            Effect.LATCH_LATER: lambda facts: self._remember(
                Shown(GateMode.LATCHED, causes.EMERGENCY_STOP, facts.message)
            ),
            Effect.DISARM: lambda _: self._disarm(),
            Effect.SEED: lambda facts: self._seed(facts.positions),
            Effect.BRAKE: lambda _: self.path.brake(),
            Effect.FOLLOW: lambda facts: self.path.follow_from(facts.positions, facts.now_ns),
            Effect.PARK: lambda facts: self._park(config.park_speed_rad_s, facts.now_ns),
            Effect.PARK_SLOWLY: lambda facts: self._park(min(config.park_speed_rad_s, _UNATTENDED_RAD_S), facts.now_ns),
            Effect.PROTECT: self._protect,
            Effect.PROTECT_MORE: self._protect_more,
            Effect.ORDER_PREPARE: lambda _: self._order(ServoOrder.PREPARE),
            Effect.ORDER_TORQUE_OFF: lambda _: self._order(ServoOrder.TORQUE_OFF),
            Effect.ORDER_CLOSE_PORT: lambda _: self._order(ServoOrder.CLOSE_PORT),
        }

    @property
    def mode(self) -> GateMode:
        """Current mode."""
        return self.shown.mode

    @property
    def has_orders(self) -> bool:
        """Whether orders wait for the end of the tick."""
        return bool(self._orders)

    def allows(self, event: GateEvent) -> bool:
        """Whether the event changes anything in this mode."""
        return transition(event, self.mode) is not None

    def take(
        self,
        event: GateEvent,
        message: str = "",
        *,
        cause: str = "",
        joints: tuple[int, ...] = (),
        positions: FloatArray = _NOWHERE,
        now_ns: int = 0,
    ) -> bool:
        """Let an event happen: the effects of its transition, then the mode. Returns whether there is a transition.

        `cause`: for transitions whose cause is OF_EVENT. `joints`: the fault's. `positions`: (6,), rad, of a command or
        of the goals that the servos hold.
        """
        step = transition(event, self.mode)
        if step is None:
            return False
        facts = _Facts(message, cause or step.cause, joints, positions, now_ns)
        for effect in step.effects:
            self._effects[effect](facts)
        if step.cause == KEPT:
            self.shown = Shown(step.mode, self.shown.cause, self.shown.message)
        else:
            self.shown = Shown(step.mode, cause if step.cause == OF_EVENT else step.cause, message)
        return True

    def say(self, message: str) -> None:
        """Tell people something else of the same mode and cause."""
        self.shown = Shown(self.shown.mode, self.shown.cause, message)

    def see(self, reading: ArmReading) -> None:
        """Take in a reading; of servos that did not answer the position before stays."""
        self.measured = np.where(reading.answered, reading.positions, self.measured)
        self.reading = reading

    def take_orders(self) -> tuple[ServoOrder, ...]:
        """The orders of this tick, once."""
        orders, self._orders = tuple(self._orders), []
        return orders

    # --- effects ----------------------------------------------------------------------------------------------------

    def _remember(self, shown: Shown) -> None:
        self.before_loss = shown

    def _disarm(self) -> None:
        self.armed = False
        self.path.brake()
        self._orders.clear()

    def _seed(self, goal: FloatArray) -> None:
        self.path.seed(goal)
        self.relief.reset()
        self.armed = True

    def _park(self, speed_rad_s: float, now_ns: int) -> None:
        self.path.park(self._config.park_positions, speed_rad_s, now_ns)

    def _order(self, order: ServoOrder) -> None:
        self._orders = [order]

    def _protect(self, facts: _Facts) -> None:
        fault = Fault(facts.cause, facts.joints, facts.message)
        if self.armed:
            self.relief.settle(fault, self.measured)
        self._orders = list(self.relief.protect(fault, self.reading, self.armed))  # no PREPARE may undo the latch

    def _protect_more(self, facts: _Facts) -> None:
        orders = self.relief.protect(Fault(facts.cause, facts.joints, facts.message), self.reading, self.armed)
        if not orders:
            return
        kept = [order for order in self._orders if order in _PROTECTIVE and order not in orders]
        self._orders = [*kept, *orders]
        if self.shown.cause != causes.POSITION_JUMP:
            self.say(f"{self.shown.message}; {facts.message}")
