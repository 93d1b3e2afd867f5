# SPDX-License-Identifier: Apache-2.0
"""LeRobot's stock robot client with a stop-watch: `... client TRACE FOLDER [LEROBOT'S OWN ARGUMENTS]`.

`lerobot.async_inference.robot_client.async_client` runs as it is; methods that its loop calls are timed from outside.
"""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

trace_file, folder = Path(sys.argv[1]).absolute(), sys.argv[2]
os.chdir(folder)  # LeRobot writes logs/ where it stands, already when it is imported

import lerobot.async_inference.robot_client as stock  # noqa: E402
from lerobot.async_inference.helpers import TimedObservation  # noqa: E402
from so101_node.metrics.statistics import TickSample  # noqa: E402

import so101_bench.stock.config_photo_robot  # noqa: E402,F401 - registers the robot
from so101_bench.trace import TraceWriter  # noqa: E402


@dataclass(slots=True)
class Counters:
    """Since the client began."""

    tick: int = 0
    requests: int = 0
    accepted: int = 0
    expired: int = 0
    starved: int = 0
    missed: int = 0
    last_tick_ns: int = 0
    sent_bytes: int = 0


class TimedClient(stock.RobotClient):  # type: ignore[misc]
    """The stock client; every method ends in the stock one."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._trace = TraceWriter(trace_file)
        self._count = Counters()
        self._captured_ns: dict[float, int] = {}
        self._capture_ns = 0
        stock.send_bytes_in_chunks = self._counting(stock.send_bytes_in_chunks)

    def _counting(self, send: Any) -> Any:
        def counted(buffer: bytes, *args: Any, **kwargs: Any) -> Iterator[Any]:
            self._count.sent_bytes = len(buffer)
            return send(buffer, *args, **kwargs)  # type: ignore[no-any-return]

        return counted

    def actions_available(self) -> bool:
        """Called first in every pass of the control loop."""
        now_ns, count = time.monotonic_ns(), self._count
        available = bool(super().actions_available())
        count.tick += 1
        count.starved += count.accepted > 0 and not available
        count.missed += count.tick > 1 and now_ns - count.last_tick_ns > 2e9 * self.config.environment_dt
        count.last_tick_ns = now_ns
        sample = TickSample(
            session=1,
            tick=count.tick,
            tick_ns=now_ns,
            commanding=True,
            requests=count.requests,
            accepted=count.accepted,
            rejected=count.expired,
            stale=0,
            duplicate=0,
            starved_ticks=count.starved,
            deadline_misses=count.missed,
        )
        self._trace.tick(sample, acting=available)
        return available

    def control_loop_observation(self, task: str, verbose: bool = False) -> Any:
        """Capture, pickle and send, all within the control loop."""
        self._capture_ns = time.monotonic_ns()
        return super().control_loop_observation(task, verbose)

    def send_observation(self, obs: TimedObservation) -> bool:
        """The blocking send."""
        self._captured_ns[obs.get_timestamp()] = self._capture_ns
        began_ns = time.monotonic_ns()
        arrived = bool(super().send_observation(obs))
        ended_ns = time.monotonic_ns()
        self._count.requests += 1
        self._trace.sent(began_ns, self._count.sent_bytes, (ended_ns - began_ns) * 1e-9)
        return arrived

    def _aggregate_action_queues(self, incoming_actions: Any, aggregate_fn: Any = None) -> None:
        """Merge a chunk into the queue; one without a row ahead is of no use."""
        newest = max(action.get_timestep() for action in incoming_actions)
        useful = newest > self.latest_action
        super()._aggregate_action_queues(incoming_actions, aggregate_fn)
        self._count.accepted += useful
        self._count.expired += not useful
        key = incoming_actions[0].get_timestamp()
        if useful and key in self._captured_ns:
            self._trace.received(time.monotonic_ns(), self._captured_ns[key], key)


def main() -> None:
    """Drive until told to stop."""
    sys.argv = ["robot_client", *sys.argv[3:]]
    stock.RobotClient = TimedClient
    stock.async_client()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)
