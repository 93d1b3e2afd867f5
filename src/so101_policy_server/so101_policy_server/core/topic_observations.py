# SPDX-License-Identifier: Apache-2.0
"""Observations from plain topics of any ROS robot: the newest frames and joint positions by arrival, for whoever asks.

Arrival is when this host received them: stamps of other hosts are never compared. A frame is as old as it lies here,
so a camera that has stopped is refused as one whose own answers are too old.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from so101_policy_server.core.clock import NS_PER_S
from so101_policy_server.core.request import CameraNeed, PolicyRequest, ReceivedFrame

if TYPE_CHECKING:
    from so101_node.raw_image import RawLayout


@dataclass(frozen=True, slots=True, eq=False)
class TopicFrame:
    """One image message: compressed bytes and their format, or raw bytes and their layout."""

    data: npt.NDArray[np.uint8]
    format: str = ""
    raw: RawLayout | None = None


class RecentArrivals[T]:
    """The newest value of a topic, and those before it as far back as `select` was asked to look."""

    def __init__(self) -> None:
        self._values: deque[tuple[int, int, T]] = deque()
        self._span_ns = 0
        self._count = 0

    def add(self, now_ns: int, value: T) -> None:
        """Take in a value that arrived now."""
        self._count += 1
        self._values.append((self._count, now_ns, value))
        # One value beyond the span stays: the nearest to the oldest step may lie on its far side.
        while len(self._values) > 1 and now_ns - self._values[1][1] >= self._span_ns:
            self._values.popleft()

    def select(self, steps: int, period_ns: int) -> list[tuple[int, int, T]]:
        """Return (number, arrival in ns, value) of the last `steps` observation steps, newest first; [] before any.

        Step i is what arrived nearest to i periods before the newest; where nothing reaches back that far the oldest
        stands in.
        """
        self._span_ns = (steps - 1) * period_ns
        if not self._values:
            return []
        newest_ns = self._values[-1][1]
        return [
            min(reversed(self._values), key=lambda entry: abs(newest_ns - step * period_ns - entry[1]))
            for step in range(steps)
        ]


class TopicObservations:
    """What the topics of each robot brought last. Not thread-safe.

    Args:
        max_age_s: a joint positions older than this is not used; frames are judged where all frames are.
    """

    def __init__(self, max_age_s: float) -> None:
        self._max_age_s = max_age_s
        self._frames: dict[tuple[str, str], RecentArrivals[TopicFrame]] = {}
        self._positions: dict[str, RecentArrivals[Mapping[str, float]]] = {}

    def frame(self, robot: str, camera: str, frame: TopicFrame, now_ns: int) -> None:
        """Take in a frame of one of the robot's cameras."""
        self._frames.setdefault((robot, camera), RecentArrivals()).add(now_ns, frame)

    def positions(self, robot: str, positions: Mapping[str, float], now_ns: int) -> None:
        """Take in the robot's joint positions, joint name -> rad."""
        self._positions.setdefault(robot, RecentArrivals()).add(now_ns, positions)

    def with_joint_positions(
        self, request: PolicyRequest, joints: tuple[str, ...], steps: int, period_s: float, now_ns: int
    ) -> PolicyRequest:
        """Return the request with the joint positions from the topic, or with what is missing named in `incomplete`."""
        recent = self._positions.get(request.key.session.robot)
        chosen = recent.select(steps, round(period_s * NS_PER_S)) if recent else []
        if not chosen:
            return replace(request, incomplete="no joint_states have arrived: is the topic remapped?")
        age_s = (now_ns - chosen[0][1]) / NS_PER_S
        if age_s > self._max_age_s:
            text = f"joint_states are {age_s:.3f} s old, max_frame_age_s = {self._max_age_s:g}"
            return replace(request, incomplete=text)
        for _, _, arrived in chosen:
            lacking = [joint for joint in joints if not math.isfinite(arrived.get(joint, math.nan))]
            if lacking:
                return replace(request, incomplete=f"joint_states have no position of {', '.join(lacking)}")
        positions = np.array([[arrived[joint] for joint in joints] for _, _, arrived in reversed(chosen)])
        if len(request.leftover) and request.joint_names != joints:
            order = [request.joint_names.index(joint) for joint in joints if joint in request.joint_names]
            if len(order) != len(joints):
                return replace(request, fault=f"joint_names is {', '.join(request.joint_names)}: not the spec's")
            return replace(request, joint_names=joints, positions=positions, leftover=request.leftover[:, order])
        return replace(request, joint_names=joints, positions=positions)

    def frames(
        self, request: PolicyRequest, cameras: tuple[CameraNeed, ...], steps: int, period_s: float, now_ns: int
    ) -> list[ReceivedFrame]:
        """Return the frames there are as frames that answer the request; a camera without any gives none."""
        frames = []
        for need in cameras:
            recent = self._frames.get((request.key.session.robot, need.camera))
            chosen = recent.select(steps, round(period_s * NS_PER_S)) if recent else []
            for index, (number, arrived_ns, frame) in enumerate(chosen):
                frames.append(
                    ReceivedFrame(
                        key=request.key,
                        camera=need.camera,
                        history_index=index,
                        frame_seq=number,
                        capture_age_s=(now_ns - arrived_ns) / NS_PER_S,
                        format=frame.format,
                        data=frame.data,
                        received_ns=now_ns,
                        raw=frame.raw,
                    )
                )
        return frames
