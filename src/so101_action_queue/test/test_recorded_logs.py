# SPDX-License-Identifier: Apache-2.0
"""Logs that the version before the package was divided into rooms recorded: every decision comes out the same.

`data/decisions_before_rooms.jsonl.gz` holds seven processes in virtual time, a message a line, an empty line after each
process: chunks late, lost, invalid and foreign, drivers and servers that come and go, a queue that stood still.
"""

import gzip
import importlib
import json
from pathlib import Path
from typing import Any

from so101_action_queue.record.replay import replay
from so101_msgs.msg import QueueDecision

LOG = Path(__file__).parent / "data" / "decisions_before_rooms.jsonl.gz"


def filled(message: Any, values: dict[str, Any]) -> Any:
    """The message with these values; fields that are younger than the log keep their default."""
    for name, kind in message.get_fields_and_field_types().items():
        if name not in values:
            continue
        if hasattr(getattr(message, name), "get_fields_and_field_types"):
            filled(getattr(message, name), values[name])
        elif "/" in kind:  # sequence<package/Type, size>
            package, made = kind.removeprefix("sequence<").rstrip(">").split(",")[0].split("/")
            cls = getattr(importlib.import_module(f"{package}.msg"), made)
            setattr(message, name, [filled(cls(), value) for value in values[name]])
        else:
            setattr(message, name, values[name])
    return message


def test_logs_of_an_older_version_replay_bit_for_bit() -> None:
    runs: list[list[QueueDecision]] = [[]]
    with gzip.open(LOG, "rt") as lines:
        for line in lines:
            if line.strip():
                runs[-1].append(filled(QueueDecision(), json.loads(line)))
            else:
                runs.append([])
    runs = [run for run in runs if run]
    results = [replay(run) for run in runs]
    assert [result.first_difference for result in results] == [""] * 7
    assert [result.decisions for result in results] == [len(run) for run in runs]
    verdicts = {message.verdict for run in runs for message in run}
    assert len(verdicts) >= 6
