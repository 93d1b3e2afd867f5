# SPDX-License-Identifier: Apache-2.0
"""Policies whose own numbers are rad: what `UnitConverter` is for all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from so101_node.protocol import FloatArray


class Conversion(Protocol):
    """Between rad on topics and a policy's own numbers, joint by joint along the last axis."""

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Order of the last axis."""
        ...

    def to_policy(self, radians: npt.ArrayLike) -> FloatArray:
        """Convert (..., joints) rad, float64."""
        ...

    def to_radians(self, values: npt.ArrayLike) -> FloatArray:
        """Convert (..., joints) to rad, float64."""
        ...

    def clamped(self, values: npt.ArrayLike) -> FloatArray:
        """How far `to_radians` takes (..., joints) values back to the end of a joint's range, in ranges."""
        ...


@dataclass(frozen=True, slots=True)
class RadiansAsTheyAre:
    """No conversion: the policy reads and gives rad."""

    joint_names: tuple[str, ...]

    def to_policy(self, radians: npt.ArrayLike) -> FloatArray:
        """(..., joints) rad as float64."""
        return np.asarray(radians, dtype=np.float64)

    def to_radians(self, values: npt.ArrayLike) -> FloatArray:
        """(..., joints) rad as float64."""
        return np.asarray(values, dtype=np.float64)

    def clamped(self, values: npt.ArrayLike) -> FloatArray:
        """Zeros, (..., joints): nothing is clamped."""
        return np.zeros(np.shape(values))
