# SPDX-License-Identifier: Apache-2.0
"""The runs: so many robots ask without pause, and what they got is counted."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from so101_msgs.msg import PolicyStatus
from so101_node.metrics.quantile import percentile

from so101_bench.errors import BenchError
from so101_bench.progress import BenchProgress
from so101_bench.robots.frame_makers import Coded, Photographs
from so101_bench.robots.options import RobotsOptions
from so101_bench.robots.server import Server
from so101_bench.robots.virtual_robot import RobotTally, VirtualRobot, namespace_of

LOAD_TIMEOUT_S = 300.0
ENGAGE_TIMEOUT_S = 30.0
DRAIN_TIMEOUT_S = 10.0
WARM_UP_S = 1.5
SPIN_S = 0.005


class RobotsRun:
    """All runs at one server.

    Args:
        options: of the bench.
        folder: free for files.
        log: of the server.
        progress: is told what happens.
        check_stop: raises when the user has ended the bench; called often.
    """

    def __init__(
        self,
        options: RobotsOptions,
        folder: Path,
        log: TextIO,
        progress: BenchProgress,
        check_stop: Callable[[], None],
    ) -> None:
        self._options, self._progress, self._check_stop = options, progress, check_stop
        names = [namespace_of(number) for number in range(options.robots)]
        self._server = Server(options, names, folder, log)
        self._robots: list[VirtualRobot] = []

    def run(self) -> dict[str, Any]:
        """Run all and return the report.

        Raises:
            BenchError: the policy cannot be served, or the server ended.
        """
        frame_maker = Coded() if self._options.checkpoint is None else Photographs()
        with self._server:
            context = Context()
            rclpy.init(args=[], context=context, domain_id=self._server.domain)
            self._executor = SingleThreadedExecutor(context=context)
            try:
                for number in range(self._options.robots):
                    self._robots.append(VirtualRobot(context, number, frame_maker))
                    self._executor.add_node(self._robots[-1].node)
                self._engage()
                runs = [self._measure(self._robots[:count]) for count in self._options.counts]
                return self._report(runs)
            except FileNotFoundError as error:
                raise BenchError(str(error)) from error
            finally:
                for robot in self._robots:
                    robot.destroy()
                self._executor.shutdown(timeout_sec=0.5)
                rclpy.shutdown(context=context)

    def _engage(self) -> None:
        self._progress.begin("loading the policy", 5.0 if self._options.checkpoint is None else 20.0)

        def ready() -> bool:
            statuses = [robot.status for robot in self._robots]
            for status in statuses:
                if status is not None and status.state == PolicyStatus.ERROR:
                    raise BenchError(status.message)
            return all(status is not None and status.state == PolicyStatus.READY for status in statuses)

        if not self._wait(ready, LOAD_TIMEOUT_S):
            raise BenchError(f"no policy after {LOAD_TIMEOUT_S:g} s: outputs/bench.log says why")
        for robot in self._robots:
            robot.engage()
        if not self._wait(lambda: ready() and all(robot.is_engaged for robot in self._robots), ENGAGE_TIMEOUT_S):
            raise BenchError(f"the server has not engaged after {ENGAGE_TIMEOUT_S:g} s: outputs/bench.log says why")

    def _measure(self, robots: Sequence[VirtualRobot]) -> dict[str, Any]:
        name = "1 robot" if len(robots) == 1 else f"{len(robots)} robots"
        self._progress.begin(f"{name}: warming up", WARM_UP_S)
        for robot in robots:
            robot.begin()
        self._wait(lambda: False, WARM_UP_S)
        for robot in robots:
            robot.tally = RobotTally()
        self._progress.begin(f"{name}: measuring", self._options.seconds)
        began_s = time.monotonic()
        self._wait(lambda: False, self._options.seconds)
        ended_s = time.monotonic()
        for robot in robots:
            robot.end()
        self._wait(lambda: not any(robot.is_waiting for robot in robots), DRAIN_TIMEOUT_S)
        return run_report([robot.tally for robot in robots], began_s, ended_s)

    def _wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Spin until the condition holds; tell whether it did."""
        deadline_s = time.monotonic() + timeout_s
        drawn_s = 0.0
        while not condition():
            now_s = time.monotonic()
            if now_s > deadline_s:
                return False
            if now_s - drawn_s > 0.2:
                drawn_s = now_s
                self._check_stop()
                self._server.check()
                self._progress.tick()
            for robot in self._robots:
                robot.tick()
            self._executor.spin_once(timeout_sec=SPIN_S)
        return True

    def _report(self, runs: list[dict[str, Any]]) -> dict[str, Any]:
        status = self._robots[0].status
        assert status is not None
        coded = self._options.checkpoint is None
        return {
            "runs": runs,
            "ratio": ratio(runs),
            "cross_talk": sum(run["mixed"] for run in runs) if coded else None,
            "chunks": sum(run["chunks"] for run in runs),
            "policy": status.policy_type,
            "device": status.device,
            "max_batch": self._options.max_batch,
        }


def run_report(tallies: Sequence[RobotTally], began_s: float, ended_s: float) -> dict[str, Any]:
    """What the robots of one run got between two times of the monotonic clock, s."""
    waits = [[waited_s for came_s, waited_s in robot.chunks if began_s <= came_s < ended_s] for robot in tallies]
    together = [waited_s for robot in waits for waited_s in robot]
    slowest = [found for robot in waits if (found := percentile(robot, 99)) is not None]
    return {
        "robots": len(tallies),
        "chunks_per_s": round(len(together) / (ended_s - began_s), 2),
        "wait_p50_ms": _ms(percentile(together, 50)),
        "wait_p99_ms": _ms(percentile(together, 99)),
        "p99_slowest_to_fastest": round(max(slowest) / min(slowest), 3) if len(slowest) == len(tallies) else None,
        "chunks": sum(len(robot.chunks) for robot in tallies),
        "mixed": sum(robot.mixed for robot in tallies),
        "unanswered": sum(robot.unanswered for robot in tallies),
        "refused": {text: count for robot in tallies for text, count in robot.refused.items()},
    }


def ratio(runs: Sequence[dict[str, Any]]) -> float | None:
    """Chunks a second of the last run to those of the first, which has one robot; None where there is nothing to it."""
    one, many = runs[0]["chunks_per_s"], runs[-1]["chunks_per_s"]
    return round(many / one, 3) if len(runs) > 1 and one else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1e3 * seconds, 2)
