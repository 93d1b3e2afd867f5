# SPDX-License-Identifier: Apache-2.0
"""What is kept of a run to draw its film: a folder of camera frames and one line per tick or episode event.

Layout: `<camera>/<time_ns>.jpg` and `log.jsonl`. Every time is the recorder's monotonic clock on arrival, ns.
"""

import json
from bisect import bisect_right
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class QueueSample:
    """State of the queue at one tick. `length` and `chunk_size` in rows, `threshold` as a ratio, times in s.

    correction_cause: why a correction adds nothing; "" while it works, and where none is loaded.
    """

    time_ns: int
    length: int
    chunk_size: int
    threshold: float
    state: str
    tick_hz: float
    round_trip: float | None
    correction_cause: str = ""


@dataclass(frozen=True, slots=True)
class RowSample:
    """The row of one tick: `planned` by the queue and `correction` added to it, rad, both in the order of `joints`.

    Ticks without a row, or without a correction that is loaded, leave none.
    """

    time_ns: int
    joints: list[str]
    planned: list[float]
    correction: list[float]


@dataclass(frozen=True, slots=True)
class EpisodeSample:
    """An episode began or ended. `event` is started, succeeded, failed or aborted."""

    time_ns: int
    event: str
    episode: int
    task: str
    duration: float


@dataclass(frozen=True, slots=True)
class Reel:
    """A recorded run, each list in order of time."""

    frames: dict[str, list[tuple[int, Path]]]
    queue: list[QueueSample]
    episodes: list[EpisodeSample]
    rows: list[RowSample]

    def frame_at(self, camera: str, time_ns: int) -> Path | None:
        """Return the newest image of a camera at that time; before its first, the first."""
        frames = self.frames[camera]
        if not frames:
            return None
        return frames[max(0, bisect_right(frames, time_ns, key=lambda entry: entry[0]) - 1)][1]

    def queue_at(self, time_ns: int) -> QueueSample | None:
        """Return the newest tick at that time, or None before the first."""
        index = bisect_right(self.queue, time_ns, key=lambda sample: sample.time_ns)
        return self.queue[index - 1] if index else None

    def episode_at(self, time_ns: int) -> EpisodeSample | None:
        """Return the newest episode event at that time, or None before the first."""
        index = bisect_right(self.episodes, time_ns, key=lambda sample: sample.time_ns)
        return self.episodes[index - 1] if index else None


_KINDS: dict[type[QueueSample | EpisodeSample | RowSample], str] = {
    QueueSample: "queue",
    EpisodeSample: "episode",
    RowSample: "row",
}


class ReelWriter:
    """Writes a reel into an empty or new folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._log = (folder / "log.jsonl").open("w", encoding="utf-8")

    def add_frame(self, camera: str, time_ns: int, jpeg: bytes) -> None:
        """Keep one compressed image as it came."""
        folder = self._folder / camera
        folder.mkdir(exist_ok=True)
        (folder / f"{time_ns}.jpg").write_bytes(jpeg)

    def add(self, sample: QueueSample | EpisodeSample | RowSample) -> None:
        """Keep one tick, row or event."""
        self._log.write(json.dumps({"kind": _KINDS[type(sample)], **asdict(sample)}) + "\n")

    def close(self) -> None:
        """Finish the log."""
        self._log.close()


def read_reel(folder: Path) -> Reel:
    """Read a reel back. A torn last line, left by a recorder that was killed, is passed over."""
    queue: list[QueueSample] = []
    episodes: list[EpisodeSample] = []
    rows: list[RowSample] = []
    for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            break
        kind = entry.pop("kind")
        if kind == "queue":
            queue.append(QueueSample(**entry))
        elif kind == "row":
            rows.append(RowSample(**entry))
        else:
            episodes.append(EpisodeSample(**entry))
    frames = {
        camera.name: sorted((int(file.stem), file) for file in camera.glob("*.jpg"))
        for camera in sorted(folder.iterdir())
        if camera.is_dir()
    }
    return Reel(frames, queue, episodes, rows)
