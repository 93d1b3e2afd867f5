# SPDX-License-Identifier: Apache-2.0
"""One replay of recorded commands to an arm, from the bag to the metrics."""

from collections.abc import Callable
from typing import Any

import numpy as np
from so101_node.protocol import FloatArray

from so101_bag.errors import BagError
from so101_bag.replay.arm_replay import COMMANDS, STATES, ArmReplay, RecordedMotion, read_motion
from so101_bag.replay.arm_trajectory import Plan
from so101_bag.replay.options import ReplayOptions
from so101_bag.storage.reader import Bag

Lines = dict[str, tuple[FloatArray, FloatArray]]
"""What to draw: name -> (times (N,), s; positions (N, J), rad)."""


def play_recorded(bag: Bag, options: ReplayOptions, check: Callable[[], None]) -> tuple[dict[str, Any], Lines]:
    """Play the commands of a bag, and return the report and what to draw.

    Raises:
        BagError: the bag has no commands.
        ReplayError: the driver cannot or does not follow.
    """
    commands, zero_ns = read_motion(bag, *COMMANDS)
    states = read_motion(bag, *STATES, zero_ns)[0] if bag.find(*STATES) else None
    period_s = _period(commands, bag)
    client = ArmReplay(options.namespace or "", check)
    try:
        planned = client.prepare(commands, options.speed_rad_s, period_s, options.wait_s)
        print(
            f"moving slowly to the first joint positions, then {len(commands.times)} recorded commands: "
            f"{len(planned.rows)} in all, {len(planned.rows) * period_s:.0f} s; Ctrl-C stops"
        )
        metrics = client.play(planned, period_s)
        joints, rows, measured = client.measured()
    finally:
        client.close()
    metrics = {"bag": str(bag.folder), "duration_s": round(len(planned.rows) * period_s, 3), **metrics}
    return _compared(metrics, joints, planned, rows, measured, states)


def _period(commands: RecordedMotion, bag: Bag) -> float:
    """Return the time between commands, s."""
    if len(commands.times) < 2:
        raise BagError(f"{bag.folder} holds fewer than two commands: nothing to play")
    return float(min(max(np.median(np.diff(commands.times)), 1 / 60), 1 / 10))


def _compared(
    metrics: dict[str, Any],
    joints: tuple[str, ...],
    planned: Plan,
    rows: Any,
    measured: FloatArray,
    states: RecordedMotion | None,
) -> tuple[dict[str, Any], Lines]:
    """Add how far the arm was from the commands, and from where it had been when they were recorded."""
    moments = planned.recorded_s[rows] if len(rows) else np.zeros(0)
    playing = np.isfinite(moments)
    times, now = moments[playing], measured[playing] if len(measured) else np.zeros((0, len(joints)))
    sent = planned.rows[rows[playing]] if len(rows) else now
    lines: Lines = {"command": (times, sent), "arm now": (times, now)}
    then = None
    if states is not None and set(states.joint_names) == set(joints) and len(times):
        order = [states.joint_names.index(name) for name in joints]
        then = np.stack([np.interp(times, states.times, states.positions[:, index]) for index in order], axis=1)
        lines["arm when recorded"] = (times, then)
    metrics["joints"] = {
        name: {
            "tracking_rms_rad": _rms(now[:, index] - sent[:, index]),
            "deviation_rms_rad": None if then is None else _rms(now[:, index] - then[:, index]),
            "deviation_max_rad": None if then is None else round(float(np.abs(now - then)[:, index].max()), 6),
        }
        for index, name in enumerate(joints)
    }
    return metrics, lines


def _rms(values: FloatArray) -> float | None:
    return round(float(np.sqrt(np.mean(values**2))), 6) if len(values) else None
