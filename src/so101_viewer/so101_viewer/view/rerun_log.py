# SPDX-License-Identifier: Apache-2.0
"""Everything that is handed to Rerun, and in which form: the one place that calls its SDK while the view runs.

Times are durations since the view began, s. What comes often is collected and sent as columns, a few times a second:
one call of `log` costs 50 us, one row of a column next to nothing.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import rerun as rr
from numpy.typing import NDArray
from so101_node.metrics.latency import STAGES, LatencyBreakdown, LatencyWindow

from so101_viewer.queue_plot.drawing import GROUPS
from so101_viewer.view.arm_shapes import LinkShape
from so101_viewer.view.layout import (
    CORRECTED,
    JOINT_COLOURS,
    MEASURED,
    PLANNED,
    SERIES,
    STATES,
    TIMELINE,
    blueprint,
)
from so101_viewer.view.row_listener import CorrectedRow

_STAGE_NAMES = {
    "frame_age": "frame age",
    "network": "network, both ways",
    "mailbox_wait": "mailbox",
    "wait_frames": "frames awaited",
    "decode": "decode",
    "preprocess": "preprocess",
    "inference": "**inference**",
    "postprocess": "postprocess",
    "server_other": "other at the server",
    "queue": "wait in the queue",
}


FLUSH_S = 0.2


class RerunLog:
    """Logs to a viewer server."""

    def __init__(self, data_url: str, recording_id: str) -> None:
        """Connect; what is logged before the server is up is kept and sent later."""
        # Every message from here is work for the page: five a second for each thing shown are enough to see it move.
        batches = rr.ChunkBatcherConfig(flush_tick=FLUSH_S)
        self._recording = rr.RecordingStream("SO-101", recording_id=recording_id, batcher_config=batches)
        self._recording.connect_grpc(data_url)
        self._columns: dict[str, list[tuple[float, tuple[float, ...]]]] = {}
        self._shown: dict[str, str] = {}
        self._style()

    def _style(self) -> None:
        log = self._recording.log
        log("/", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        for path, (name, colour) in SERIES.items():
            log(path, rr.SeriesLines(names=name, colors=[colour], widths=[1.5]), static=True)
            if path.startswith("latency/"):
                log(path, rr.SeriesPoints(names=name, colors=[colour], marker_sizes=[3.0]), static=True)
        for lane, values in STATES.items():
            colours = [(*colour, 255) for colour in values.values()]
            configuration = rr.StateConfiguration(values=list(values), labels=list(values), colors=colours)
            log(f"state/{lane}", configuration, static=True)

    def arrange(self, cameras: Sequence[str], joints: Sequence[str], *, corrected: bool = False) -> None:
        """Lay out the page; `corrected`: with what a correction adds."""
        names, colours = ["measured", "commanded"], [MEASURED, PLANNED]
        if corrected:
            names, colours = ["measured", "corrected", "planned"], [MEASURED, CORRECTED, PLANNED]
            self._correction_lines(joints)
        for joint in joints:
            lines = rr.SeriesLines(names=names, colors=colours, widths=[1.5] * len(names))
            self._recording.log(f"joints/{joint}", lines, static=True)
        self._recording.send_blueprint(blueprint(list(cameras), tuple(joints), corrected=corrected))

    def _correction_lines(self, joints: Sequence[str]) -> None:
        colours = [JOINT_COLOURS[index % len(JOINT_COLOURS)] for index in range(len(joints))]
        lines = rr.SeriesLines(names=list(joints), colors=colours, widths=[1.5] * len(joints))
        self._recording.log("correction", lines, static=True)

    def arm(self, shapes: Mapping[str, LinkShape]) -> None:
        """Show the arm's parts."""
        for link, shape in shapes.items():
            mesh = rr.Mesh3D(vertex_positions=shape.corners, vertex_normals=shape.normals, vertex_colors=shape.colours)
            self._recording.log(f"arm/{link}", mesh, static=True)

    def at(self, time_s: float) -> None:
        """What follows belongs to this time."""
        self._recording.set_time(TIMELINE, duration=time_s)

    def place_links(self, links: Mapping[str, NDArray[np.float64]], only: Sequence[str]) -> None:
        """Place the links named in `only`; each pose in the base, (4, 4)."""
        for link in only:
            pose = links[link]
            transform = rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3])
            self._recording.log(f"arm/{link}", transform)

    def measured_path(self, points: NDArray[np.float64]) -> None:
        """Show where the gripper was, (n, 3)."""
        self._line("path/measured", points, MEASURED, 2.5)

    def planned_path(self, points: NDArray[np.float64]) -> None:
        """Show where the newest chunk leads, (n, 3)."""
        self._line("path/planned", points, PLANNED, 1.75)

    def gripper_shift(self, planned: NDArray[np.float64], corrected: NDArray[np.float64]) -> None:
        """Show where the row of this tick leads the gripper as planned and as corrected, (3,) each."""
        arrow = rr.Arrows3D(origins=[planned], vectors=[corrected - planned], colors=[CORRECTED])
        self._recording.log("path/correction", arrow)
        ends = rr.Points3D([planned, corrected], colors=[PLANNED, CORRECTED], radii=rr.Radius.ui_points([4.0, 5.0]))
        self._recording.log("path/gripper", ends)

    def correction(self, row: CorrectedRow, shift_m: float, cause: str) -> None:
        """Show a row as planned and as corrected, and why nothing is added; "" while something is."""
        table = rr.TextDocument(correction_table(row, shift_m, cause), media_type=rr.MediaType.MARKDOWN)
        self._recording.log("correction_table", table)

    def _line(self, path: str, points: NDArray[np.float64], colour: tuple[int, int, int], width: float) -> None:
        strip = rr.LineStrips3D([points] if len(points) else [], colors=[colour], radii=rr.Radius.ui_points([width]))
        self._recording.log(path, strip)

    def camera(self, name: str, jpeg: bytes) -> None:
        """Show a camera's image as it came."""
        self._recording.log(f"camera/{name}", rr.EncodedImage(contents=jpeg, media_type="image/jpeg"))

    def scalar(self, path: str, time_s: float, *values: float) -> None:
        """Add one point to the lines of a path, to be sent with the next `flush`; NaN leaves a gap."""
        self._columns.setdefault(path, []).append((time_s, values))

    def flush(self, *, joints: bool = True) -> None:
        """Send the collected points; without `joints` those of the joints' plots, which are behind tabs, wait."""
        for path in [path for path in self._columns if joints or not path.startswith("joints/")]:
            times, values = zip(*self._columns.pop(path), strict=True)
            index = rr.TimeColumn(TIMELINE, duration=times)
            self._recording.send_columns(path, indexes=[index], columns=rr.Scalars.columns(scalars=values))

    def state(self, lane: str, value: str) -> None:
        """Show a state's change; repeats are left out."""
        if self._shown.get(lane) != value:
            self._shown[lane] = value
            self._recording.log(f"state/{lane}", rr.StateChange(state=value))

    def breakdown(self, time_s: float, newest: LatencyBreakdown, window: LatencyWindow) -> None:
        """Show where a chunk's time went, as points of the plot and as a table."""
        for index, (_, stages, _) in enumerate(GROUPS):
            known = [seconds for stage in stages if not math.isnan(seconds := getattr(newest, stage))]
            self.scalar(f"latency/{index}", time_s, math.fsum(known) * 1e3 if known else math.nan)
        table = rr.TextDocument(latency_table(newest, window), media_type=rr.MediaType.MARKDOWN)
        self._recording.log("summary", table)

    def line(self, node: str, level: str, text: str) -> None:
        """Show a log line."""
        self._recording.log(f"log/{node}", rr.TextLog(text, level=level))

    def close(self) -> None:
        """Leave; what cannot be sent any more is dropped."""
        self._recording.disconnect()


