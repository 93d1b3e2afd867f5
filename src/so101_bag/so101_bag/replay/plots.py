# SPDX-License-Identifier: Apache-2.0
"""Plots of a replay, one PNG each. Matplotlib is imported here only, and draws without a screen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from so101_bag.replay.queue_trace import QueueTrace

matplotlib.use("Agg")
from matplotlib import pyplot
from so101_node.protocol import FloatArray

_WIDTH_IN, _ROW_IN = 10.0, 1.35
_LEAST_SPAN_RAD = 0.1  # of an axis: a joint at rest is a flat line, not servo noise drawn large


def plot_queue(path: Path, traces: Mapping[str, QueueTrace]) -> None:
    """Draw the setpoints of each joint and the length of the queue, one line for each trace."""
    joints = next(iter(traces.values())).joint_names
    figure, axes = _panels(len(joints) + 1)
    for name, trace in traces.items():
        width = 1.6 if name == "as recorded" else 0.9
        for axis, column in zip(axes, trace.positions.T, strict=False):
            axis.plot(trace.time_s, column, linewidth=width, label=name)
        axes[-1].plot(trace.time_s, trace.lengths, linewidth=width)
    _name_joints(axes, joints)
    axes[-1].set_ylabel("rows\nahead", fontsize=8)
    axes[-1].set_ylim(0, max(1.0, axes[-1].get_ylim()[1]))
    _save(figure, axes, path, "time since the first tick, s")


def plot_chunks(
    path: Path, joints: Sequence[str], error_rad: FloatArray, latencies_ms: Mapping[str, Sequence[float]]
) -> None:
    """Draw the error of new chunks against the recorded ones by row, and latencies over the requests.

    Args:
        path: of the PNG.
        joints: names of the J joints.
        error_rad: (rows, J), root mean square over the chunks; NaN for a row that no pair of chunks has.
        latencies_ms: by the name of the line, one value a request.
    """
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(_WIDTH_IN, 4.0), layout="constrained")
    for joint, column in zip(joints, error_rad.T, strict=True):
        left.plot(column, linewidth=1.0, label=joint)
    left.set_xlabel("row of the chunk")
    left.set_ylabel("new - recorded, RMS, rad")
    left.legend(fontsize=7)
    for name, values in latencies_ms.items():
        right.plot(values, linewidth=1.0, label=name)
    right.set_xlabel("request")
    right.set_ylabel("ms")
    right.legend(fontsize=7)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def plot_motion(path: Path, joints: Sequence[str], lines: Mapping[str, tuple[FloatArray, FloatArray]]) -> None:
    """Draw each joint over time. `lines`: name -> (times (N,), s; positions (N, J), rad)."""
    figure, axes = _panels(len(joints))
    for name, (times, positions) in lines.items():
        for axis, column in zip(axes, positions.T, strict=True):
            axis.plot(times, column, linewidth=1.0, label=name)
    _name_joints(axes, joints)
    _save(figure, axes, path, "time since the start of the recorded motion, s")


def _panels(rows: int) -> tuple[Any, Sequence[Any]]:
    figure, axes = pyplot.subplots(
        rows, 1, sharex=True, squeeze=False, figsize=(_WIDTH_IN, _ROW_IN * rows + 0.6), layout="constrained"
    )
    return figure, list(axes[:, 0])


def _name_joints(axes: Sequence[Any], joints: Sequence[str]) -> None:
    """Label the axes of the joints, once their lines are drawn."""
    for axis, joint in zip(axes, joints, strict=False):
        axis.set_ylabel(f"{joint}\nrad", fontsize=8)
        axis.ticklabel_format(axis="y", useOffset=False)
        low, high = axis.get_ylim()
        short = max(0.0, _LEAST_SPAN_RAD - (high - low)) / 2
        axis.set_ylim(low - short, high + short)


def _save(figure: Any, axes: Sequence[Any], path: Path, time_label: str) -> None:
    axes[-1].set_xlabel(time_label)
    axes[0].legend(fontsize=7, loc="upper right")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
