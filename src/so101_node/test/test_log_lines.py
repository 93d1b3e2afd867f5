# SPDX-License-Identifier: Apache-2.0
"""Log lines are kept, but not floods of them."""

from typing import Any

from so101_node.log_lines import LogLevel, LogLine, LogThrottle, ThrottledLines, write_line


def test_one_kind_is_kept_once_a_second_and_other_kinds_apart() -> None:
    lines = ThrottledLines()
    for now_ns in range(0, 2_000_000_000, 100_000_000):
        lines.add(now_ns, "bad", LogLevel.WARNING, f"bad at {now_ns}")
    lines.add(0, "good", LogLevel.INFO, "good")
    assert lines.take() == [
        LogLine(LogLevel.WARNING, "bad at 0"),
        LogLine(LogLevel.WARNING, "bad at 1000000000"),
        LogLine(LogLevel.INFO, "good"),
    ]
    assert lines.take() == []


def test_lines_nobody_takes_do_not_fill_the_memory() -> None:
    lines = ThrottledLines()
    for number in range(10_000):
        lines.add(0, f"kind {number}", LogLevel.INFO, "x")
    assert len(lines.take()) < 100


def test_a_line_that_was_held_back_does_not_put_off_the_next() -> None:
    throttle = LogThrottle(1.0)
    assert [throttle.lets_through(at) for at in (0, 900_000_000, 1_000_000_000)] == [True, False, True]


def test_a_line_is_written_with_its_severity() -> None:
    written: list[tuple[str, str]] = []

    class Logger:
        def __getattr__(self, severity: str) -> Any:
            return lambda text: written.append((severity, text))

    for level in LogLevel:
        write_line(Logger(), LogLine(level, level.name))
    assert written == [("info", "INFO"), ("warning", "WARNING"), ("error", "ERROR")]
