# SPDX-License-Identifier: Apache-2.0
"""What the demo shows while it runs: a live panel on a terminal, plain lines elsewhere."""

import math
import sys
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

GAUGE_WIDTH = 50
STATE_STYLES = {
    "RUNNING": "green",
    "WAITING": "bright_blue",
    "STARVED": "bold red",
    "HOLDING": "dark_orange",
    "STOPPED": "bright_black",
    "IDLE": "bright_black",
}


@dataclass(slots=True)
class View:
    """Everything the panel shows. `length`, `chunk_size` in rows; times in s; None where nothing is known yet."""

    title: str = ""
    episodes: int = 0
    phase: str = "starting"
    waiting_for: list[tuple[str, str | None]] = field(default_factory=list)
    state: str = "IDLE"
    cause: str = ""
    length: int = 0
    chunk_size: int = 0
    threshold: float = 0.0
    tick_hz: float | None = None
    round_trip: float | None = None
    round_trip_p95: float | None = None
    starved_ticks: int = 0
    deadline_misses: int = 0
    correction: list[float] = field(default_factory=list)
    """Added to the planned row of each joint, rad; empty where no correction is loaded."""
    correction_cause: str = ""
    results: list[bool] = field(default_factory=list)
    elapsed: float | None = None


class Display(Protocol):
    """Shows a view and the events of a run."""

    def start(self) -> None:
        """Begin to show."""

    def update(self, view: View) -> None:
        """Show the present state; called often."""

    def event(self, line: str) -> None:
        """Show one event for good."""

    def stop(self) -> None:
        """Leave the terminal as it was found; harmless when repeated."""


class PlainDisplay:
    """One line per event; nothing moves."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = sys.stdout if out is None else out

    def start(self) -> None:
        """Nothing to prepare."""

    def update(self, view: View) -> None:
        """Nothing moves."""

    def event(self, line: str) -> None:
        """Print the line."""
        print(line, file=self._out, flush=True)

    def stop(self) -> None:
        """Nothing to restore."""


class PanelDisplay:
    """A panel at the foot of the terminal, four times a second; events scroll above it."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = Console() if console is None else console
        # Drawn by `update` on the caller's thread: no second thread may touch the terminal while the demo leaves.
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def start(self) -> None:
        """Show the panel."""
        self._live.start()

    def update(self, view: View) -> None:
        """Draw the view."""
        self._live.update(render(view), refresh=True)

    def event(self, line: str) -> None:
        """Print above the panel."""
        self._console.print(line, markup=False, highlight=False)

    def stop(self) -> None:
        """Remove the panel."""
        self._live.stop()


def gauge(length: int, chunk_size: int, threshold: float, width: int = GAUGE_WIDTH) -> Text:
    """Return the queue as a bar; the mark stands where the next chunk is requested."""
    full = max(chunk_size, length, 1)
    filled = round(length / full * width)
    bar = Text("█" * filled + "░" * (width - filled), style="bright_black")
    bar.stylize("green" if length > threshold * chunk_size else "cyan", 0, filled)
    if chunk_size:
        mark = min(width - 1, round(threshold * chunk_size / full * width))
        bar = Text.assemble(bar[:mark], ("┃", "yellow"), bar[mark + 1 :])
    return bar


def render(view: View) -> RenderableType:
    """Return the panel of a view."""
    body = _startup(view) if view.waiting_for else _running(view)
    return Panel(body, title=view.title, title_align="left", border_style="bright_black", width=86)


def _startup(view: View) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    for name, missing in view.waiting_for:
        mark = Text("✓", style="green") if missing is None else Text("·", style="yellow")
        table.add_row(mark, name, Text("" if missing is None else missing, style="bright_black", overflow="ellipsis"))
    return Group(Text(view.phase), table)


def _running(view: View) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bright_black")
    queue = gauge(view.length, view.chunk_size, view.threshold)
    queue.append(f"  {view.length:3d} of {view.chunk_size}")
    table.add_row("queue", queue)
    state = Text(view.state, style=STATE_STYLES.get(view.state, ""))
    state.append(f"  {view.cause}" if view.cause else "", style="yellow")
    table.add_row("state", state)
    table.add_row("tick", _figure(view.tick_hz, "{:.2f} Hz") + f"   missed {view.deadline_misses}")
    trip = _milliseconds(view.round_trip) + "   p95 " + _milliseconds(view.round_trip_p95)
    table.add_row("round trip", trip + f"   starved ticks {view.starved_ticks}")
    if view.correction:
        table.add_row("correction", _correction(view))
    episode = min(len(view.results) + 1, view.episodes)
    table.add_row("episode", f"{episode} of {view.episodes}   {view.phase}   {_figure(view.elapsed, '{:.1f} s')}")
    marks = Text()
    for success in view.results[-40:]:
        marks.append("● " if success else "○ ", style="green" if success else "red")
    marks.append(f"{sum(view.results)} of {len(view.results)}")
    table.add_row("placed", marks)
    return table


def _correction(view: View) -> Text:
    """The largest delta, and why nothing is added where that is so."""
    text = Text(f"{math.degrees(max(map(abs, view.correction))):4.1f}° at most")
    if view.correction_cause:
        text.append(f"   as planned: {view.correction_cause}", style="yellow")
    return text


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _milliseconds(value_s: float | None) -> str:
    return "-" if value_s is None else f"{value_s * 1e3:.0f} ms"
