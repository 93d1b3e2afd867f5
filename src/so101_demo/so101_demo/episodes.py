# SPDX-License-Identifier: Apache-2.0
"""Episodes as a real arm would run them: drive home, lay out the scene, start the queue, wait for the judge, stop."""

import time
from collections.abc import Callable

from rclpy.task import Future
from so101_msgs.msg import DriverStatus, EpisodeEvent, QueueStatus
from so101_node.protocol import DriverState, name_of

from so101_demo.chain_client import ChainClient
from so101_demo.errors import CallRefusedError, LateError
from so101_demo.panel import View

SERVICE_TIMEOUT_S = 5.0
PARK_TIMEOUT_S = 20.0
RELEASE_TIMEOUT_S = 3.0
EPISODE_TIMEOUT_S = 90.0  # far above the judge's own: it only ends a run whose judge fell silent

START_TIMEOUT_S = 10.0

PARK_BEGINS_S = 0.3  # three periods of DriverStatus

PARK_TRIES = 4
PARK_PAUSE_S = 2.0  # an overloaded or hot servo refuses the reset for a while

Wait = Callable[[Callable[[], bool], float], bool]


class EpisodeRunner:
    """Runs one episode after the other through the services of driver, judge and queue."""

    def __init__(self, client: ChainClient, view: View, wait: Wait, announce: Callable[[str], None]) -> None:
        """Take the means of a run.

        Args:
            wait: waits until its first argument is true or that many seconds passed, and tells which; spins the client.
            announce: shows one line for good.
        """
        self._client = client
        self._view = view
        self._wait = wait
        self._announce = announce
        self._episode, self._seed = 0, 0
        self._lack = ""  # what was wrong with the chunks of this episode

    def run(self, task: str, seed: int, episode: int) -> EpisodeEvent:
        """Run one episode and return how it ended. An arm that cannot be brought home has lost it.

        Raises:
            DemoError: a part of the chain refused or fell silent.
        """
        self._episode, self._seed = episode, seed
        at_home = self._bring_home()
        self._client.events.clear()
        self._view.phase = "laying out the scene"
        self._call("judge/reset_episode", self._client.reset_episode(task, seed, episode))
        self._wait_for(lambda: self._event(EpisodeEvent.STARTED) is not None, SERVICE_TIMEOUT_S, "the judge to begin")
        if at_home:
            self._start_queue()
        self._view.phase = "running"
        self._await_end()
        self._call("action_queue/stop", self._client.trigger("action_queue/stop"))
        end = self._end()
        assert end is not None
        if self._lack and end.event != EpisodeEvent.SUCCEEDED:
            self._announce(self._lack)
        return end

    def _await_end(self) -> None:
        """Wait for the judge. A queue that stops meanwhile has lost the episode, but it is the judge who ends it."""
        begin_s = time.monotonic()
        seen_running = stop_shown = False
        cause = self._lack = ""

        def ended() -> bool:
            nonlocal seen_running, stop_shown, cause
            self._view.elapsed = time.monotonic() - begin_s
            queue = self._client.queue
            stopped = queue is not None and queue.state == QueueStatus.STOPPED
            seen_running = seen_running or not stopped
            if queue is not None and not stopped and queue.errors:
                cause = queue.cause or cause
                requests = f"{queue.errors} of {queue.requests} requests got no chunk"
                self._lack = f"{requests}: {cause}" if cause else requests
            if queue is not None and stopped and seen_running and not stop_shown:
                stop_shown = True
                self._announce(f"queue stopped: {queue.cause}")
            return self._end() is not None

        try:
            self._wait_for(ended, EPISODE_TIMEOUT_S, "the judge to end the episode")
        finally:
            self._view.elapsed = None

    def _bring_home(self) -> bool:
        """Park, with patience; False if the arm will not. The episode then runs without it, for the judge to fail."""
        for _ in range(PARK_TRIES):
            try:
                self._park()
                return True
            except (CallRefusedError, LateError) as error:
                self._announce(f"{error}; trying again")
                self._wait(lambda: False, PARK_PAUSE_S)
        self._announce("the arm cannot be brought home: this episode is lost")
        return False

    def _park(self) -> None:
        """Move to the home positions, slowly; the driver parks only while it follows no command."""
        self._view.phase = "driving home"
        if self._driver_state() == DriverStatus.LATCHED:
            self._reset_driver()
        self._wait_for(lambda: self._driver_state() == DriverStatus.HOLD, RELEASE_TIMEOUT_S, "the driver to hold")
        self._call("so101_driver/park", self._client.trigger("so101_driver/park"))
        # An arm that was home already says so still for a status or two, while the driver parks it once more.
        self._wait(lambda: False, PARK_BEGINS_S)
        self._wait_for(self._parked, PARK_TIMEOUT_S, "the arm to reach its home positions")

    def _reset_driver(self) -> None:
        """Leave a latched fault as a person would: say what it was, then reset. A fault that stays latches again."""
        driver = self._client.driver
        self._announce(f"driver: {driver.message or driver.cause if driver else ''}; resetting")
        self._call("so101_driver/reset", self._client.trigger("so101_driver/reset"))

    def _start_queue(self) -> None:
        """Start the queue; it refuses until it has heard server and driver, which DDS may bring to it late."""
        begin_s = time.monotonic()
        while True:
            try:
                self._call("action_queue/start", self._client.trigger("action_queue/start"))
                return
            except CallRefusedError:
                if time.monotonic() - begin_s > START_TIMEOUT_S:
                    raise
                self._wait(lambda: False, 0.2)

    def _parked(self) -> bool:
        driver = self._client.driver
        return driver is not None and bool(driver.parked) and driver.cause != "PARKING"

    def _driver_state(self) -> int | None:
        return None if self._client.driver is None else int(self._client.driver.state)

    def _event(self, kind: int) -> EpisodeEvent | None:
        return next((event for event in self._own_events() if event.event == kind), None)

    def _end(self) -> EpisodeEvent | None:
        return next((event for event in self._own_events() if event.event != EpisodeEvent.STARTED), None)

    def _own_events(self) -> list[EpisodeEvent]:
        """Events of this episode: the end of an earlier one may come late."""
        mine = (self._episode, self._seed)
        return [event for event in self._client.events if (event.episode, event.seed) == mine]

    def _call(self, service: str, reply: Future) -> None:
        self._wait_for(reply.done, SERVICE_TIMEOUT_S, f"a reply of {service}")
        result = reply.result()
        if not result.success:
            raise CallRefusedError(f"{service} refused: {result.message or 'no reason given'}")

    def _wait_for(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        if self._wait(condition, timeout_s):
            return
        driver, queue = self._client.driver, self._client.queue
        states = f"driver {'unknown' if driver is None else name_of(DriverState, driver.state)}"
        states += f" {driver.message or driver.cause}" if driver is not None else ""
        states += f", queue {self._view.state} {'' if queue is None else queue.cause}"
        raise LateError(f"waited {timeout_s:g} s for {what} ({' '.join(states.split())})")
