# SPDX-License-Identifier: Apache-2.0
"""Records a reel of the first episodes: every camera's compressed stream, thinned, and the state of the queue."""

import math
import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage
from so101_msgs.msg import EpisodeEvent, QueueDecision, QueueStatus
from so101_node.parameters import ParameterError, parameter
from so101_node.parameters.declaring import declare
from so101_node.process import run_process
from so101_node.protocol import QueueState, name_of
from so101_node.timing.timers import create_timer
from so101_node.topics.qos import EVENTS, IMAGE, STATUS
from so101_node.topics.serialized import DecisionHead, SerializedError

from so101_demo.film.reel import EpisodeSample, QueueSample, ReelWriter, RowSample

EPISODE_EVENTS = {
    EpisodeEvent.STARTED: "started",
    EpisodeEvent.SUCCEEDED: "succeeded",
    EpisodeEvent.FAILED: "failed",
    EpisodeEvent.ABORTED: "aborted",
}


@dataclass(frozen=True, slots=True)
class FilmRecorderParameters:
    """Parameters of the film recorder."""

    folder: str = parameter("", "folder that receives the reel")
    cameras: list[str] = parameter(["front", "top", "wrist"], "cameras to record, in the order of the film")
    fps: float = parameter(12.0, "frames kept per second and camera, Hz", lower=1.0, upper=30.0)
    episodes: int = parameter(2, "episodes recorded; then the cameras are left alone", lower=1)
    tail_s: float = parameter(1.0, "recorded after the last episode's end, s", lower=0.0, upper=10.0)
    niceness: int = parameter(15, "how far the process steps back behind the chain", lower=0, upper=19)

    def validate(self) -> None:
        """Check what has no default."""
        if not self.folder:
            raise ParameterError("parameter folder is empty: name a folder for the reel")


class FilmRecorderNode(Node):
    """Subscribes to the cameras while an episode that is wanted may run, and to nothing heavy afterwards."""

    def __init__(self) -> None:
        super().__init__("film_recorder")
        self._settings = declare(self, FilmRecorderParameters)
        os.nice(self._settings.niceness)
        self._reel = ReelWriter(Path(self._settings.folder))
        self._due_ns = dict.fromkeys(self._settings.cameras, 0)
        self._ended = 0
        self._running = False
        self._tail: Any = None
        self._subscriptions_open = [
            self.create_subscription(
                CompressedImage, f"{camera}/image_raw/compressed", partial(self._on_image, camera), IMAGE, raw=True
            )
            for camera in self._settings.cameras
        ]
        self._subscriptions_open.append(
            self.create_subscription(QueueStatus, "action_queue/status", self._on_status, STATUS)
        )
        self._subscriptions_open.append(
            self.create_subscription(QueueDecision, "action_queue/decisions", self._on_decision, STATUS, raw=True)
        )
        self._subscriptions_open.append(self.create_subscription(EpisodeEvent, "episode", self._on_episode, EVENTS))
        create_timer(self, 1.0, lambda: None)  # a node without any timer can hang on SIGTERM

    def _on_image(self, camera: str, serialized: bytes) -> None:
        now_ns = time.monotonic_ns()
        if not self._running or now_ns < self._due_ns[camera]:
            return
        period_ns = int(1e9 / self._settings.fps)
        self._due_ns[camera] = max(self._due_ns[camera] + period_ns, now_ns - period_ns)
        image = deserialize_message(serialized, CompressedImage)
        self._reel.add_frame(camera, now_ns, bytes(image.data))

    def _on_status(self, status: QueueStatus) -> None:
        if not self._running:
            return
        self._reel.add(
            QueueSample(
                time_ns=time.monotonic_ns(),
                length=status.length,
                chunk_size=status.chunk_size,
                threshold=status.threshold,
                state=name_of(QueueState, status.state),
                tick_hz=status.tick_hz,
                round_trip=None if math.isnan(status.round_trip_last) else status.round_trip_last,
                correction_cause=status.correction_cause if status.correction else "",
            )
        )

    def _on_decision(self, serialized: bytes) -> None:
        """Keep the planned row of a tick and what was added to it; the log's other entries are passed over."""
        if not self._running or not _is_tick(serialized):
            return
        tick = deserialize_message(serialized, QueueDecision)
        if tick.setpoint and tick.correction:
            row = RowSample(time.monotonic_ns(), list(tick.joint_names), list(tick.setpoint), list(tick.correction))
            self._reel.add(row)

    def _on_episode(self, event: EpisodeEvent) -> None:
        self._reel.add(
            EpisodeSample(time.monotonic_ns(), EPISODE_EVENTS[event.event], event.episode, event.task, event.duration)
        )
        if self._tail is not None:
            self.destroy_timer(self._tail)
            self._tail = None
        if event.event == EpisodeEvent.STARTED:
            self._running = True
            return
        self._ended += 1
        self._tail = create_timer(self, max(0.01, self._settings.tail_s), self._on_tail)

    def _on_tail(self) -> None:
        self.destroy_timer(self._tail)
        self._tail = None
        self._running = False
        if self._ended >= self._settings.episodes:
            self._leave_cameras()

    def _leave_cameras(self) -> None:
        for subscription in self._subscriptions_open:
            self.destroy_subscription(subscription)
        self._subscriptions_open.clear()
        self._reel.close()

    def on_exit(self) -> None:
        """Finish the reel."""
        self._leave_cameras()


def _is_tick(serialized: bytes) -> bool:
    try:
        return bool(DecisionHead.of(serialized).input == QueueDecision.TICK)
    except SerializedError:
        return False


def main() -> None:
    """Run the film recorder."""
    run_process(FilmRecorderNode)


if __name__ == "__main__":
    main()
