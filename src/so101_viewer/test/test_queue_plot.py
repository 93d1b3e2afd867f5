# SPDX-License-Identifier: Apache-2.0
"""The queue plot: what is kept, and what shows in the image."""

import math
from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray
from so101_msgs.msg import QueueStatus
from so101_node.metrics.latency import LatencyBreakdown
from so101_viewer.queue_plot import drawing
from so101_viewer.queue_plot.drawing import QueuePlotImage
from so101_viewer.queue_plot.history import STATES, ChunkMark, QueueHistory, TickMark

PERIOD_NS = 33_333_333
RUNNING, STARVED = STATES.index("RUNNING"), STATES.index("STARVED")


def mark(tick: int, *, length: int = 30, state: int = RUNNING, age: float = 0.2) -> TickMark:
    return TickMark(tick * PERIOD_NS, state, "", length, 50, 0.5, age, 30.0, 0.08, 0.09, 0)


def breakdown(inference_s: float = 0.045) -> LatencyBreakdown:
    return LatencyBreakdown(0.02, 0.01, 0.001, 0.004, 0.003, 0.002, inference_s, 0.001, 0.001, 0.02)


def filled(ticks: Iterable[TickMark]) -> QueueHistory:
    history = QueueHistory()
    for entry in ticks:
        history.add_tick(entry, entry.tick_ns)
    return history


def has(image: NDArray[np.uint8], colour: tuple[int, int, int], area: drawing.Plot) -> int:
    """How many pixels of the panel have the colour."""
    inside = image[area.top : area.bottom, area.left : area.right]
    return int((inside == np.array(colour[::-1], np.uint8)).all(axis=2).sum())


def test_the_states_are_named_as_in_the_message() -> None:
    assert [getattr(QueueStatus, name) for name in STATES] == list(range(6))


def test_what_is_older_than_the_window_is_forgotten() -> None:
    history = filled(mark(tick) for tick in range(3000))
    history.add_chunk(ChunkMark(0, breakdown()))
    history.add_tick(mark(3000), 3000 * PERIOD_NS)
    ages_s = history.curves(3000 * PERIOD_NS).age_s
    assert 29.9 < ages_s[0] <= 30.0 and ages_s[-1] == 0.0
    assert history.chunks == ()


def test_starved_ticks_leave_a_mark() -> None:
    calm = filled(mark(tick) for tick in range(600))
    starved = filled(
        mark(tick, length=0 if 300 <= tick < 310 else 30, state=STARVED if 300 <= tick < 310 else RUNNING)
        for tick in range(600)
    )
    now_ns = 600 * PERIOD_NS
    colour = drawing._mixed(drawing.BAD, 0.45)
    draw = QueuePlotImage(30.0).draw
    assert has(draw(calm, now_ns), colour, drawing.ROWS) == 0
    # Ten ticks are a third of a second: 7 of 606 columns, from top to bottom.
    assert has(draw(starved, now_ns), colour, drawing.ROWS) > 4 * (drawing.ROWS.bottom - drawing.ROWS.top)


def test_a_longer_inference_takes_more_of_the_bar() -> None:
    colour = {name: colour for name, _, colour in drawing.GROUPS}["inference"]
    heights = []
    for inference_s in (0.02, 0.06):
        history = filled(mark(tick) for tick in range(90))
        history.add_chunk(ChunkMark(60 * PERIOD_NS, breakdown(inference_s)))
        image = QueuePlotImage(30.0).draw(history, 90 * PERIOD_NS)
        total_s = history.chunks[0].breakdown.total
        scale_s = drawing._nice(total_s * 1e3) / 1e3
        heights.append(has(image, colour, drawing.LATENCY) / 6 * scale_s)
    assert heights[1] / heights[0] == pytest.approx(3.0, rel=0.1)


def test_every_stage_is_in_exactly_one_group() -> None:
    from so101_node.metrics.latency import STAGES

    assert sorted(stage for _, stages, _ in drawing.GROUPS for stage in stages) == sorted(STAGES)


def test_one_chunk_of_many_seconds_does_not_flatten_the_others() -> None:
    history = filled(mark(tick) for tick in range(300))
    for tick in range(0, 300, 30):
        history.add_chunk(ChunkMark(tick * PERIOD_NS, breakdown(8.0 if tick == 150 else 0.045)))
    image = QueuePlotImage(30.0).draw(history, 300 * PERIOD_NS)
    frame_age = {name: colour for name, _, colour in drawing.GROUPS}["frame age"]
    assert has(image, frame_age, drawing.LATENCY) > 10 * 6 * 5  # 20 ms of each bar stay at least 5 pixels high


