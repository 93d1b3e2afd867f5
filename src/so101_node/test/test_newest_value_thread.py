# SPDX-License-Identifier: Apache-2.0
"""One slot per kind, a bounded log, and a slow link that holds up nobody."""

import threading
import time
from typing import Any

from so101_node.threads import LOG_DEPTH, FatalSlot, NewestValueThread


def test_a_slow_outlet_holds_up_nobody_and_only_the_newest_value_is_kept() -> None:
    release, taken = threading.Event(), threading.Event()
    sent: list[int] = []

    def slow(value: int) -> None:
        sent.append(value)
        taken.set()
        release.wait(10.0)

    sender = NewestValueThread("sender", {"status": slow}, FatalSlot())
    sender.start()
    sender.offer("status", 0)
    assert taken.wait(5.0)
    begin = time.monotonic()
    for value in range(1, 1001):
        sender.offer("status", value)
    assert time.monotonic() - begin < 5.0  # with the outlet blocked all the while
    release.set()
    sender.stop()
    assert sent == [0, 1000]


def test_log_entries_all_arrive_in_order() -> None:
    entries: list[int] = []
    sender = NewestValueThread("sender", {"status": lambda value: None}, FatalSlot(), entries.append)
    sender.start()
    for number in range(200):
        sender.append(number)
        sender.offer("status", number)
    sender.stop()
    assert entries == list(range(200))


def test_a_log_nobody_can_take_loses_its_oldest_entries_only() -> None:
    entries: list[int] = []
    sender = NewestValueThread("sender", {}, FatalSlot(), entries.append)
    for number in range(LOG_DEPTH + 10):
        sender.append(number)
    sender.start()
    sender.stop()
    assert entries == list(range(10, LOG_DEPTH + 10))


def test_an_exception_in_an_outlet_is_kept() -> None:
    def broken(value: Any) -> None:
        raise ValueError("boom")

    fatal = FatalSlot()
    sender = NewestValueThread("sender", {"status": broken}, fatal)
    sender.start()
    sender.offer("status", 1)
    sender.stop()
    assert isinstance(fatal.cause, ValueError)
