"""Bags to episodes of one dataset."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
from so101_policy_server.units import Units

from so101_tools.bag.reader import Bag
from so101_tools.dataset.bag_streams import BagStreams, read_streams, recorded_task
from so101_tools.dataset.episode_frames import UnusableEpisodeError, frames, moments
from so101_tools.dataset.episode_spans import EpisodeSpan
from so101_tools.dataset.errors import DatasetError
from so101_tools.dataset.lerobot_writer import LeRobotWriter


class Conversion:
    """Takes bags one by one. `kept` empty keeps episodes of every outcome; `task` None takes the recorded one."""

    def __init__(
        self,
        out: Path,
        fps: int,
        codec: str,
        units: str,
        cameras: Sequence[str],
        kept: Sequence[str],
        task: str | None,
        max_gap_s: float,
    ) -> None:
        cv2.setNumThreads(1)  # the encoders need the cores more
        self._out, self._fps, self._codec = out, fps, codec
        self._units = Units[units.upper()]
        self._cameras = tuple(cameras)
        self._kept = tuple(kept)
        self._task = task
        self._max_gap_s = max_gap_s
        self._joints: tuple[str, ...] = ()
        self._writer: LeRobotWriter | None = None

    @property
    def episodes(self) -> int:
        """Episodes written."""
        return self._writer.episodes if self._writer else 0

    @property
    def frames(self) -> int:
        """Frames written."""
        return self._writer.frames if self._writer else 0

    def add(self, bag: Bag) -> Iterator[str]:
        """Append the episodes of a bag, and give one line on each.

        Raises:
            BagError: the bag lacks something or is damaged.
            DatasetError: its joints or cameras are not those of the bags before, or the dataset cannot be written.
        """
        streams = read_streams(bag, self._units, self._cameras)
        if self._writer is None:
            self._joints, self._cameras = streams.joint_names, tuple(streams.cameras)
            self._writer = LeRobotWriter(self._out, self._fps, self._joints, self._codec)
        elif streams.joint_names != self._joints:
            raise DatasetError(
                f"{bag.folder} has joints {', '.join(streams.joint_names)}, the bags before {', '.join(self._joints)}"
            )
        fallback = recorded_task(bag)
        for number, span in enumerate(streams.episodes):
            yield f"{bag.folder.name}, episode {number}: {self._add_episode(self._writer, streams, span, fallback)}"

    def finish(self) -> None:
        """Complete the dataset."""
        if self._writer:
            self._writer.finish()

    def discard(self) -> None:
        """Leave nothing behind of a dataset that was not finished."""
        if self._writer:
            self._writer.discard()

    def _add_episode(self, writer: LeRobotWriter, streams: BagStreams, span: EpisodeSpan, fallback: str) -> str:
        if self._kept and span.outcome not in self._kept:
            return f"left out, {span.outcome}"
        task = self._task or span.task or fallback
        if not task:
            raise DatasetError(f"{streams.bag.folder} does not tell its task: name it with --task")
        try:
            times = moments(streams, span, self._fps)
            count = writer.add(frames(streams, times, self._max_gap_s), task)
        except UnusableEpisodeError as error:
            return f"left out, {error}"
        return f"{count} frames, {span.outcome}, {task!r}"
