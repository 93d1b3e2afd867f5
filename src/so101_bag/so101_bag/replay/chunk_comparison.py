# SPDX-License-Identifier: Apache-2.0
"""New chunks against the recorded ones for the same requests: error by joint and row, latency. Free of ROS."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from so101_node.metrics.quantile import percentile
from so101_node.protocol import FloatArray

TIMES = ("inference", "server_total", "round_trip")


@dataclass(slots=True)
class ChunkComparison:
    """Collects pairs of chunks, (rows, J) rad each, and their times in s under the names in TIMES."""

    joint_names: tuple[str, ...] = ()
    errors: list[FloatArray] = field(default_factory=list)
    recorded_s: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in TIMES})
    replayed_s: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in TIMES})
    failures: dict[str, int] = field(default_factory=dict)
    identical: int = 0

    def add(
        self,
        recorded: FloatArray,
        replayed: FloatArray,
        recorded_s: Mapping[str, float],
        replayed_s: Mapping[str, float],
    ) -> None:
        """Take one pair; rows that only one of them has are left out."""
        rows = min(len(recorded), len(replayed))
        self.errors.append(replayed[:rows] - recorded[:rows])
        self.identical += recorded.shape == replayed.shape and bool(np.array_equal(recorded, replayed))
        for name in TIMES:
            self.recorded_s[name].append(recorded_s[name])
            self.replayed_s[name].append(replayed_s[name])

    def add_failure(self, reason: str) -> None:
        """Take one request that brought no chunk."""
        self.failures[reason] = self.failures.get(reason, 0) + 1

    def error_by_row(self) -> FloatArray:
        """Return (rows, J) root mean square over all pairs, rad; NaN for a row that no pair has."""
        rows = max((len(error) for error in self.errors), default=0)
        stacked = np.full((len(self.errors), rows, len(self.joint_names)), np.nan)
        for index, error in enumerate(self.errors):
            stacked[index, : len(error)] = error
        present = np.isfinite(stacked).sum(axis=0)
        total = np.nansum(stacked**2, axis=0)
        return np.asarray(np.sqrt(np.divide(total, present, out=np.full(total.shape, np.nan), where=present > 0)))

    def report(self) -> dict[str, Any]:
        """Return the metrics: rad and ms."""
        flat = np.concatenate(self.errors) if self.errors else np.zeros((0, len(self.joint_names)))
        size = np.abs(flat)
        return {
            "requests": len(self.errors) + sum(self.failures.values()),
            "answered": len(self.errors),
            "identical_chunks": self.identical,
            "failures": self.failures,
            "error_rad": {
                "rms": _rounded(np.sqrt(np.mean(flat**2))) if flat.size else None,
                "p50": _rounded(percentile(size, 50)),
                "p99": _rounded(percentile(size, 99)),
                "max": _rounded(size.max()) if flat.size else None,
                "joints": {
                    name: {"rms": _rounded(np.sqrt(np.mean(column**2))), "max": _rounded(np.abs(column).max())}
                    for name, column in zip(self.joint_names, flat.T, strict=True)
                    if column.size
                },
                "rows_rms": [_rounded(value) for value in np.sqrt(np.nanmean(self.error_by_row() ** 2, axis=1))]
                if self.errors
                else [],
            },
            "latency_ms": {
                "recorded": {name: _milliseconds(values) for name, values in self.recorded_s.items()},
                "replayed": {name: _milliseconds(values) for name, values in self.replayed_s.items()},
            },
        }


def _milliseconds(values_s: Sequence[float]) -> dict[str, float | None]:
    found = {
        name: percentile([value * 1e3 for value in values_s], percent) for name, percent in (("p50", 50), ("p99", 99))
    }
    return {name: None if value is None else round(value, 3) for name, value in found.items()}


def _rounded(value: Any) -> float | None:
    return None if value is None else float(f"{float(value):.4g}")
