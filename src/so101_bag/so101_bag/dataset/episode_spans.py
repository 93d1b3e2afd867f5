# SPDX-License-Identifier: Apache-2.0
"""When the episodes of a bag began and ended. Free of ROS."""

from collections.abc import Iterable
from dataclasses import dataclass

STARTED, SUCCEEDED, FAILED, ABORTED = range(4)
OUTCOMES = {SUCCEEDED: "succeeded", FAILED: "failed", ABORTED: "aborted"}
UNMARKED = "not marked"
UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Marker:
    """One EpisodeEvent: when it was recorded, which, and the task it names."""

    time_ns: int
    event: int
    task: str


@dataclass(frozen=True, slots=True)
class EpisodeSpan:
    """One episode. `outcome` is one of OUTCOMES, UNMARKED or UNFINISHED."""

    start_ns: int
    end_ns: int
    task: str
    outcome: str


def episode_spans(markers: Iterable[Marker], start_ns: int, end_ns: int) -> list[EpisodeSpan]:
    """Return the episodes between markers; the whole time where there is not a single marker.

    A begin without an end is UNFINISHED: up to the next begin, or to the end of the bag.
    """
    found: list[EpisodeSpan] = []
    begun: Marker | None = None
    seen = False
    for marker in markers:
        seen = True
        if begun is not None:
            outcome = OUTCOMES.get(marker.event, UNFINISHED)
            found.append(EpisodeSpan(begun.time_ns, marker.time_ns, begun.task, outcome))
        begun = marker if marker.event == STARTED else None
    if begun is not None:
        found.append(EpisodeSpan(begun.time_ns, end_ns, begun.task, UNFINISHED))
    return found if seen else [EpisodeSpan(start_ns, end_ns, "", UNMARKED)]
