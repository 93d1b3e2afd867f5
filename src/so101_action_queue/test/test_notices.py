"""Log lines are kept, but not floods of them."""

from so101_action_queue.decisions import Level, Notice
from so101_action_queue.notices import Notices


def test_one_kind_is_kept_once_a_second_and_other_kinds_apart() -> None:
    notices = Notices()
    for now_ns in range(0, 2_000_000_000, 100_000_000):
        notices.add(now_ns, "bad", Level.WARNING, f"bad at {now_ns}")
    notices.add(0, "good", Level.INFO, "good")
    assert notices.take() == [
        Notice(Level.WARNING, "bad at 0"),
        Notice(Level.WARNING, "bad at 1000000000"),
        Notice(Level.INFO, "good"),
    ]
    assert notices.take() == []


def test_notices_nobody_takes_do_not_fill_the_memory() -> None:
    notices = Notices()
    for number in range(10_000):
        notices.add(0, f"kind {number}", Level.INFO, "x")
    assert len(notices.take()) < 100
