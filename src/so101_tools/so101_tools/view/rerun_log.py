"""Everything that is handed to Rerun, and in which form: the one place that calls its SDK while the view runs.

Times are durations since the view began, s. What comes often is collected and sent as columns, a few times a second:
one call of `log` costs 50 us, one row of a column next to nothing.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import rerun as rr
from numpy.typing import NDArray
from so101_node.latency_breakdown import STAGES, LatencyBreakdown, LatencyWindow

from so101_tools.queue_plot.drawing import GROUPS
from so101_tools.view.arm_shapes import LinkShape
from so101_tools.view.layout import MEASURED, PLANNED, SERIES, STATES, TIMELINE, blueprint

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
        """Connect; what is logged before the server answers is kept and sent later."""
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

    def arrange(self, cameras: Sequence[str], joints: Sequence[str]) -> None:
        """Lay out the page."""
        for joint in joints:
            lines = rr.SeriesLines(names=["commanded", "measured"], colors=[PLANNED, MEASURED], widths=[1.5, 1.5])
            self._recording.log(f"joints/{joint}", lines, static=True)
        self._recording.send_blueprint(blueprint(list(cameras), tuple(joints)))

    def arm(self, shapes: Mapping[str, LinkShape]) -> None:
        """Show the arm's parts."""
        for link, shape in shapes.items():
            mesh = rr.Mesh3D(vertex_positions=shape.corners, vertex_normals=shape.normals, vertex_colors=shape.colours)
            self._recording.log(f"arm/{link}", mesh, static=True)

    def at(self, time_s: float) -> None:
        """What follows belongs to this time."""
        self._recording.set_time(TIMELINE, duration=time_s)

    def pose(self, links: Mapping[str, NDArray[np.float64]], only: Sequence[str]) -> None:
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

    def _line(self, path: str, points: NDArray[np.float64], colour: tuple[int, int, int], width: float) -> None:
        strip = rr.LineStrips3D([points] if len(points) else [], colors=[colour], radii=rr.Radius.ui_points([width]))
        self._recording.log(path, strip)

    def camera(self, name: str, jpeg: bytes) -> None:
        """Show a camera's picture as it came."""
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
    rows.append(_row("**picture to motion**", newest.total, math.nan, math.nan))
    return "\n".join(rows)


def _row(name: str, *values_s: float) -> str:
    figures = ["" if math.isnan(value) else f"{value * 1e3:.1f}" for value in values_s]
    return "| " + " | ".join([name, *figures]) + " |"
