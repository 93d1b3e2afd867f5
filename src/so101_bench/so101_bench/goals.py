# SPDX-License-Identifier: Apache-2.0
"""What the metrics are held against: our goals beside LeRobot, and LeRobot's own metrics as recorded before."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from so101_bench.two_hosts.wire import NO_WIRE, Wire

BASELINE_TOLERANCE = 0.30


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal: what was measured, what it must not exceed, and whether it does not; None = nothing was measured."""

    name: str
    measured: float | None
    bound: float

    @property
    def ok(self) -> bool | None:
        """Whether the goal is met."""
        return None if self.measured is None else self.measured <= self.bound

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        never = self.measured is not None and not math.isfinite(self.measured)  # JSON has no infinity
        return {**asdict(self), "measured": None if never else self.measured, "ok": self.ok}


@dataclass(frozen=True, slots=True)
class Baseline:
    """LeRobot 0.6.1 as measured when this project began: stock server and client, same sizes, 20 s, two cores."""

    rate_mbit: float
    policy_delay_s: float
    hz: float
    observation_to_chunk_ms: float
    send_blocks_ms: float


BASELINES = (
    Baseline(0.0, 0.0, 29.81, 101.0, 17.0),
    Baseline(0.0, 0.1, 29.84, 131.0, 14.0),
    Baseline(1000.0, 0.1, 29.57, 167.0, 33.0),
    Baseline(100.0, 0.1, 19.1, 349.0, 237.0),
    Baseline(50.0, 0.1, 14.0, 580.0, 466.0),
)


def goals(lerobot: Mapping[str, Any], ours: Mapping[str, Any], wire: Wire) -> list[Goal]:
    """Return the goals that apply on this wire, with what was measured."""

    def both(*keys: str) -> float | None:
        return _ratio_of(ours, lerobot, *keys)

    added, p99 = both("added_latency_ms", "p50"), both("added_latency_ms", "p99")
    found = [Goal("tick std, ours / LeRobot", both("tick", "std_ms"), 1.0)]
    if wire == NO_WIRE:
        found += [
            Goal("added latency p50, ours / LeRobot (1/4)", added, 0.25),
            Goal("added latency p99, ours / LeRobot (1/4)", p99, 0.25),
            # On a slow wire LeRobot's blocked loop has no time to send more than it uses.
            Goal("bytes per observation, ours / LeRobot (1/20)", both("bytes_per_observation"), 1 / 20),
            Goal("observations sent per chunk used", ours["observations_per_chunk"], 1.1),
        ]
    else:
        found.append(Goal("tick off the 30 Hz grid p99, ms", ours["tick"]["p99_ms"], 3.0))
    if wire in (Wire(rate_mbit=100), Wire(rate_mbit=50)):
        found.append(Goal("added latency p50, ours / LeRobot (1/8)", added, 1 / 8))
    # Longer delays than the queue's reserve are allowed a little: 100 ms one way with everything else.
    ticks = ours["ticks"]
    starved = ours["starved_ticks"] / ticks if ticks else None
    found.append(Goal("starved ticks, share", starved, 0.01 if wire.delay_ms >= 100 else 0.0))
    if ours["restart"] is not None:
        found.append(Goal("server killed and restarted: READY to acting, s", _or_never(ours["restart"]), 1.0))
    if ours["cut"] is not None:
        found.append(Goal("wire cut and healed: healed to acting, s", _or_never(ours["cut"]), 3.0))
    return found


def baseline_report(lerobot: Mapping[str, Any], wire: Wire, policy_delay_s: float) -> dict[str, Any] | None:
    """Compare LeRobot's metrics with those recorded before; None where this wire was not recorded."""
    if wire.delay_ms or wire.loss_pct or wire.jitter_ms:
        return None
    known = [b for b in BASELINES if (b.rate_mbit, b.policy_delay_s) == (wire.rate_mbit, policy_delay_s)]
    if not known:
        return None
    recorded = known[0]
    pairs = {
        "hz": (lerobot["tick"]["hz"], recorded.hz),
        "observation_to_chunk_ms": (lerobot["observation_to_chunk_ms"]["p50"], recorded.observation_to_chunk_ms),
        "send_blocks_ms": (lerobot["send_blocks_ms"]["p50"], recorded.send_blocks_ms),
    }
    result: dict[str, Any] = {
        name: {"measured": measured, "recorded": value, "within_30_pct": _close(measured, value)}
        for name, (measured, value) in pairs.items()
    }
    return result


def baseline_complaints(report: Mapping[str, Any]) -> list[str]:
    """Return one line for each metric that is not within 30 % of what was recorded."""
    return [
        f"LeRobot's {name}: {entry['measured']} here, {entry['recorded']} recorded: not within 30 %; "
        "another machine, or a busy one"
        for name, entry in report.items()
        if not entry["within_30_pct"]
    ]


def _close(measured: float | None, recorded: float) -> bool:
    return measured is not None and abs(measured - recorded) <= BASELINE_TOLERANCE * recorded


def _ratio_of(ours: Mapping[str, Any], lerobot: Mapping[str, Any], *keys: str) -> float | None:
    mine: Any = ours
    other: Any = lerobot
    for key in keys:
        mine, other = mine[key], other[key]
    return None if mine is None or not other else round(mine / other, 4)


def _or_never(recovery: Mapping[str, float | None]) -> float:
    acting_s = recovery["acting_s"]
    return float("inf") if acting_s is None else acting_s