def test_nothing_heard_and_a_queue_that_fell_silent_are_said() -> None:
    draw = QueuePlotImage(30.0).draw
    empty = draw(QueueHistory(), 0)
    assert empty.shape == (drawing.HEIGHT, drawing.WIDTH, 3) and empty.dtype == np.uint8
    history = filled(mark(tick) for tick in range(30))
    header = slice(16, 44), slice(168, 278)
    bad = np.array(drawing.BAD[::-1], np.uint8)
    assert not (draw(history, 30 * PERIOD_NS)[header] == bad).all(axis=2).any()
    assert (draw(history, 30 * PERIOD_NS + 3_000_000_000)[header] == bad).all(axis=2).mean() > 0.5


@pytest.mark.parametrize("age", [math.nan, 0.0])
def test_a_window_without_ages_or_with_one_tick_only_is_drawn(age: float) -> None:
    assert QueuePlotImage(30.0).draw(filled([mark(0, age=age)]), 1).any()


def test_the_history_of_a_queue_that_paused_is_not_joined_across_the_gap() -> None:
    curves = filled([mark(tick) for tick in (*range(30), *range(90, 120))]).curves(120 * PERIOD_NS)
    assert [(first, last) for first, last, _ in drawing._stretches(curves)] == [(0, 29), (30, 59)]


# -- time never runs backwards -----------------------------------------------------------------------------------------


def looks(delays_ms: Iterable[float], look_ms: float = 200.0) -> tuple[QueueHistory, int]:
    """Ticks that arrive after these delays and are looked at five times a second, as the node does."""
    history = QueueHistory()
    arrivals = sorted((tick * PERIOD_NS + round(delay * 1e6), tick) for tick, delay in enumerate(delays_ms))
    now_ns = 0
    while arrivals:
        now_ns += round(look_ms * 1e6)
        while arrivals and arrivals[0][0] <= now_ns:
            history.add_tick(mark(arrivals.pop(0)[1]), now_ns)
    return history, now_ns


def test_ticks_that_come_late_and_then_soon_keep_their_distances() -> None:
    """One look finds its newest tick 90 ms old, the next one a fresh one: the line used to double back there."""
    history, now_ns = looks([90.0 if 100 <= tick < 130 else 1.0 for tick in range(300)])
    ages_s = history.curves(now_ns).age_s
    assert len(ages_s) == 300 and np.allclose(np.diff(ages_s), -PERIOD_NS * 1e-9, atol=1e-6)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_comes_in_whatever_order_time_never_runs_backwards(seed: int) -> None:
    """Late ticks, bursts, silences, a second queue, a restart on another clock, a bag that begins again."""
    rng = np.random.default_rng(seed)
    clocks = [int(rng.integers(0, 10**14)) for _ in range(3)]
    history, draw = QueueHistory(), QueuePlotImage(30.0).draw
    now_ns, tick_ns, clock = int(rng.integers(1, 10**15)), 0, 0
    for step in range(400):
        kind = rng.choice(["steady", "late", "burst", "silence", "second", "other", "again"], p=[0.86, *[0.14 / 6] * 6])
        period_ns = round(rng.uniform(5e6, 2e8))
        now_ns, tick_ns = now_ns + period_ns, tick_ns + period_ns
        batch = [tick_ns]
        if kind == "late":
            batch = [tick_ns - round(rng.uniform(0, 3e9))]
        elif kind == "burst":
            batch = [tick_ns - index * PERIOD_NS for index in range(20)]
            rng.shuffle(batch)
        elif kind == "silence":
            now_ns += round(rng.uniform(0, 6e10))
        elif kind == "second":
            batch = [tick_ns - 10_000_000, tick_ns, tick_ns - 20_000_000]
        elif kind == "other":
            clock = int(rng.integers(len(clocks)))
        elif kind == "again":
            tick_ns = 0
        for entry in batch:
            history.add_tick(
                TickMark(clocks[clock] + entry, RUNNING, "", step % 50, 50, 0.5, 0.2, 30, 0.1, 0.1, 0), now_ns
            )
        curves = history.curves(now_ns)
        assert (np.diff(curves.age_s) <= 0).all() and curves.age_s[-1] >= 0.0
        if step % 80 == 0:
            draw(history, now_ns)
    assert history.silent_s(now_ns) == 0.0
    xs = drawing.ROWS.x(history.curves(now_ns).age_s, 30.0)
    assert (np.diff(xs) >= 0).all()


def test_a_queue_that_starts_again_on_another_clock_goes_on_where_it_was_heard() -> None:
    history = filled(mark(tick) for tick in range(300))
    for tick in range(300):
        later = mark(tick + 10**6 if tick % 2 else tick)  # two computers at once
        history.add_tick(later, (300 + tick) * PERIOD_NS)
    ages_s = history.curves(600 * PERIOD_NS).age_s
    assert len(ages_s) == 600 and (np.diff(ages_s) <= 0).all()
    assert ages_s[450] == pytest.approx(150 * PERIOD_NS * 1e-9, abs=0.1)
