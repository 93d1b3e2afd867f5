# SPDX-License-Identifier: Apache-2.0
"""The correction's part of /diagnostics: every cause with its level and remedy, and how much it does."""

import math
from dataclasses import dataclass
from typing import Final

from diagnostic_msgs.msg import DiagnosticStatus
from so101_correction.core.causes import CorrectionCause
from so101_node.diagnostics import Cause, Level
from so101_node.diagnostics.publishing import entry

REFUSED = Cause(
    "CORRECTION_REFUSED",
    Level.WARN,
    "the correction was made for another policy, or for other cameras, joints or another rate; rows are executed as "
    "planned",
    "name the correction of this policy in correction_file, or none",
)
UNCONFIRMED = Cause(
    "CORRECTION_UNCONFIRMED",
    Level.OK,
    "not known yet to be for the policy whose rows are executed; they are as planned",
)
_OF_CORRECTOR: Final = {
    CorrectionCause.NONE: Cause("CORRECTING", Level.OK, "setpoints are corrected by the newest frames"),
    CorrectionCause.NO_PLAN: Cause("CORRECTION_IDLE", Level.OK, "nothing is commanded, so nothing is corrected"),
    CorrectionCause.NOT_EXECUTING: Cause(
        "CORRECTION_NOT_EXECUTING", Level.OK, "no row is executed, so nothing is added to the setpoint that is held"
    ),
    CorrectionCause.PLAN_TOO_OLD: Cause(
        "CORRECTION_PLAN_TOO_OLD",
        Level.WARN,
        "the rows in execution were requested longer ago than the correction was trained for",
        "raise chunk_size_threshold, or shorten the round trip",
    ),
    CorrectionCause.JOINTS_UNKNOWN: Cause(
        "CORRECTION_JOINTS_UNKNOWN",
        Level.WARN,
        "joint_states are missing or older than max_pose_age_s",
        "see the entries of so101_driver",
    ),
    CorrectionCause.FRAME_MISSING: Cause(
        "CORRECTION_FRAME_MISSING",
        Level.WARN,
        "a camera that the correction reads has sent no frame",
        "see that something publishes <camera>/image_raw/compressed under the name in the message",
    ),
    CorrectionCause.FRAME_UNUSABLE: Cause(
        "CORRECTION_FRAME_UNUSABLE",
        Level.WARN,
        "a frame cannot be decoded, or its size changed while the queue runs",
        "give the camera its former size, or configure the queue again",
    ),
    CorrectionCause.FRAME_OLD: Cause(
        "CORRECTION_FRAME_OLD",
        Level.WARN,
        "a camera stopped: its newest frame is too old",
        "look at the camera that the message names; corrections resume automatically",
    ),
    CorrectionCause.FRAME_FROZEN: Cause(
        "CORRECTION_FRAME_FROZEN",
        Level.WARN,
        "a camera sends the same frame again and again",
        "restart that camera, or plug it in again; corrections resume automatically",
    ),
    CorrectionCause.REQUEST_FRAME_MISSING: Cause(
        "CORRECTION_REQUEST_FRAME_MISSING",
        Level.WARN,
        "no usable frames were there when the rows in execution were requested",
        "wait for the next chunk",
    ),
    CorrectionCause.RESULT_NOT_FINITE: Cause(
        "CORRECTION_RESULT_NOT_FINITE", Level.WARN, "the network gave no finite numbers", "train the correction again"
    ),
}
CORRECTION_CAUSES: Final = (*_OF_CORRECTOR.values(), REFUSED, UNCONFIRMED)
_BY_NAME: Final = {name.value: cause for name, cause in _OF_CORRECTOR.items()} | {
    cause.name: cause for cause in (REFUSED, UNCONFIRMED)
}
OF_CAMERAS: Final = frozenset(name for name in CorrectionCause if name.startswith("FRAME_"))
"""Causes that a camera is to blame for."""


@dataclass(frozen=True, slots=True)
class CorrectionView:
    """A correction for people.

    Attributes:
        path: of its file.
        cause_name: a CorrectionCause, or the name of one of the two causes here.
        cause: the same as one line; "" while it works.
        corrected_ratio: of the ticks with a setpoint in the last 10 s or so, 0..1.
        delta_max_rad: most that was added to a joint in that time.
        tick_p99_s: 99th percentile of the time on the control thread; NaN before the first tick.
        decode_p99_s: 99th percentile of the time to decode one frame, on its own thread; NaN before the first.
    """

    path: str
    cause_name: str
    cause: str
    corrected_ratio: float
    delta_max_rad: float
    tick_p99_s: float
    decode_p99_s: float = math.nan


def correction_entry(name: str, view: CorrectionView) -> DiagnosticStatus:
    """Return the entry of node `name`."""
    values = {
        "file": view.path,
        "corrected_ratio": f"{view.corrected_ratio:.2f}",
        "delta_max_rad": f"{view.delta_max_rad:.3f}",
        "tick_p99_ms": f"{view.tick_p99_s * 1e3:.2f}",
        "decode_p99_ms": f"{view.decode_p99_s * 1e3:.2f}",
    }
    return entry(f"{name}: correction", _BY_NAME[view.cause_name], view.cause, values)
