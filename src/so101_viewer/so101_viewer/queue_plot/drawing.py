# SPDX-License-Identifier: Apache-2.0
"""Draws the queue's last 30 s: rows left with threshold and starvation, where each chunk's time went, age of actions.

What never changes is drawn once; an image costs about 3 ms, so 5 Hz stay far below 5 % of a core.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from so101_node.metrics.latency import LatencyBreakdown

from so101_viewer.queue_plot.canvas import Canvas, Colour, Pixels
from so101_viewer.queue_plot.history import STATES, Curves, QueueHistory, TickMark

WIDTH, HEIGHT = 880, 560
SILENT_S = 1.0

BACKGROUND, PANEL, GRID = (16, 20, 26), (26, 32, 40), (46, 54, 65)
TEXT, FAINT = (233, 237, 242), (148, 160, 175)
THRESHOLD, AGE, BAD = (255, 190, 92), (120, 196, 255), (236, 92, 92)
STATE_COLOURS: dict[str, Colour] = {
    "IDLE": (120, 130, 145),
    "WAITING": (96, 156, 235),
    "RUNNING": (70, 190, 132),
    "STARVED": BAD,
    "HOLDING": (236, 148, 72),
    "STOPPED": (120, 130, 145),
}
# Stages that are drawn as one: name, stages of LatencyBreakdown, colour; from the bottom up in the order of time.
GROUPS: tuple[tuple[str, tuple[str, ...], Colour], ...] = (
    ("frame age", ("frame_age",), (105, 120, 140)),
    ("network, both ways", ("network",), (96, 156, 235)),
    ("waiting at the server", ("mailbox_wait", "wait_frames", "server_other"), (168, 122, 214)),
    ("decode, preprocess", ("decode", "preprocess"), (236, 148, 72)),
    ("inference", ("inference",), (70, 190, 132)),
    ("postprocess", ("postprocess",), (214, 200, 100)),
    ("wait in the queue", ("queue",), (230, 110, 160)),
)


@dataclass(frozen=True, slots=True)
class Plot:
    """One panel's drawing area, pixels."""

    title: str
    top: int
    bottom: int
    left: int = 58
    right: int = 664

    def x(self, age_s: NDArray[np.float64] | float, window_s: float) -> NDArray[np.float64]:
        """Return where times before now lie."""
        return np.asarray(self.right - np.asarray(age_s) / window_s * (self.right - self.left))

    def y(self, values: NDArray[np.float64] | float, most: float) -> NDArray[np.float64]:
        """Return the height of values on a scale from 0 to `most`."""
        return np.asarray(self.bottom - np.clip(np.asarray(values) / most, 0, 1) * (self.bottom - self.top))


ROWS = Plot("rows still to execute", 86, 262)
LATENCY = Plot("where the time of each chunk went, ms", 302, 424)
AGES = Plot("age of the executed action, ms", 464, 528)
_COLUMN = 688
_RUNNING, _STARVED = STATES.index("RUNNING"), STATES.index("STARVED")
_METRICS = ("round trip", "   95 of 100 within", "ticks", "starved, 30 s", "starved, session")


