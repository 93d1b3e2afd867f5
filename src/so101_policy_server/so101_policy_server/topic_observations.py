"""Observations from plain topics of any ROS robot: the newest pictures and pose by arrival, for whoever asks.

Arrival is when this host received them: stamps of other hosts are never compared. A picture is as old as it lies here,
so a camera that has stopped is refused as one whose own answers are too old.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from so101_policy_server.frame_matcher import NS_PER_S
from so101_policy_server.raw_image import RawLayout
from so101_policy_server.request import CameraNeed, Frame, Request


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One image message: compressed bytes and their format, or raw bytes and their layout."""

    data: npt.NDArray[np.uint8]
    format: str = ""
    raw: RawLayout | None = None


class Recent[T]:
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
        max_age_s: a pose older than this is not used; pictures are judged where all frames are.
    """

    def __init__(self, max_age_s: float) -> None:
        self._max_age_s = max_age_s
        self._pictures: dict[tuple[str, str], Recent[Picture]] = {}
        self._poses: dict[str, Recent[Mapping[str, float]]] = {}

    def picture(self, robot: str, camera: str, picture: Picture, now_ns: int) -> None:
        """Take in a picture of one of the robot's cameras."""
        self._pictures.setdefault((robot, camera), Recent()).add(now_ns, picture)

    def pose(self, robot: str, positions: Mapping[str, float], now_ns: int) -> None:
        """Take in the robot's joint positions, joint name -> rad."""
        self._poses.setdefault(robot, Recent()).add(now_ns, positions)

    def with_pose(self, request: Request, joints: tuple[str, ...], steps: int, period_s: float, now_ns: int) -> Request:
        """Return the request with the poses from the topic, or with what is missing named in `incomplete`."""
        recent = self._poses.get(request.key.session.robot)
        chosen = recent.select(steps, round(period_s * NS_PER_S)) if recent else []
        if not chosen:
            return replace(request, incomplete="no joint_states have arrived: is the topic remapped?")
        age_s = (now_ns - chosen[0][1]) / NS_PER_S
        if age_s > self._max_age_s:
            text = f"joint_states are {age_s:.3f} s old, max_frame_age_s = {self._max_age_s:g}"
            return replace(request, incomplete=text)
        for _, _, pose in chosen:
            lacking = [joint for joint in joints if not math.isfinite(pose.get(joint, math.nan))]
            if lacking:
                return replace(request, incomplete=f"joint_states have no position of {', '.join(lacking)}")
        positions = np.array([[pose[joint] for joint in joints] for _, _, pose in reversed(chosen)])
        if len(request.leftover) and request.joint_names != joints:
            order = [request.joint_names.index(joint) for joint in joints if joint in request.joint_names]
            if len(order) != len(joints):
                return replace(request, fault=f"joint_names is {', '.join(request.joint_names)}: not the spec's")
            return replace(request, joint_names=joints, positions=positions, leftover=request.leftover[:, order])
        return replace(request, joint_names=joints, positions=positions)

    def frames(
        self, request: Request, cameras: tuple[CameraNeed, ...], steps: int, period_s: float, now_ns: int
    ) -> list[Frame]:
        """Return the pictures there are as frames that answer the request; a camera without any gives none."""
        frames = []
        for need in cameras:
            recent = self._pictures.get((request.key.session.robot, need.camera))
            chosen = recent.select(steps, round(period_s * NS_PER_S)) if recent else []
            for index, (number, arrived_ns, picture) in enumerate(chosen):
                frames.append(
                    Frame(
                        key=request.key,
                        camera=need.camera,
                        history_index=index,
                        frame_seq=number,
                        capture_age_s=(now_ns - arrived_ns) / NS_PER_S,
                        format=picture.format,
                        data=picture.data,
                        received_ns=now_ns,
                        raw=picture.raw,
                    )
                )
        return frames
