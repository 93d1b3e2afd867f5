# SPDX-License-Identifier: Apache-2.0
"""The decision log of a bag, as runs of one queue process each, and the check that each run repeats bit for bit."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from so101_action_queue.record.replay import replay
from so101_msgs.msg import QueueDecision


@dataclass(frozen=True, slots=True)
class LogComparison:
    """Whether all `decisions` compared came out the same; else where the first difference lies, one line."""

    identical: bool
    decisions: int
    first_difference: str


def split_runs(messages: Iterable[QueueDecision]) -> Iterator[list[QueueDecision]]:
    """Give the log in runs: where the sequence begins again, the action_queue process was another."""
    run: list[QueueDecision] = []
    for message in messages:
        if run and message.sequence <= run[-1].sequence:
            yield run
            run = []
        run.append(message)
    if run:
        yield run


def check_identity(runs: Iterable[list[QueueDecision]]) -> LogComparison:
    """Repeat every run; what comes before a run's first CONFIGURE is left out, since what it met is not known."""
    decisions = 0
    first_difference = ""
    for number, run in enumerate(runs, start=1):
        result = replay(run)
        decisions += result.decisions
        if not result.identical and not first_difference:
            first_difference = result.first_difference if number == 1 else f"run {number}: {result.first_difference}"
    return LogComparison(not first_difference and decisions > 0, decisions, first_difference or _nothing(decisions))


def _nothing(decisions: int) -> str:
    return "" if decisions else "the log holds no begin of a session: nothing could be compared"