class QueuePlotImage:
    """Draws images of one history; keeps the part that never changes."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._fixed = self._frame()

    def draw(self, history: QueueHistory, now_ns: int, into: Pixels | None = None) -> Pixels:
        """Return the image of a moment, (HEIGHT, WIDTH, 3), BGR; `into`, where given, is drawn over and returned."""
        image = np.empty_like(self._fixed) if into is None else into
        np.copyto(image, self._fixed)
        canvas = Canvas(image)
        newest = history.newest
        silent_s = history.silent_s(now_ns)
        _draw_header(canvas, newest, silent_s)
        if newest is None:
            middle = ((ROWS.left + ROWS.right) / 2, (ROWS.top + ROWS.bottom) / 2)
            canvas.text(*middle, "no action queue heard", FAINT, 20, "middle")
            return canvas.image
        curves = history.curves(now_ns)
        self._draw_rows(canvas, curves, newest)
        self._draw_chunks(canvas, history, now_ns)
        self._draw_ages(canvas, curves)
        _draw_metrics(canvas, history, newest, int((curves.state == _STARVED).sum()))
        return canvas.image

    def _frame(self) -> Pixels:
        canvas = Canvas.blank(WIDTH, HEIGHT, BACKGROUND)
        for plot in (ROWS, LATENCY, AGES):
            canvas.box(plot.left, plot.top, plot.right, plot.bottom, PANEL)
            canvas.text(plot.left, plot.top - 14, plot.title, FAINT, 14)
            for age_s in np.arange(0.0, self._window_s + 0.1, 5.0):
                x = float(plot.x(float(age_s), self._window_s))
                canvas.box(x, plot.top, x + 1, plot.bottom, GRID)
        for age_s in np.arange(0.0, self._window_s + 0.1, 5.0):
            label = "now" if not age_s else f"-{age_s:g} s"
            canvas.text(float(AGES.x(float(age_s), self._window_s)), AGES.bottom + 14, label, FAINT, 13, "middle")
        for index, (name, _stages, colour) in enumerate(reversed(GROUPS)):
            y = LATENCY.top + 8 + 22 * index
            canvas.box(_COLUMN, y - 5, _COLUMN + 10, y + 5, colour)
            canvas.text(_COLUMN + 16, y, name, FAINT, 13)
        canvas.text(_COLUMN + 16, LATENCY.top + 8 + 22 * len(GROUPS), "one way, estimate", FAINT, 13)
        for index, name in enumerate(_METRICS):
            canvas.text(_COLUMN, ROWS.top + 58 + 24 * index, name, FAINT, 14)
        return canvas.image

    def _draw_rows(self, canvas: Canvas, curves: Curves, newest: TickMark) -> None:
        plot = ROWS
        most = _nice(max(float(curves.length.max()), float(newest.chunk_size), 10.0))
        xs, ys = plot.x(curves.age_s, self._window_s), plot.y(curves.length, most)
        for first, last, state in _stretches(curves):
            colour = STATE_COLOURS[STATES[state]]
            stretch = slice(first, last + 1)
            left, right = max(float(xs[first]), plot.left), float(xs[last])
            if STATES[state] in ("STARVED", "HOLDING"):
                canvas.box(left, plot.top, max(right, left + 2), plot.bottom, _mixed(colour, 0.45))
            x, y = np.maximum(xs[stretch], plot.left), ys[stretch]
            foot = np.array([[x[-1], plot.bottom], [x[0], plot.bottom]])
            canvas.area(np.vstack([np.stack([x, y], axis=1), foot]), _mixed(colour, 0.35))
            canvas.line(np.stack([x, y], axis=1), colour)
        requests_at = curves.requests_at[-1]
        if requests_at > 0:
            y_requests = float(plot.y(float(requests_at), most))
            canvas.dashes(plot.left, plot.right, y_requests, THRESHOLD)
            canvas.text(plot.left - 8, y_requests, f"{requests_at:g}", THRESHOLD, 13, "right")
        canvas.text(plot.left - 8, plot.top + 5, f"{most:g}", FAINT, 13, "right")
        canvas.text(plot.left - 8, plot.bottom - 5, "0", FAINT, 13, "right")

    def _draw_chunks(self, canvas: Canvas, history: QueueHistory, now_ns: int) -> None:
        plot, chunks = LATENCY, history.chunks
        if not chunks:
            return
        parts = np.array([[_milliseconds(chunk.breakdown, stages) for _, stages, _ in GROUPS] for chunk in chunks])
        tops = np.cumsum(parts, axis=1)
        # One chunk that took seconds must not press all others flat: it is cut off, and its figure written beside it.
        most = _nice(min(float(tops[:, -1].max()), 3.0 * float(np.median(tops[:, -1]))))
        edges = plot.y(np.concatenate([np.zeros((len(parts), 1)), tops], axis=1), most)
        ages_s = np.array([(now_ns - chunk.time_ns) * 1e-9 for chunk in chunks])
        written = 0.0
        for x, heights, total in zip(plot.x(ages_s, self._window_s), edges, tops[:, -1], strict=True):
            if x < plot.left + 7:
                continue
            for (_, _, colour), bottom, top in zip(GROUPS, heights[:-1].tolist(), heights[1:].tolist(), strict=True):
                canvas.box(x - 6, top, min(x, plot.right), bottom, colour)
            if total > most and x > written + 44:
                written = float(x)
                canvas.text(float(x) - 9, plot.top + 9, f"{total:.0f}", TEXT, 13, "right")
        canvas.text(plot.left - 8, plot.top + 5, f"{most:g}", FAINT, 13, "right")
        canvas.text(plot.left - 8, plot.bottom - 5, "0", FAINT, 13, "right")

    def _draw_ages(self, canvas: Canvas, curves: Curves) -> None:
        plot = AGES
        # A queue that executes nothing still tells the age of the last row it did execute.
        known = ~np.isnan(curves.action_age) & (curves.state == _RUNNING)
        if not known.any():
            return
        most = _nice(float(curves.action_age[known].max()) * 1e3)
        xs, ys = plot.x(curves.age_s, self._window_s), plot.y(curves.action_age * 1e3, most)
        for first, last in _runs(known & (xs >= plot.left)):
            canvas.line(np.stack([xs[first : last + 1], ys[first : last + 1]], axis=1), AGE)
        canvas.text(plot.left - 8, plot.top + 5, f"{most:g}", FAINT, 13, "right")
        canvas.text(plot.left - 8, plot.bottom - 5, "0", FAINT, 13, "right")


def _draw_header(canvas: Canvas, newest: TickMark | None, silent_s: float) -> None:
    canvas.text(18, 30, "action queue", TEXT, 22)
    if newest is None:
        return
    state = STATES[newest.state]
    colour = STATE_COLOURS[state]
    cause = newest.cause
    if silent_s > SILENT_S:
        state, colour, cause = "SILENT", BAD, f"no status for {silent_s:.0f} s"
    canvas.box(168, 16, 278, 44, colour)
    canvas.text(223, 30, state, BACKGROUND, 17, "middle")
    canvas.text(292, 31, cause[:62], THRESHOLD if silent_s <= SILENT_S else BAD, 14)


def _draw_metrics(canvas: Canvas, history: QueueHistory, newest: TickMark, starved: int) -> None:
    wide = canvas.text(_COLUMN, ROWS.top + 14, f"{newest.length}", TEXT, 40)
    canvas.text(_COLUMN + wide + 8, ROWS.top + 20, f"of {newest.chunk_size} rows", FAINT, 15)
    metrics = (
        (_figure(newest.round_trip_last) + " ms", TEXT),
        (_figure(newest.round_trip_p95) + " ms", FAINT),
        (f"{newest.tick_hz:.2f} Hz", TEXT),
        (f"{starved} ticks", BAD if starved else TEXT),
        (f"{newest.starved_ticks} ticks", BAD if newest.starved_ticks else TEXT),
    )
    right = WIDTH - 14
    for index, (metric, colour) in enumerate(metrics):
        canvas.text(right, ROWS.top + 58 + 24 * index, metric, colour, 14, "right")
    percentiles = history.latency.percentiles()
    for index, (_name, stages, _colour) in enumerate(reversed(GROUPS)):
        known = [percentiles[stage].p50 for stage in stages if not math.isnan(percentiles[stage].p50)]
        metric = f"{sum(known) * 1e3:.0f}" if known else "-"
        canvas.text(right, LATENCY.top + 8 + 22 * index, metric, TEXT, 14, "right")
    network = percentiles["network"].p50
    if not math.isnan(network):
        canvas.text(right, LATENCY.top + 8 + 22 * len(GROUPS), f"{network * 5e2:.0f}", FAINT, 14, "right")
        canvas.text(right, LATENCY.top - 14, f"median of {len(history.latency)}", FAINT, 13, "right")
    if newest.state == _RUNNING:
        canvas.text(right, (AGES.top + AGES.bottom) / 2 + 8, f"{_figure(newest.action_age)} ms", AGE, 14, "right")


def _milliseconds(breakdown: LatencyBreakdown, stages: tuple[str, ...]) -> float:
    values: list[float] = [getattr(breakdown, stage) for stage in stages]
    return math.fsum(value * 1e3 for value in values if not math.isnan(value))


def _stretches(curves: Curves) -> list[tuple[int, int, int]]:
    """Return first tick, last tick and state of each stretch of one state; each begins where the one before ended."""
    gaps = np.abs(np.diff(curves.age_s)) > 0.5  # nothing was heard for so long: no line across
    changes = np.flatnonzero((np.diff(curves.state) != 0) | gaps)
    result, first = [], 0
    for change in [*changes.tolist(), len(curves.state) - 1]:
        joined = first > 0 and not gaps[first - 1]
        result.append((first - 1 if joined else first, change, int(curves.state[change])))
        first = change + 1
    return result


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return first and last index of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(first), int(after) - 1) for first, after in zip(edges[::2], edges[1::2], strict=True)]


def _nice(value: float) -> float:
    """Return the next of 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * power >= value * 0.9999)


def _mixed(colour: Colour, ratio: float) -> Colour:
    return tuple(round(c * ratio + p * (1 - ratio)) for c, p in zip(colour, PANEL, strict=True))  # type: ignore[return-value]


def _figure(value_s: float) -> str:
    return "-" if math.isnan(value_s) else f"{value_s * 1e3:.0f}"