def latency_table(newest: LatencyBreakdown, window: LatencyWindow) -> str:
    """Return the breakdown as Markdown: the newest chunk, and median and 95 % of the window, ms."""
    rows = ["| ms | last | p50 | p95 |", "|---|---:|---:|---:|"]
    percentiles = window.percentiles()
    for stage in STAGES:
        times = percentiles[stage]
        rows.append(_row(_STAGE_NAMES[stage], getattr(newest, stage), times.p50, times.p95))
        if stage == "network":
            rows.append(_row("*one way (estimate: half)*", newest.one_way_estimate, times.p50 / 2, times.p95 / 2))
    rows.append(_row("**round trip**", newest.round_trip, math.nan, math.nan))
    rows.append(_row("**image to motion**", newest.total, math.nan, math.nan))
    return "\n".join(rows)


def correction_table(row: CorrectedRow, shift_m: float, cause: str) -> str:
    """Return a corrected row as Markdown: each joint in degrees.

    Args:
        row: as planned and as corrected.
        shift_m: from the gripper's planned place to its corrected one, m.
        cause: why nothing is added; "" while something is.
    """
    said = f"**as planned**: {cause}" if cause else f"**correcting**: gripper {shift_m * 100:.1f} cm off its plan"
    lines = [said, "", "| degrees | planned | corrected | added |", "|---|---:|---:|---:|"]
    for joint, position in row.corrected.items():
        degrees = [math.degrees(value) for value in (row.planned[joint], position, row.added[joint])]
        lines.append(f"| {joint} | {degrees[0]:.1f} | {degrees[1]:.1f} | {degrees[2]:+.1f} |")
    return "\n".join(lines)


def _row(name: str, *values_s: float) -> str:
    metrics = ["" if math.isnan(value) else f"{value * 1e3:.1f}" for value in values_s]
    return "| " + " | ".join([name, *metrics]) + " |"
