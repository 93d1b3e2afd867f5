# SPDX-License-Identifier: Apache-2.0
"""How the belt of one scene runs, and when the cube is nudged: drawn from the scene's seed, whatever the arm does.

Times are seconds since the scene was laid out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from so101_sim.errors import ArrayShapeError

STRETCHES = 64
"""Most stretches of constant speed in one motion."""

ARRAY_SIZE = 2 + 2 * STRETCHES
"""Length of a motion as an array."""

_CHANGING_UNTIL_S = 20.0  # no episode is longer
_SPEEDS_M_S, _STRETCH_S = (0.02, 0.08), (0.4, 1.2)
_BACK_RATIO, _BACK_SPEEDS_M_S, _BACK_S = 0.25, (0.02, 0.05), (0.3, 0.6)
_NUDGE_AT_S, _NUDGE_M = (0.3, 1.4), (0.02, 0.04)  # before the expert closes its jaws, at 1.9 s
_STILL_RATIO, _STILL_S = 0.35, (0.3, 0.8)
_LATE_NUDGE_AT_S, _SMALL_NUDGE_M = (0.3, 2.2), (0.01, 0.025)  # also while the jaws close; they are open by 10 cm


@dataclass(frozen=True, slots=True)
class BeltMotion:
    """Stretches of constant speed one after another, and at most one nudge. ArrayShapeError if the arrays do not match.

    Attributes:
        ends_s: (n,), when each stretch ends, ascending, n from 1 to STRETCHES; the last one runs on.
        speeds_m_s: (n,), of the belt in each; negative runs backwards.
        nudge_s: when the cube is moved along the belt at once; infinity for never.
        nudge_m: by how much; negative is against the belt's heading.
    """

    ends_s: NDArray[np.float64]
    speeds_m_s: NDArray[np.float64]
    nudge_s: float = math.inf
    nudge_m: float = 0.0

    def __post_init__(self) -> None:
        """Check the shapes."""
        ends, speeds = self.ends_s.shape, self.speeds_m_s.shape
        if ends != speeds or len(ends) != 1 or not 1 <= ends[0] <= STRETCHES:
            raise ArrayShapeError(f"ends_s has shape {ends}, speeds_m_s {speeds}: expected 1 to {STRETCHES} of each")

    def speed_at(self, time_s: float) -> float:
        """Speed of the belt at that time, m/s."""
        stretch = int(np.searchsorted(self.ends_s, time_s, side="right"))
        return float(self.speeds_m_s[min(stretch, len(self.speeds_m_s) - 1)])

    def next_change_s(self, time_s: float) -> float:
        """When the belt does something else for the first time after `time_s`; infinity for never."""
        later = self.ends_s[:-1][self.ends_s[:-1] > time_s]
        nudge_s = self.nudge_s if self.nudge_s > time_s else math.inf
        return min(float(later[0]) if len(later) else math.inf, nudge_s)

    def to_array(self) -> NDArray[np.float64]:
        """The same as (ARRAY_SIZE,) numbers, as the simulator carries it with its state."""
        rest = STRETCHES - len(self.ends_s)
        ends = np.concatenate([self.ends_s[:-1], np.full(rest + 1, math.inf)])
        speeds = np.concatenate([self.speeds_m_s, np.zeros(rest)])
        return np.concatenate([[self.nudge_s, self.nudge_m], ends, speeds])

    @classmethod
    def from_array(cls, numbers: NDArray[np.float64]) -> BeltMotion:
        """A motion out of `to_array`; its last stretch ends at infinity. ArrayShapeError for another length."""
        if numbers.shape != (ARRAY_SIZE,):
            raise ArrayShapeError(f"a motion has shape {numbers.shape}: expected ({ARRAY_SIZE},)")
        ends, speeds = numbers[2 : 2 + STRETCHES], numbers[2 + STRETCHES :]
        count = int(np.searchsorted(ends, math.inf)) + 1
        return cls(ends[:count].copy(), speeds[:count].copy(), float(numbers[0]), float(numbers[1]))


def steady(_seed: int, speed_m_s: float) -> BeltMotion:
    """The belt runs at one speed, whatever the seed."""
    return BeltMotion(np.array([math.inf]), np.array([speed_m_s]))


def changing(seed: int, _speed_m_s: float) -> BeltMotion:
    """The belt runs at 2 to 8 cm/s and changes its speed every 0.4 to 1.2 s."""
    return _drawn(_source(seed), back_ratio=0.0)


def reversing(seed: int, _speed_m_s: float) -> BeltMotion:
    """As `changing`; after each stretch forwards it runs back at 2 to 5 cm/s for 0.3 to 0.6 s in one case of four."""
    return _drawn(_source(seed), back_ratio=_BACK_RATIO)


def nudged(seed: int, speed_m_s: float) -> BeltMotion:
    """The belt runs at one speed; between 0.3 and 1.4 s the cube is moved along it at once, by 2 to 4 cm either way."""
    source = _source(seed)
    at_s, way_m = source.uniform(*_NUDGE_AT_S), source.uniform(*_NUDGE_M)
    heading = 1.0 if source.random() < 0.5 else -1.0
    return BeltMotion(np.array([math.inf]), np.array([speed_m_s]), float(at_s), float(heading * way_m))


def stopping(seed: int, _speed_m_s: float) -> BeltMotion:
    """As `changing`, but in 0.35 of the cases the belt stands still for 0.3 to 0.8 s after a stretch.

    One nudge is of 1 to 2.5 cm either way, between 0.3 and 2.2 s. The belt never runs backwards.
    """
    source = _source(seed)
    ends: list[float] = []
    speeds: list[float] = []
    while not ends or ends[-1] < _CHANGING_UNTIL_S:
        still = bool(speeds) and speeds[-1] > 0.0 and source.random() < _STILL_RATIO
        lasts_s = source.uniform(*(_STILL_S if still else _STRETCH_S))
        speeds.append(0.0 if still else source.uniform(*_SPEEDS_M_S))
        ends.append((ends[-1] if ends else 0.0) + lasts_s)
    at_s, way_m = source.uniform(*_LATE_NUDGE_AT_S), source.uniform(*_SMALL_NUDGE_M)
    heading = 1.0 if source.random() < 0.5 else -1.0
    return BeltMotion(np.array(ends), np.array(speeds), float(at_s), float(heading * way_m))


def _source(seed: int) -> np.random.Generator:
    """Apart from the numbers that place the cube."""
    return np.random.default_rng([seed, 77])


def _drawn(source: np.random.Generator, back_ratio: float) -> BeltMotion:
    ends: list[float] = []
    speeds: list[float] = []
    while not ends or ends[-1] < _CHANGING_UNTIL_S:
        may_turn = back_ratio > 0.0 and bool(speeds) and speeds[-1] > 0.0
        back = may_turn and source.random() < back_ratio
        lasts_s = source.uniform(*(_BACK_S if back else _STRETCH_S))
        speed = -source.uniform(*_BACK_SPEEDS_M_S) if back else source.uniform(*_SPEEDS_M_S)
        ends.append((ends[-1] if ends else 0.0) + lasts_s)
        speeds.append(speed)
    return BeltMotion(np.array(ends), np.array(speeds))
