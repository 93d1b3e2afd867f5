# SPDX-License-Identifier: Apache-2.0
"""Messages of two arms put together."""

from so101_driver.core.paired_messages import PairedMessages

MS = 1_000_000


def test_each_message_is_used_once_and_in_the_order_of_the_arms() -> None:
    paired = PairedMessages[str](("left", "right"), 0.05)
    assert paired.hear("right", 0, "r1") is None
    assert paired.hear("left", 16 * MS, "l1") == ["l1", "r1"]
    assert paired.hear("left", 33 * MS, "l2") is None
    assert paired.hear("left", 50 * MS, "l3") is None  # the newer one counts
    assert paired.hear("right", 51 * MS, "r2") == ["l3", "r2"]
    assert paired.left_out == 0


def test_one_that_is_older_than_the_bound_is_not_used() -> None:
    paired = PairedMessages[str](("left", "right"), 0.05)
    paired.hear("left", 0, "l1")
    assert paired.hear("right", 51 * MS, "r1") is None
    assert paired.left_out == 1
    assert paired.hear("left", 60 * MS, "l2") == ["l2", "r1"]
