# SPDX-License-Identifier: Apache-2.0
"""`--to queue`: the decision log again, bit for bit, and what other settings would have made of the same inputs."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from so101_bag.replay.decision_runs import check_identity, split_runs
from so101_bag.replay.queue_trace import QueueTrace, difference, trace
from so101_bag.replay.settings_change import Change, title
from so101_bag.storage.reader import Bag

TOPIC, TYPE = "action_queue/decisions", "so101_msgs/msg/QueueDecision"


def replay_to_queue(
    bag: Bag, changes: Sequence[Change], check: Callable[[], None] = lambda: None
) -> tuple[dict[str, Any], dict[str, QueueTrace]]:
    """Return the report, and the traces to draw: what was recorded and one for each change. `check` may end it early.

    Raises:
        BagError: the bag has no decision log, or one of another version.
    """
    topic = bag.require(TOPIC, TYPE, "--to queue")
    runs = list(split_runs(received.message for received in bag.messages([topic])))
    check()
    result = check_identity(runs)
    report: dict[str, Any] = {
        "bag": str(bag.folder),
        "identical": result.identical,
        "decisions": result.decisions,
        "first_difference": result.first_difference or None,
    }
    traces = {title({}): trace(runs, {})}
    recorded = traces[title({})]
    period_s = float(np.median(np.diff(recorded.time_s))) if len(recorded.time_s) > 1 else 1 / 30
    report["recorded"] = recorded.metrics(period_s)
    if changes:
        report["alternatives"] = []
    for change in changes:
        check()
        other = traces[title(change)] = trace(runs, change)
        entry = {"set": dict(change), **other.metrics(period_s), "difference": difference(recorded, other)}
        report["alternatives"].append(entry)
    return report, traces
