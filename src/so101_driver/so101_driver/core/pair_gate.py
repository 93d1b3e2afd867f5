# SPDX-License-Identifier: Apache-2.0
"""The gate before the drivers of a pair of arms: a command goes to both arms or to neither.

Each driver keeps a gate of its own, with its own limits; this one only decides whether a command goes on to both. It
lets one arm hold by being silent: a driver without commands brakes within its limits and holds, which no goal sent from
here could do better, since this gate knows the goals of a moving arm only as its last status told them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
from so101_node.protocol import DriverState, FloatArray

from so101_driver.core import causes

ARM_MISSING: Final = "ARM_MISSING"
ARM_SILENT: Final = "ARM_SILENT"
ARM_NOT_ENGAGED: Final = "ARM_NOT_ENGAGED"
ARM_NOT_HOLDING: Final = "ARM_NOT_HOLDING"

PAUSES: Final = (causes.COMMAND_TIMEOUT, causes.ANSWERS_LATE)
"""HOLD with these is no fault: the action queue resumes automatically."""

LOST_S: Final = 0.5
"""A driver says its status at 10 Hz in every state; older than five of them and nothing is known."""

_WORST: Final = (DriverState.NO_BUS, DriverState.LATCHED, DriverState.RELEASED)
_UP: Final = (DriverState.HOLD, DriverState.ENGAGED)


class PairMode(Enum):
    """What becomes of commands."""

    HOLDING = 0
    """Both arms hold; a command near both engages."""
    ENGAGING = 1
    """Commands near both go on, until both drivers say that they follow."""
    ENGAGED = 2
    """Commands go on to both."""
    SETTLING = 3
    """Nothing goes on, until no arm follows any more."""


@dataclass(frozen=True, slots=True, eq=False)
class ArmReport:
    """What the gate needs of a DriverStatus; goal: (joints,), rad."""

    driver_id: int
    state: DriverState
    cause: str
    message: str
    goal: FloatArray


@dataclass(frozen=True, slots=True)
class PairShown:
    """State, cause and message of the pair, as DriverStatus shows them."""

    state: DriverState
    cause: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class PairConfig:
    """What the gate must know beforehand; the parameters of driver_pair of the same names."""

    arms: tuple[str, ...]
    engage_tolerance_rad: float
    engage_within_s: float
    arm_silent_s: float


@dataclass(slots=True)
class _Arm:
    """One driver as it was heard."""

    name: str
    report: ArmReport | None = None
    status_ns: int = 0
    positions: FloatArray | None = None
    positions_ns: int = 0

    def is_in(self, *states: DriverState) -> bool:
        return self.report is not None and self.report.state in states

    def silent_for_s(self, now_ns: int) -> float:
        """How long what must keep coming has not come: positions where the driver is up, else its status."""
        status_s = (now_ns - self.status_ns) / 1e9
        return max((now_ns - self.positions_ns) / 1e9, status_s - LOST_S) if self.is_in(*_UP) else status_s - LOST_S

    def is_lost(self, now_ns: int) -> bool:
        return now_ns - self.status_ns > LOST_S * 1e9 or (self.is_in(*_UP) and self.silent_for_s(now_ns) > LOST_S)

    def words(self) -> str:
        """State, cause and message, for people."""
        report = self.report
        if report is None:
            return f"{self.name} said nothing yet"
        cause = f" ({report.cause})" if report.cause else ""
        return f"{self.name} is {report.state.name}{cause}{': ' if report.message else ''}{report.message}"


class PairGate:
    """See the module. Not thread-safe."""

    def __init__(self, config: PairConfig, now_ns: int) -> None:
        self._config = config
        self._arms = {name: _Arm(name) for name in config.arms}
        self._mode = PairMode.HOLDING
        self._since_ns = now_ns  # when this mode began
        self._was_engaged = False  # before it
        self._refusal = ""  # why the last engaging came to nothing
        self._watched_ns = now_ns
        self.rejected = 0

    @property
    def mode(self) -> PairMode:
        """Current mode."""
        return self._mode

    # -- what happens ------------------------------------------------------------------------------------------------

    def hear_status(self, arm: str, now_ns: int, report: ArmReport) -> None:
        """A DriverStatus of that arm."""
        heard = self._arms[arm]
        heard.report, heard.status_ns = report, now_ns
        self._advance(now_ns)

    def hear_positions(self, arm: str, now_ns: int, positions: FloatArray) -> None:
        """Measured positions of that arm, (joints,), rad."""
        heard = self._arms[arm]
        heard.positions, heard.positions_ns = positions, now_ns

    def watch(self, now_ns: int, period_s: float) -> None:
        """Look for silence; call every `period_s`. Where this process itself was held up, no arm was silent."""
        held_up_ns = now_ns - self._watched_ns - round(2 * period_s * 1e9)
        self._watched_ns = now_ns
        if held_up_ns > 0:
            for arm in self._arms.values():
                arm.status_ns = min(now_ns, arm.status_ns + held_up_ns)
                arm.positions_ns = min(now_ns, arm.positions_ns + held_up_ns)
        self._advance(now_ns)

    def command(self, now_ns: int, wanted: Mapping[str, FloatArray]) -> bool:
        """Return whether this command goes on to all arms; wanted: (joints,), rad, finite, for each arm."""
        self._advance(now_ns)
        if self._mode is not PairMode.ENGAGED and not self._may_engage(now_ns, wanted):
            self.rejected += 1
            return False
        if self._mode is PairMode.HOLDING:
            self._enter(PairMode.ENGAGING, now_ns)
        return True

    def stop(self, now_ns: int) -> None:
        """Let no command through until no arm follows any more."""
        self._enter(PairMode.SETTLING, now_ns)

    # -- what is shown -----------------------------------------------------------------------------------------------

    def shown(self, now_ns: int) -> PairShown:
        """The state of the pair: the worst of its arms."""
        arms = list(self._arms.values())
        unheard = [arm.name for arm in arms if arm.report is None]
        if unheard:
            text = f"no driver_status yet of {' and '.join(unheard)}: is {unheard[0]}/so101_driver running?"
            return PairShown(DriverState.NO_BUS, ARM_MISSING, text)
        lost = [arm for arm in arms if arm.is_lost(now_ns)]
        if lost:
            text = f"{lost[0].name} was not heard for {LOST_S:g} s: is {lost[0].name}/so101_driver running?"
            return PairShown(DriverState.NO_BUS, ARM_SILENT, text)
        for state in _WORST:
            if found := [arm for arm in arms if arm.is_in(state)]:
                return self._of(state, found)
        if self._mode is PairMode.ENGAGED:
            return PairShown(DriverState.ENGAGED)
        return self._holding(now_ns, arms)

    def _holding(self, now_ns: int, arms: Sequence[_Arm]) -> PairShown:
        """All arms are in HOLD or ENGAGED, the pair is not."""
        still = [arm for arm in arms if arm.is_in(DriverState.HOLD)]
        faults = [arm for arm in still if arm.report and arm.report.cause not in ("", *PAUSES)]
        if faults:
            return self._of(DriverState.HOLD, faults)
        if self._mode is PairMode.SETTLING:
            if now_ns - self._since_ns > LOST_S * 1e9:
                name = next(arm.name for arm in arms if arm not in still)
                text = f"{name} still follows commands: does somebody else publish {name}/joint_command?"
                return PairShown(DriverState.HOLD, ARM_NOT_HOLDING, text)
            if self._was_engaged and all(arm.report and arm.report.cause for arm in still):
                # A pause begins once both arms rest: a plan must not go on from the goal of one that still moves.
                return PairShown(DriverState.ENGAGED)
        if self._refusal:
            return PairShown(DriverState.HOLD, ARM_NOT_ENGAGED, self._refusal)
        late = [arm for cause in PAUSES[::-1] for arm in still if arm.report and arm.report.cause == cause]
        return self._of(DriverState.HOLD, late) if late else PairShown(DriverState.HOLD)

    @staticmethod
    def _of(state: DriverState, arms: Sequence[_Arm]) -> PairShown:
        """The cause of the first arm, and what all of them say."""
        report = arms[0].report
        return PairShown(state, report.cause if report else "", "; ".join(arm.words() for arm in arms))

    # -- inside ------------------------------------------------------------------------------------------------------

    def _advance(self, now_ns: int) -> None:
        arms = self._arms.values()
        follow = [arm.is_in(DriverState.ENGAGED) and not arm.is_lost(now_ns) for arm in arms]
        if self._mode is PairMode.HOLDING:
            if any(follow):  # a command that was under way, or somebody else's
                self._enter(PairMode.SETTLING, now_ns)
        elif self._mode is PairMode.SETTLING:
            if not any(follow):
                self._enter(PairMode.HOLDING, now_ns)
        elif not all(self._is_well(arm, now_ns) for arm in arms) or (
            self._mode is PairMode.ENGAGED and not all(follow)
        ):
            self._enter(PairMode.SETTLING, now_ns)
        elif self._mode is PairMode.ENGAGING:
            if all(follow):
                self._refusal = ""
                self._enter(PairMode.ENGAGED, now_ns)
            elif now_ns - self._since_ns > self._config.engage_within_s * 1e9:
                missing = [arm.words() for arm, follows in zip(arms, follow, strict=True) if not follows]
                self._refusal = f"did not engage within {self._config.engage_within_s:g} s: {'; '.join(missing)}"
                self._enter(PairMode.SETTLING, now_ns)

    def _enter(self, mode: PairMode, now_ns: int) -> None:
        self._was_engaged = self._mode is PairMode.ENGAGED
        self._mode, self._since_ns = mode, now_ns

    def _is_well(self, arm: _Arm, now_ns: int) -> bool:
        """Whether its driver is heard and can follow commands."""
        return arm.is_in(*_UP) and arm.silent_for_s(now_ns) <= self._config.arm_silent_s

    def _may_engage(self, now_ns: int, wanted: Mapping[str, FloatArray]) -> bool:
        if self._mode is PairMode.SETTLING:
            return False
        for arm in self._arms.values():
            report = arm.report
            if report is None or arm.positions is None or not self._is_well(arm, now_ns):
                return False
            if report.cause == causes.PARKING:
                return False
            away = min(_distance(wanted[arm.name], report.goal), _distance(wanted[arm.name], arm.positions))
            if not away <= self._config.engage_tolerance_rad:
                return False
        return True


def _distance(wanted: FloatArray, there: FloatArray) -> float:
    """The largest distance of a joint, rad; infinite where one of them is not known."""
    away = float(np.max(np.abs(wanted - there)))
    return away if np.isfinite(away) else float("inf")
