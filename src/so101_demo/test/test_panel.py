# SPDX-License-Identifier: Apache-2.0
"""What the demo shows."""

import io

from rich.console import Console
from so101_demo.panel import PanelDisplay, PlainDisplay, View, gauge, render


def text_of(view: View) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(render(view))
    return console.file.getvalue()


def test_the_gauge_is_full_at_a_whole_chunk_and_empty_at_none():
    assert gauge(50, 50, 0.0, width=10).plain == "┃" + "█" * 9
    assert gauge(0, 50, 0.5, width=10).plain == "░░░░░┃░░░░"
    assert gauge(0, 0, 0.5, width=10).plain == "░" * 10


def test_the_gauges_mark_stands_at_the_threshold_and_stays_inside():
    assert gauge(10, 50, 0.7, width=10).plain.index("┃") == 7
    assert gauge(10, 50, 1.0, width=10).plain.index("┃") == 9


def test_a_queue_longer_than_its_newest_chunk_still_fits():
    assert gauge(80, 50, 0.5, width=10).plain == "███┃██████"


def test_the_panel_names_state_cause_metrics_and_successes():
    view = View(
        episodes=10, phase="running", state="HOLDING", cause="server lost", length=12, chunk_size=50, threshold=0.5,
        tick_hz=29.998, round_trip=0.057, starved_ticks=3, results=[True, False], elapsed=3.25,
    )  # fmt: skip
    shown = text_of(view)
    for part in ("12 of 50", "HOLDING", "server lost", "30.00 Hz", "57 ms", "starved ticks 3", "3 of 10", "1 of 2"):
        assert part in shown


def test_while_starting_the_panel_names_what_is_ready_and_what_is_not():
    view = View(phase="starting the chain", waiting_for=[("judge", None), ("policy", "loading act")])
    lines = text_of(view).splitlines()
    assert any("✓ judge" in line for line in lines)
    assert any("· policy" in line and "loading act" in line for line in lines)


def test_a_cause_with_square_brackets_is_text_and_no_markup():
    assert "[red]x[/nothing]" in text_of(View(state="STOPPED", cause="[red]x[/nothing]"))


def test_plain_display_writes_one_line_per_event_and_nothing_else():
    out = io.StringIO()
    display = PlainDisplay(out)
    display.start()
    display.update(View())
    display.event("episode 1 of 2: placed")
    display.stop()
    assert out.getvalue() == "episode 1 of 2: placed\n"


def test_the_panel_leaves_the_cursor_visible_and_may_be_stopped_twice():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    display = PanelDisplay(console)
    display.start()
    display.update(View(state="RUNNING"))
    display.event("[bold] is no markup here")
    display.stop()
    display.stop()
    written = console.file.getvalue()
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")
    assert "[bold] is no markup here" in written


def test_the_panel_shows_a_correction_that_is_loaded_and_why_it_adds_nothing():
    assert "correction" not in text_of(View(episodes=1))
    working = View(episodes=1, correction=[0.0, -0.1])
    assert "5.7°" in text_of(working) and "as planned" not in text_of(working)
    assert "as planned: top is frozen" in text_of(View(correction=[0.0, 0.0], correction_cause="top is frozen"))
