# SPDX-License-Identifier: Apache-2.0
"""Which view shows what, and where: the blueprint of the page, and the names of everything that is logged."""

import rerun.blueprint as rrb
from rerun import TimeRangeBoundary, VisibleTimeRange

from so101_viewer.queue_plot.canvas import Colour
from so101_viewer.queue_plot.drawing import AGE, GROUPS, STATE_COLOURS, THRESHOLD

TIMELINE = "time"
WINDOW_S = 30.0
MEASURED, PLANNED, CORRECTED = (70, 190, 132), THRESHOLD, (96, 205, 255)
ROUND_TRIP = (96, 156, 235)
BLACK = (16, 20, 26)

STATES: dict[str, dict[str, Colour]] = {
    "queue": STATE_COLOURS,
    "driver": {
        "NO_BUS": (236, 92, 92),
        "RELEASED": (120, 130, 145),
        "HOLD": (96, 156, 235),
        "ENGAGED": (70, 190, 132),
        "LATCHED": (236, 92, 92),
    },
    "server": {
        "UNCONFIGURED": (120, 130, 145),
        "LOADING": (96, 156, 235),
        "READY": (70, 190, 132),
        "ERROR": (236, 92, 92),
    },
    "episode": {
        "STARTED": (96, 156, 235),
        "SUCCEEDED": (70, 190, 132),
        "FAILED": (236, 92, 92),
        "ABORTED": (120, 130, 145),
    },
    "correction": {
        "OFF": (120, 130, 145),
        "CORRECTING": (70, 190, 132),
        "AS PLANNED": (236, 148, 72),
    },
}
"""Lanes of the state timeline: values in the order of the messages' constants, with their colours."""

JOINT_COLOURS: tuple[Colour, ...] = (
    CORRECTED,
    (230, 110, 160),
    THRESHOLD,
    (168, 122, 214),
    (214, 200, 100),
    (105, 120, 140),
)
"""Of the joints in the plot of the correction, from the base on; of more the colours begin again."""

SERIES: dict[str, tuple[str, Colour]] = {
    "queue/rows": ("rows left", STATE_COLOURS["RUNNING"]),
    "queue/requests_at": ("requests at", THRESHOLD),
    "age/action": ("age of the executed action", AGE),
    "age/round_trip": ("round trip", ROUND_TRIP),
    **{f"latency/{index}": (name, colour) for index, (name, _, colour) in enumerate(GROUPS)},
}
"""Lines of the plots: name in the legend and colour, by path."""


_LEGEND = rrb.PlotLegend(corner=rrb.Corner2D.LeftTop)


def blueprint(cameras: list[str], joints: tuple[str, ...], *, corrected: bool = False) -> rrb.Blueprint:
    """Return the page: arm and cameras above, queue, latency, states and log below.

    corrected: whether the robot corrects its rows; what it adds is then shown beside the queue and as a table.
    """
    last_seconds = VisibleTimeRange(
        TIMELINE,
        start=TimeRangeBoundary.cursor_relative(seconds=-WINDOW_S),
        end=TimeRangeBoundary.cursor_relative(seconds=0.0),
    )
    arm = rrb.Spatial3DView(
        name="arm: planned (amber), measured (green)" + ", corrected (blue)" * corrected,
        contents=["arm/**", "path/**"],
        background=rrb.Background(color=BLACK),
        line_grid=rrb.LineGrid3D(spacing=0.05, color=(70, 80, 95, 120)),
        eye_controls=rrb.EyeControls3D(position=(0.40, -0.33, 0.27), look_target=(0.13, 0.0, 0.085)),
    )
    images = [rrb.Spatial2DView(origin=f"camera/{name}", name=name, background=BLACK) for name in cameras]
    table: rrb.View | rrb.Container = rrb.TextDocumentView(name="latency of a chunk", origin="summary")
    queue = rrb.TimeSeriesView(
        name="queue: rows still to execute",
        contents=["queue/**"],
        axis_y=rrb.ScalarAxis(range=(0.0, 52.0)),
        plot_legend=_LEGEND,
        time_ranges=last_seconds,
    )
    below: rrb.View | rrb.Container = queue
    if corrected:
        added = _plot("correction of each joint, degrees", "correction", last_seconds)
        below = rrb.Horizontal(queue, added)
        table = rrb.Tabs(rrb.TextDocumentView(name="correction", origin="correction_table"), table, active_tab=0)
    metrics = rrb.Tabs(
        _plot("where each chunk's time went, ms", "latency/**", last_seconds),
        _plot("ages, ms", "age/**", last_seconds),
        *(_plot(joint, f"joints/{joint}", last_seconds) for joint in joints),
        active_tab=0,
    )
    states = rrb.StateTimelineView(name="states", contents=["state/**"])
    kinds = rrb.encodings.TextLogColumnKind
    columns = [rrb.encodings.TextLogColumn(kind=kind) for kind in (kinds.LogLevel, kinds.Body)]
    log = rrb.TextLogView(name="log", contents=["log/**"], columns=rrb.TextLogColumns(text_log_columns=columns))
    seen = rrb.Vertical(rrb.Horizontal(*images), below, row_shares=[1, 1] if corrected else [4, 3]) if images else below
    return rrb.Blueprint(
        rrb.Vertical(
            rrb.Horizontal(arm, seen, column_shares=[2, 3]),
            rrb.Horizontal(metrics, table, rrb.Vertical(states, log, row_shares=[4, 3]), column_shares=[10, 6, 10]),
            row_shares=[10, 8],
        ),
        rrb.TopPanel(state="hidden"),
        rrb.BlueprintPanel(state="hidden"),
        rrb.SelectionPanel(state="hidden"),
        rrb.TimePanel(state="collapsed", timeline=TIMELINE, play_state="following"),
        auto_views=False,
        auto_layout=False,
    )


def _plot(name: str, contents: str, last_seconds: VisibleTimeRange) -> rrb.TimeSeriesView:
    return rrb.TimeSeriesView(name=name, contents=[contents], plot_legend=_LEGEND, time_ranges=last_seconds)
