# SPDX-License-Identifier: Apache-2.0
"""What was seen of one side of the bench: lines of JSON written while it runs, read back when it is over.

Both sides run on one machine, so that one monotonic clock serves all their processes. Free of ROS and of LeRobot.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from so101_node.metrics.statistics import TickSample


@dataclass(frozen=True, slots=True)
class TraceTick:
    """One pass of a control loop; `acting`: it sent an action of a chunk."""

    sample: TickSample
    acting: bool


@dataclass(frozen=True, slots=True)
class Sent:
    """One message robot -> server: when, its size, and how long the control loop waited for it (None: not at all)."""

    at_ns: int
    size: int
    blocked_s: float | None = None


@dataclass(frozen=True, slots=True)
class FrameAge:
    """How old a frame was when its camera published it, s, and for which request of which session."""

    at_ns: int
    session: int
    request_id: int
    age_s: float


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk that came into the queue: when, when it was requested, and what the server says of its making, s.

    `stages_s` are the server's own stages by name, where it tells them. `frame_wait_s`: how long cameras waited on
    purpose for a newer frame; `frame_age_s`: age of the oldest frame when the last one was published, 0: there is none.
    """

    at_ns: int
    sent_ns: int
    inference_s: float
    server_total_s: float
    stages_s: Mapping[str, float] = field(default_factory=dict)
    frame_wait_s: float = 0.0
    frame_age_s: float = 0.0


@dataclass(slots=True)
class Trace:
    """Everything seen of one side, each kind in order of time. `marks` are named moments, such as "ready"."""

    ticks: list[TraceTick] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    marks: list[tuple[str, int]] = field(default_factory=list)
    frame_ages: list[FrameAge] = field(default_factory=list)


class TraceWriter:
    """Appends to a trace file. Every line is written at once: the process may be killed."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)

    def tick(self, sample: TickSample, *, acting: bool) -> None:
        """Note one pass of the control loop."""
        self._write({"kind": "tick", "acting": acting, **asdict(sample)})

    def sent(self, at_ns: int, size: int, blocked_s: float | None = None) -> None:
        """Note one message to the server; bytes."""
        self._write({"kind": "sent", "at_ns": at_ns, "size": size, "blocked_s": blocked_s})

    def frame_age(self, frame: FrameAge) -> None:
        """Note the age of one frame."""
        self._write({"kind": "frame_age", **asdict(frame)})

    def chunk(self, chunk: Chunk) -> None:
        """Note one accepted chunk."""
        self._write({"kind": "chunk", **asdict(chunk)})

    def received(self, at_ns: int, sent_ns: int, key: float) -> None:
        """Note one accepted chunk of which another process knows how it was made: `computed` with the same key."""
        self._write({"kind": "received", "at_ns": at_ns, "sent_ns": sent_ns, "key": key})

    def computed(self, key: float, inference_s: float, server_total_s: float) -> None:
        """Note how a chunk was made."""
        self._write({"kind": "computed", "key": key, "inference_s": inference_s, "server_total_s": server_total_s})

    def mark(self, name: str, at_ns: int) -> None:
        """Note a moment."""
        self._write({"kind": "mark", "name": name, "at_ns": at_ns})

    def _write(self, entry: dict[str, Any]) -> None:
        self._file.write(json.dumps(entry) + "\n")


def read_trace(paths: Iterable[Path]) -> Trace:
    """Return what the files of one side hold. What a kill cut short or never began is left out."""
    trace = Trace()
    timings: dict[float, tuple[float, float]] = {}
    received: list[dict[str, Any]] = []
    for entry in _entries(paths):
        kind = entry.pop("kind")
        if kind == "tick":
            acting = bool(entry.pop("acting"))
            trace.ticks.append(TraceTick(TickSample(**entry), acting))
        elif kind == "sent":
            trace.sent.append(Sent(**entry))
        elif kind == "frame_age":
            trace.frame_ages.append(FrameAge(**entry))
        elif kind == "chunk":
            trace.chunks.append(Chunk(**entry))
        elif kind == "mark":
            trace.marks.append((entry["name"], entry["at_ns"]))
        elif kind == "computed":
            timings[entry["key"]] = (entry["inference_s"], entry["server_total_s"])
        else:
            received.append(entry)
    for entry in received:
        if entry["key"] in timings:
            trace.chunks.append(Chunk(entry["at_ns"], entry["sent_ns"], *timings[entry["key"]]))
    trace.chunks.sort(key=lambda chunk: chunk.at_ns)
    trace.marks.sort(key=lambda mark: mark[1])
    return trace


def _entries(paths: Iterable[Path]) -> Iterable[dict[str, Any]]:
    for path in paths:
        if not path.is_file():
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue
