# SPDX-License-Identifier: Apache-2.0
"""The node recorder: writes a rosbag2 bag of the chosen topics, as they appear. It sends nothing on them."""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.subscription import Subscription
from so101_node.parameters.declaring import declare
from so101_node.process import NodeError, end_process, run_node
from so101_node.process.usage import reply_to_help
from so101_node.timing.timers import create_timer

from so101_bag.errors import BagError
from so101_bag.record.offered_qos import as_rosbag2, reader_profile
from so101_bag.record.recorder_parameters import RecorderParameters
from so101_bag.record.topic_patterns import Selection
from so101_bag.storage.message_types import UnknownTypeError, message_class, message_type
from so101_bag.storage.metadata import Topic
from so101_bag.storage.writer import BagWriter

NOTHING_FOUND_S = 5.0
_OWN_TOPICS = {"/rosout"}  # the recorder itself publishes there


@dataclass(slots=True)
class _Recorded:
    """A topic that is being recorded, and what its subscription requests: (reliability, durability)."""

    kind: type[Any]
    subscription: Subscription
    requested: tuple[int, int]


class RecorderNode(Node):
    """Subscribes to whatever fits the selection, serialized as it comes, and hands it to the bag."""

    def __init__(self, overrides: Sequence[Parameter] = (), program: str = "") -> None:
        super().__init__("recorder", parameter_overrides=list(overrides))
        self._settings = declare(self, RecorderParameters)
        # The threads that receive keep their priority, so that times of reception are right; this one steps back.
        os.nice(self._settings.niceness)
        self._log: Any = self.get_logger()  # type: ignore[no-untyped-call]
        self.failure = ""
        self._program = program or f"[{self.get_name()}] error"
        folder = Path(self._settings.folder or f"outputs/bags/{time.strftime('%Y-%m-%d_%H-%M-%S')}")
        self._selection = Selection.of(self._settings.topics, self._settings.exclude, self.get_namespace())
        try:
            self._bag = BagWriter(folder, self._settings.split_mb * 1_000_000, self._settings.min_free_mb * 1_000_000)
        except BagError as error:
            raise NodeError(str(error)) from error
        self._recorded: dict[str, _Recorded] = {}
        self._refused: set[str] = set()
        self._began_s: float | None = time.monotonic()
        self._log.info(f"recording to {folder}")
        self._find_topics()
        create_timer(self, self._settings.discovery_period_s, self._find_topics)
        create_timer(self, self._settings.flush_period_s, lambda: self._guarded(self._bag.flush))
        if self._settings.duration_s > 0.0:
            create_timer(self, self._settings.duration_s, lambda: os.kill(os.getpid(), signal.SIGINT))

    def on_exit(self) -> None:
        """Take what has arrived, and complete the bag."""
        try:
            if not self.failure:
                for name, recorded in self._recorded.items():
                    self._drain(name, recorded)
            self._bag.close()
            self._log.info(f"recorded {self._bag.message_count} messages in {self._bag.folder}")
        except (BagError, NodeError) as error:
            self.failure = str(error)
            print(f"{self._program}: {error}", file=sys.stderr, flush=True)

    def _find_topics(self) -> None:
        """Subscribe to wanted topics that have appeared, and again where a publisher offers less than was requested."""
        found = []
        for name, types in self.get_topic_names_and_types():
            if not self._selection.wants(name) or name in self._refused:
                continue
            endpoints = [info for info in self.get_publishers_info_by_topic(name) if info.topic_type == types[0]]
            if not endpoints:
                continue
            if name not in self._recorded:
                if self._begin(name, types, endpoints):
                    found.append(name)
            else:
                self._adapt(name, endpoints)
        if found:
            self._log.info(f"recording {', '.join(sorted(found))}")
        if set(found) - _OWN_TOPICS:
            self._began_s = None
        elif self._began_s is not None and time.monotonic() - self._began_s > NOTHING_FOUND_S:
            self._began_s = None
            domain = os.environ.get("ROS_DOMAIN_ID", "0")
            self._log.warning(f"no robot to record yet: no topic of one in ROS_DOMAIN_ID={domain}")

    def _begin(self, name: str, types: Sequence[str], endpoints: Sequence[Any]) -> bool:
        if len(types) > 1:
            return self._refuse(name, f"it has several types: {', '.join(types)}")
        try:
            kind, described = message_class(types[0]), message_type(types[0])
        except UnknownTypeError as error:
            return self._refuse(name, str(error))
        announced = {str(info.topic_type_hash) for info in endpoints if info.topic_type_hash.version > 0}
        if announced - {described.type_hash}:
            return self._refuse(name, f"it is published with another version of {types[0]} than the one installed here")
        qos = tuple(as_rosbag2(info.qos_profile) for info in endpoints)
        self._guarded(partial(self._bag.add_topic, Topic(name, types[0], described.type_hash, qos)))
        self._subscribe(name, kind, endpoints)
        return True

    def _subscribe(self, name: str, kind: type[Any], endpoints: Sequence[Any]) -> None:
        profile = reader_profile([info.qos_profile for info in endpoints])
        callback = partial(self._on_message, name)
        subscription = self.create_subscription(kind, name, callback, profile, raw=True)
        self._recorded[name] = _Recorded(kind, subscription, (int(profile.reliability), int(profile.durability)))

    def _adapt(self, name: str, endpoints: Sequence[Any]) -> None:
        recorded = self._recorded[name]
        profile = reader_profile([info.qos_profile for info in endpoints])
        # Only downwards: with every restart of a publisher the topic would else be read again.
        reliable, latched = int(profile.reliability), int(profile.durability)
        if reliable > recorded.requested[0] or latched > recorded.requested[1]:
            self._drain(name, recorded)
            self.destroy_subscription(recorded.subscription)
            self._subscribe(name, recorded.kind, endpoints)

    def _refuse(self, name: str, reason: str) -> bool:
        self._refused.add(name)
        self._log.warning(f"{name} is not recorded: {reason}")
        return False

    def _on_message(self, name: str, serialized: bytes, info: dict[str, int]) -> None:
        received_ns = info["received_timestamp"] or time.time_ns()
        sent_ns = info["source_timestamp"] or received_ns
        self._guarded(lambda: self._bag.write(name, received_ns, sent_ns, serialized))

    def _drain(self, name: str, recorded: _Recorded) -> None:
        """Record what has been received and not yet been looked at."""
        handle = recorded.subscription.handle
        with handle:
            while (taken := handle.take_message(recorded.kind, True)) is not None:
                self._on_message(name, *taken)

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except BagError as error:
            self.failure = f"recording stopped: {error}"
            raise NodeError(self.failure) from error


def run(args: Sequence[str] | None = None, overrides: Sequence[Parameter] = (), program: str = "") -> int:
    """Run the recorder until a signal; return the exit code. `program`: as of `run_node`."""
    made: list[RecorderNode] = []

    def make() -> RecorderNode:
        made.append(RecorderNode(overrides, program))
        return made[0]

    code = run_node(make, args, program=program)
    return 1 if made and made[0].failure else code


def main() -> None:
    """Run the recorder as a process."""
    code = reply_to_help(RecorderNode, sys.argv)
    end_process(run() if code is None else code)


if __name__ == "__main__":
    main()
