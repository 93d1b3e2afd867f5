# SPDX-License-Identifier: Apache-2.0
"""The wire's arithmetic, with a clock and dice of our own."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_bench.errors import WireError
from so101_bench.two_hosts.wire import BUFFER_BYTES, NO_WIRE, OVERHEAD_BYTES, Direction, Wire

MS = 1_000_000
FRAME = bytes(1000 - OVERHEAD_BYTES)  # 1000 bytes on the wire


def direction(wire: Wire, seed: int = 0) -> Direction:
    return Direction(wire, random.Random(seed))


def test_without_limits_a_frame_arrives_at_once() -> None:
    wire = direction(NO_WIRE)
    wire.offer(FRAME, 5 * MS)
    assert wire.next_ns == 5 * MS
    assert wire.take(5 * MS) == [FRAME]
    assert wire.next_ns is None


def test_a_delayed_frame_arrives_after_the_delay_and_not_before() -> None:
    wire = direction(Wire(delay_ms=20))
    wire.offer(FRAME, 0)
    assert wire.take(20 * MS - 1) == []
    assert wire.take(20 * MS) == [FRAME]


def test_at_8_mbit_a_kilobyte_takes_a_millisecond_and_the_next_one_waits_for_it() -> None:
    wire = direction(Wire(rate_mbit=8, delay_ms=3))
    wire.offer(b"a" + FRAME[1:], 0)
    wire.offer(b"b" + FRAME[1:], 0)
    assert [wire.next_ns, wire.take(4 * MS)[0][:1], wire.next_ns] == [4 * MS, b"a", 5 * MS]


def test_an_idle_wire_has_nothing_to_make_up_for() -> None:
    wire = direction(Wire(rate_mbit=8))
    wire.offer(FRAME, 0)
    wire.take(MS)
    wire.offer(FRAME, 100 * MS)
    assert wire.next_ns == 101 * MS


def test_what_would_wait_behind_a_full_buffer_is_dropped() -> None:
    wire = direction(Wire(rate_mbit=8))
    for _ in range(BUFFER_BYTES // 1000 + 10):
        wire.offer(FRAME, 0)
    assert wire.overflowed == 9  # the first goes out at once; one more begins exactly at the limit
    assert len(wire.take(10**12)) == BUFFER_BYTES // 1000 + 1


def test_a_cut_wire_loses_everything_and_a_healed_one_nothing() -> None:
    wire = direction(Wire(delay_ms=1))
    wire.offer(b"before", 0)
    wire.cut = True
    wire.offer(b"during", 0)
    wire.cut = False
    wire.offer(b"after", 0)
    assert wire.take(MS) == [b"before", b"after"]
    assert (wire.carried, wire.lost) == (2, 1)


def test_the_ratio_of_lost_frames_is_the_one_that_was_set() -> None:
    wire = direction(Wire(loss_pct=5))
    for _ in range(20_000):
        wire.offer(FRAME, 0)
    assert wire.lost == pytest.approx(1000, abs=150)  # five standard deviations


@given(st.lists(st.integers(0, 3 * MS), max_size=50), st.integers(0, 2**32))
def test_frames_stay_in_order_whatever_the_jitter(gaps_ns: list[int], seed: int) -> None:
    wire = direction(Wire(delay_ms=5, jitter_ms=4, rate_mbit=100), seed)
    now_ns, sent = 0, []
    for index, gap_ns in enumerate(gaps_ns):
        now_ns += gap_ns
        sent.append(index.to_bytes(2))
        wire.offer(sent[-1], now_ns)
    assert wire.take(now_ns + 10**12) == sent


def test_a_wire_that_changes_lets_what_is_under_way_arrive() -> None:
    wire = direction(Wire(delay_ms=50))
    wire.offer(b"slow", 0)
    wire.change(NO_WIRE)
    wire.offer(b"fast", MS)
    assert wire.take(50 * MS) == [b"slow", b"fast"]


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"delay_ms": -1.0}, "--delay-ms -1"),
        ({"loss_pct": 91.0}, "--loss-pct 91"),
        ({"rate_mbit": 0.01}, "--rate-mbit 0.01"),
        ({"jitter_ms": float("inf")}, "--jitter-ms inf"),
        ({"delay_ms": float("nan")}, "--delay-ms nan"),
    ],
)
def test_an_impossible_wire_is_refused_with_its_key_and_value(values: dict[str, float], key: str) -> None:
    with pytest.raises(WireError, match=key) as caught:
        Wire(**values)
    assert "must be" in str(caught.value) and "\n" not in str(caught.value)


def test_a_wire_says_what_it_is() -> None:
    assert str(NO_WIRE) == "loopback"
    assert str(Wire(delay_ms=40, loss_pct=5, rate_mbit=20)) == "20 Mbit/s, 40 ms, 5 % loss"
