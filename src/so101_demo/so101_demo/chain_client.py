# SPDX-License-Identifier: Apache-2.0
"""The demo's own ROS node: it listens to the chain and calls its services. It never publishes."""

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.client import Client
from rclpy.task import Future
from so101_msgs.msg import DriverStatus, EpisodeEvent, PolicySpec, PolicyStatus, QueueStatus
from so101_msgs.srv import ResetEpisode
from so101_node.process.own_node import OwnNode
from so101_node.protocol import DriverState, QueueState, name_of
from so101_node.topics import graph
from so101_node.topics.qos import EVENTS, LATCHED, STATUS
from std_srvs.srv import Trigger

from so101_demo.panel import View


class ChainClient:
    """Newest state of driver, queue and policy, the episode events, and calls of the services that an episode needs."""

    def __init__(self) -> None:
        self.driver: DriverStatus | None = None
        self.queue: QueueStatus | None = None
        self.policy: PolicyStatus | None = None
        self.spec: PolicySpec | None = None
        self._frames: dict[str, int] = {}
        self.events: deque[EpisodeEvent] = deque()
        self._own = OwnNode("so101_demo")
        node = self._node = self._own.node
        node.create_subscription(DriverStatus, "driver_status", lambda m: setattr(self, "driver", m), LATCHED)
        node.create_subscription(QueueStatus, "action_queue/status", lambda m: setattr(self, "queue", m), STATUS)
        node.create_subscription(PolicyStatus, "policy_status", lambda m: setattr(self, "policy", m), LATCHED)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        node.create_subscription(PolicySpec, "policy_spec", lambda m: setattr(self, "spec", m), LATCHED)
        node.create_subscription(EpisodeEvent, "episode", self._on_episode, EVENTS)
        self._triggers = {
            name: node.create_client(Trigger, name)
            for name in ("so101_driver/park", "so101_driver/reset", "action_queue/start", "action_queue/stop")
        }
        self._reset = node.create_client(ResetEpisode, "judge/reset_episode")

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        """Note how many frames each camera has taken; the cameras' entries are named `node: camera`."""
        for status in message.status:
            frames = [entry.value for entry in status.values if entry.key == "frames"]
            if frames and frames[0].isdigit():
                self._frames[status.name.rpartition(": ")[2]] = int(frames[0])

    def _on_episode(self, event: EpisodeEvent) -> None:
        self.events.append(event)

    def spin(self, timeout_s: float) -> None:
        """Handle what arrived, for about that long."""
        self._own.spin(timeout_s)

    def close(self) -> None:
        """Leave the ROS graph."""
        self._own.close()

    def driver_is_up(self) -> bool:
        """Tell whether a driver has reported, in whatever state."""
        return self.driver is not None

    def missing(self, cameras: Sequence[str], watchers: Sequence[str]) -> list[tuple[str, str | None]]:
        """Return each part of the chain with what it still lacks, None where it is ready."""
        listening, logging = (
            {info.node_name for info in self._node.get_subscriptions_info_by_topic(topic)}
            for topic in ("episode", "action_queue/decisions")
        )
        if "recorder" not in logging:  # it takes up topic by topic
            listening.discard("recorder")
        unheard = [name for name in watchers if name not in listening]
        driver = None if self.driver is None else name_of(DriverState, self.driver.state)
        absent = [name for name in cameras if not graph.publishers(self._node, f"{name}/observation")]
        blind = [name for name in self._requested_cameras() if not self._frames.get(name)]
        unread = [name for name in self._requested_cameras() if not self._readers(f"{name}/observation")]
        heard = len(self._readers("observation_request")) >= 2  # the cameras and the server
        return [
            ("servo bus and driver", self._missing_driver(driver)),
            ("cameras", f"no frame of {', '.join(absent or blind)} yet" if absent or blind else None),
            ("judge", None if self._reset.service_is_ready() else "not up yet"),
            ("action queue", self._missing_queue()),
            ("observer", f"no {', '.join(unheard)} yet" if unheard else None),
            ("policy", self._missing_policy()),
            ("connections", None if heard and not unread and self.spec else "DDS is still matching topics"),
        ]

    def _requested_cameras(self) -> list[str]:
        return list(self.spec.cameras) if self.spec is not None else []

    def _readers(self, topic: str) -> list[str]:
        """Return the nodes that read a topic, without those that only watch."""
        readers = {info.node_name for info in self._node.get_subscriptions_info_by_topic(topic)}
        return sorted(readers - {"observer", "film_recorder", "recorder", "view", "queue_plot"})

    def _missing_driver(self, state: str | None) -> str | None:
        if state is None or not self._triggers["so101_driver/park"].service_is_ready():
            return "not up yet"
        if state in ("HOLD", "ENGAGED", "LATCHED"):  # a latched fault is reset before the first episode
            return None
        assert self.driver is not None
        return f"{state} {self.driver.message or self.driver.cause}".strip()

    def _missing_queue(self) -> str | None:
        ready = all(self._triggers[f"action_queue/{verb}"].service_is_ready() for verb in ("start", "stop"))
        return None if ready and self.queue is not None else "not up yet"

    def _missing_policy(self) -> str | None:
        if self.policy is None:
            return "not up yet"
        return None if self.policy.state == PolicyStatus.READY else self.policy.message or "loading"

    @property
    def policy_error(self) -> str | None:
        """Why the policy server is in ERROR, or None when it is not."""
        if self.policy is None or self.policy.state != PolicyStatus.ERROR:
            return None
        return self.policy.message or "the policy server reports an error without a reason"

    def trigger(self, service: str) -> Future:
        """Call one of the Trigger services; poll the future's `done()` while spinning."""
        return self._call(self._triggers[service], Trigger.Request())

    def reset_episode(self, task: str, seed: int, episode: int) -> Future:
        """Tell the judge to lay out the scene of an episode."""
        return self._call(self._reset, ResetEpisode.Request(task_name=task, seed=seed, episode=episode, timeout=0.0))

    def _call(self, client: Client, request: Any) -> Future:
        return client.call_async(request)

    def fill(self, view: View) -> None:
        """Copy the queue's newest state into a view."""
        queue = self.queue
        if queue is None:
            return
        view.state = name_of(QueueState, queue.state)
        view.cause = queue.cause
        view.length, view.chunk_size, view.threshold = queue.length, queue.chunk_size, queue.threshold
        view.tick_hz = _finite(queue.tick_hz) or None
        view.round_trip = _finite(queue.round_trip_last)
        view.round_trip_p95 = _finite(queue.round_trip_p95)
        view.starved_ticks, view.deadline_misses = queue.starved_ticks, queue.deadline_misses
        view.correction, view.correction_cause = list(queue.correction), queue.correction_cause


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
