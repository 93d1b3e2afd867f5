# SPDX-License-Identifier: Apache-2.0
"""Bags to episodes of one dataset."""

from collections.abc import Iterator
from dataclasses import replace

import cv2

from so101_bag.dataset.bag_streams import BagStreams, recorded_task
from so101_bag.dataset.episode_frames import UnusableEpisodeError, frames, moments
from so101_bag.dataset.episode_spans import EpisodeSpan
from so101_bag.dataset.lerobot_writer import LeRobotWriter
from so101_bag.dataset.options import DatasetOptions
from so101_bag.errors import DatasetError
from so101_bag.storage.reader import Bag


class DatasetConversion:
    """Takes bags one by one."""

    def __init__(self, options: DatasetOptions, writer: LeRobotWriter) -> None:
        cv2.setNumThreads(1)  # the encoders need the cores more
        self._options = options
        self._joints: tuple[str, ...] = ()
        self._writer = writer

    @property
    def episodes(self) -> int:
        """Episodes written."""
        return self._writer.episodes

    @property
    def frames(self) -> int:
        """Frames written."""
        return self._writer.frames

    def add(self, bag: Bag) -> Iterator[str]:
        """Append the episodes of a bag, and give one line on each.

        Raises:
            BagError: the bag lacks something or is damaged.
            DatasetError: its joints or cameras are not those of the bags before, or the dataset cannot be written.
        """
        streams = self._options.streams(bag)
        if not self._joints:
            self._joints = streams.joint_names
            self._options = replace(self._options, cameras=tuple(streams.cameras))
            self._writer.begin(self._joints)
        elif streams.joint_names != self._joints:
            raise DatasetError(
                f"{bag.folder} has joints {', '.join(streams.joint_names)}, the bags before {', '.join(self._joints)}"
            )
        fallback = recorded_task(bag)
        for number, span in enumerate(streams.episodes):
            yield f"{bag.folder.name}, episode {number}: {self._add_episode(streams, span, fallback)}"

    def _add_episode(self, streams: BagStreams, span: EpisodeSpan, fallback: str) -> str:
        options = self._options
        if options.kept and span.outcome not in options.kept:
            return f"left out, {span.outcome}"
        task = options.task or options.mapping.task or span.task or fallback
        if not task:
            raise DatasetError(f"{streams.bag.folder} does not name its task: give it with --task")
        try:
            times = moments(streams, span, options.fps, options.max_gap_s)
            count = self._writer.add(frames(streams, times, options.max_gap_s), task)
        except UnusableEpisodeError as error:
            return f"left out, {error}"
        return f"{count} frames, {span.outcome}, {task!r}{_slow_commands(streams, span, options.fps)}"


def _slow_commands(streams: BagStreams, span: EpisodeSpan, fps: float) -> str:
    """Say where one command becomes the action of several frames."""
    times = streams.commands.times
    times = times[(times >= span.start_ns) & (times <= span.end_ns)]
    rate = (len(times) - 1) * 1e9 / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else fps
    if rate > fps / 1.5:
        return ""
    return f"; its commands come at {rate:.1f}/s, so each is the action of {fps / rate:.0f} frames: --fps {rate:.0f}?"
