# SPDX-License-Identifier: Apache-2.0
"""When a lack is the start's, and when it is an error."""

from so101_node.timing.start_grace import GRACE_S, StartGrace

S = 1_000_000_000


def test_a_lack_is_the_starts_for_a_while_and_an_error_afterwards() -> None:
    grace = StartGrace(7 * S)
    assert grace.covers(7 * S)
    assert grace.covers(7 * S + round(GRACE_S * 1e9) - 1)
    assert not grace.covers(7 * S + round(GRACE_S * 1e9))


def test_what_was_here_once_and_went_is_an_error_at_once() -> None:
    grace = StartGrace(0)
    grace.over()
    assert not grace.covers(1)
