# SPDX-License-Identifier: Apache-2.0
"""Encoder positions from read to read: noise dropped, crossings of the 0/4095 seam and impossible jumps found.

A servo counts 0 to 4095 and begins again; it does not know that 4095 and 0 are neighbours, and drives a joint that was
pushed over this seam a whole turn back. Here the count goes on, so that a position stays true after the seam.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from so101_node.protocol import JOINT_NAMES, FloatArray

from so101_driver.core.calibration import MAX_RAW, RAD_PER_STEP, JointCalibration

TURN: Final = MAX_RAW + 1  # encoder steps
# A joint cannot turn farther between two reads than 0.35 rad: the servo reaches about 6 rad/s, reads are 1/60 to 1/30 s
# apart. A packet with two damaged bytes passes the checksum once in 256 times and must not pass for a position.
LARGEST_STEP: Final = 0.35 / RAD_PER_STEP
_SURE_READS: Final = 2  # a crossing is believed at once where the last position is not older than this
_BACK: Final = (
    "hold the arm, switch its torque off, turn the joint back towards its middle, then reset (a driver that "
    "is started again before that does not know of it); where it happens again, run "
    "lerobot-calibrate with the joint in its middle"
)


@dataclass(frozen=True, slots=True)
class Tracked:
    """One read. `steps`: (6,), counted on beyond the seam, NaN where nothing is known or the value is in doubt.

    `jumps`: what is wrong, by joint; `fresh`: the joints where it came with this read.
    """

    steps: FloatArray
    jumps: Mapping[int, str]
    fresh: tuple[int, ...]


class EncoderTrack:
    """Positions of six encoders. Not thread-safe."""

    def __init__(self, joints: Sequence[JointCalibration]) -> None:
        self._joints = tuple(joints)
        count = len(self._joints)
        self._turns: npt.NDArray[np.int64] = np.zeros(count, dtype=np.int64)
        self._accepted = np.full(count, np.nan)
        self._doubtful = np.full(count, np.nan)
        self._reads_since: npt.NDArray[np.int64] = np.zeros(count, dtype=np.int64)
        self._crossed: dict[int, str] = {}
        self._beyond: set[int] = set()
        self._unseen: set[int] = set()

    @property
    def turns(self) -> npt.NDArray[np.int64]:
        """Turns to add to what each servo reports, (6,)."""
        return self._turns.copy()

    def reopen(self) -> None:
        """The servos were out of sight: what a joint did meanwhile is unknown, but not which side of the seam it is on.

        A joint that had crossed it may have been turned back by hand: the nearer side counts.
        """
        self._doubtful[:] = np.nan
        for index in range(len(self._joints)):
            if self._turns[index] == 0:
                self._accepted[index] = np.nan
            else:
                self._unseen.add(index)

    def update(self, raw: FloatArray) -> Tracked:
        """Take one read, (6,), steps as reported, NaN where a servo did not answer."""
        self._reads_since += 1
        for index in [index for index in self._unseen if np.isfinite(raw[index])]:
            self._find_again(index, float(raw[index]))
        steps = raw + TURN * self._turns
        near = np.abs(steps - self._accepted) <= LARGEST_STEP * self._reads_since
        first = np.isnan(self._accepted)
        sound = np.isfinite(raw) & (near | first) & (raw >= 0) & (raw <= MAX_RAW)
        passing: dict[int, str] = {}
        fresh: list[int] = []
        for index in np.flatnonzero(np.isfinite(raw) & ~sound).tolist():
            step, text = self._judge(index, float(raw[index]))
            steps[index] = step
            if np.isfinite(step):
                sound[index] = True
            if text:
                fresh.append(index)
                passing[index] = text
        self._beyond -= set(np.flatnonzero(np.isfinite(raw) & (raw >= 0) & (raw <= MAX_RAW)).tolist())
        steps[~sound] = np.nan
        self._accepted[sound] = steps[sound]
        self._doubtful[sound] = np.nan
        self._reads_since[sound] = 0
        return Tracked(steps, {**self._crossed, **passing}, tuple(fresh))

    def _find_again(self, index: int, raw: float) -> None:
        self._unseen.discard(index)
        self._turns[index] = round((float(self._accepted[index]) - raw) / TURN)
        self._accepted[index] = np.nan
        if not self._turns[index]:
            self._crossed.pop(index, None)

    def _judge(self, index: int, raw: float) -> tuple[float, str]:
        """Position of a joint that is not simply near its last one, NaN for doubt; and what is wrong, or nothing."""
        name = JOINT_NAMES[index]
        if not 0 <= raw <= MAX_RAW:
            if index not in self._beyond:
                self._beyond.add(index)
                return float("nan"), ""
            return raw, f"{name} reports step {raw:.0f}, beyond one turn (0..{MAX_RAW}): cycle its power, then reset"
        last, age = float(self._accepted[index]), int(self._reads_since[index])
        turns = round((last - raw) / TURN)
        counted = raw + TURN * turns
        steps = raw + TURN * int(self._turns[index])
        confirmed = abs(steps - self._doubtful[index]) <= LARGEST_STEP
        crosses = turns != self._turns[index] and abs(counted - last) <= LARGEST_STEP * age
        if crosses and (age <= _SURE_READS or confirmed):
            self._turns[index] = turns
            text = f"{name} went over the encoder's 0/{MAX_RAW} seam (step {last % TURN:.0f} -> {raw:.0f}): {_BACK}"
            if turns:
                self._crossed[index] = text
            else:
                self._crossed.pop(index, None)
            return counted, text
        if confirmed:
            return steps, (
                f"{name} jumped from step {last % TURN:.0f} to {raw:.0f} within {age} reads, faster than it can turn: "
                "look at the joint and its encoder, then reset"
            )
        self._doubtful[index] = steps
        return float("nan"), ""
