# SPDX-License-Identifier: Apache-2.0
"""One run of the bench: the sides take turns, each from its first process to its last."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from so101_demo.observer.cpu import CpuMeter

from so101_bench.errors import BenchError, DisturbedError
from so101_bench.goals import baseline_report, goals
from so101_bench.hosts import Hosts
from so101_bench.metrics import Recovery, Turn, ratio, recovery, side_report
from so101_bench.options import BenchOptions
from so101_bench.ours.linked_side import LinkedSide
from so101_bench.ours.our_side import OurSide
from so101_bench.progress import BenchProgress
from so101_bench.side import Side
from so101_bench.stock.stock_side import StockSide
from so101_bench.trace import Trace
from so101_bench.work import Work

FIRST_ACTION_TIMEOUT_S = 180.0
WARM_UP_S = 2.0  # after the first action: the first inference of a process is not the tenth
RESTART_TIMEOUT_S = 120.0
RECOVERY_WAIT_S = 15.0  # how long after its server is ready again a side may take to act
POLL_S = 0.2
ATTEMPTS = 3


class Network(Protocol):
    """The wire, where there is one."""

    def cut(self) -> None:
        """Nothing crosses it any more."""

    def heal(self) -> None:
        """It is as it was."""


class BenchRun:
    """Runs both sides on one wire."""

    def __init__(
        self,
        work: Work,
        hosts: Hosts,
        network: Network | None,
        log: TextIO,
        progress: BenchProgress,
        check_stop: Callable[[], None],
    ) -> None:
        """Take the means of a run.

        Args:
            network: None on loopback.
            check_stop: raises when the user has ended the bench; called often.
        """
        self._work, self._hosts, self._network = work, hosts, network
        self._log, self._progress, self._check_stop = log, progress, check_stop
        self.turns: dict[str, list[Turn]] = {side.name: [] for side in sides(work.options)}

    def run(self, name: str) -> dict[str, Any]:
        """Run all turns and return the report.

        Args:
            name: of this run, where several write to one folder.

        Raises:
            BenchError: a side could not be measured.
        """
        options = self._work.options
        for round_number in range(options.rounds):
            for kind in sides(options):
                last = round_number == options.rounds - 1
                self.turns[kind.name].append(self._attempt(kind, f"{name}_{round_number}", last=last))
        return report(self.turns, options)

    def _attempt(self, kind: type[Side], name: str, *, last: bool) -> Turn:
        """A turn, and again where the machine was too busy for the emulated hardware."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                side = kind(self._work, self._hosts, self._log, f"{name}_{attempt}")
                return self._turn(side, last=last)
            except DisturbedError as error:
                if attempt == ATTEMPTS:
                    raise
                self._progress.begin(f"once more: {error}", 15.0)
        raise AssertionError("unreachable")

    def _turn(self, side: Side, *, last: bool) -> Turn:
        options = self._work.options
        try:
            self._progress.begin(f"{side.name}: starting", 15.0)
            side.start()
            self._await_first_action(side)
            self._pause(side, WARM_UP_S)
            pids = side.pids()
            missing = [name for name in (*side.robot_labels(), side.server_label) if name not in pids]
            if missing:
                raise BenchError(f"{side.name}: {', '.join(missing)} is not running; see {self._log.name}")
            meter = CpuMeter({name: pids[name] for name in (*side.robot_labels(), side.server_label)})
            seconds = options.seconds / options.rounds
            self._progress.begin(f"{side.name}: measuring", seconds)
            begin_ns = time.monotonic_ns()
            meter.start(begin_ns)
            self._pause(side, seconds)
            end_ns = time.monotonic_ns()
            meter.sample(end_ns)
            self._check_acting(side, end_ns)
            self._pause(side, 0.5)  # what ended within the stretch is still being written down
            cut = self._cut(side) if last and self._network is not None and options.cut_s else None
            restart = self._restart(side) if last and options.restart else None
            return Turn(side.trace(), begin_ns, end_ns, meter.cores, restart, cut)
        finally:
            side.stop()

    def _await_first_action(self, side: Side) -> None:
        def acting() -> bool:
            side.proceed()
            return any(tick.acting for tick in side.trace().ticks)

        if not self._wait(side, acting, FIRST_ACTION_TIMEOUT_S):
            raise BenchError(f"{side.name}: no action after {FIRST_ACTION_TIMEOUT_S:g} s; see {self._log.name}")

    def _check_acting(self, side: Side, end_ns: int) -> None:
        """Metrics of a control loop that has ended by itself would be wrong rather than bad."""
        ticks = side.trace().ticks
        if not ticks or end_ns - ticks[-1].sample.tick_ns > 2e9:
            raise BenchError(f"{side.name}: the control loop has ended on its own; {self._log.name} says why")

    def _restart(self, side: Side) -> Recovery:
        """Kill the server outright, let it come back, and see when its robot acts again."""
        self._progress.begin(f"{side.name}: server killed", 20.0)
        killed_ns = time.monotonic_ns()
        os.kill(side.pids()[side.server_label], signal.SIGKILL)

        def ready_ns(trace: Trace) -> int | None:
            return next((at_ns for name, at_ns in trace.marks if name == "ready" and at_ns > killed_ns), None)

        self._wait(side, lambda: ready_ns(side.trace()) is not None, RESTART_TIMEOUT_S)
        return self._recovery(side, killed_ns, ready_ns(side.trace()))

    def _cut(self, side: Side) -> Recovery:
        """Cut the wire for a while and see when the robot acts on a new chunk."""
        assert self._network is not None
        self._progress.begin(f"{side.name}: wire cut", self._work.options.cut_s + 5.0)
        cut_ns = time.monotonic_ns()
        self._network.cut()
        try:
            self._pause(side, self._work.options.cut_s)
        finally:
            self._network.heal()
        return self._recovery(side, cut_ns, time.monotonic_ns())

    def _recovery(self, side: Side, disturbed_ns: int, back_ns: int | None) -> Recovery:
        def found() -> Recovery:
            return recovery(side.trace(), disturbed_ns, back_ns, time.monotonic_ns())

        if back_ns is not None:
            self._wait(side, lambda: found().acting_s is not None, RECOVERY_WAIT_S)
        return found()

    def _pause(self, side: Side, seconds: float) -> None:
        self._wait(side, lambda: False, seconds)

    def _wait(self, side: Side, condition: Callable[[], bool], timeout_s: float) -> bool:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            self._check_stop()
            side.check()
            self._progress.tick()
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            time.sleep(min(POLL_S, left_s))
        return True


def sides(options: BenchOptions) -> tuple[type[Side], ...]:
    """Who takes turns, in this order."""
    return (StockSide, OurSide, LinkedSide) if options.link else (StockSide, OurSide)


def report(turns: dict[str, list[Turn]], options: BenchOptions) -> dict[str, Any]:
    """Return the report of one run."""
    lerobot, ours, *linked = (side_report(turns[kind.name], kind.server_label) for kind in sides(options))
    link = {"link": linked[0], "link_ratio": ratio(linked[0], ours)} if linked else {}
    return {
        "lerobot": lerobot,
        "ours": ours,
        "ratio": ratio(ours, lerobot),
        **link,
        "wire": str(options.wire),
        "policy_delay_s": options.policy_delay_s,
        "goals": [goal.as_dict() for goal in goals(lerobot, ours, options.wire)],
        "baseline": baseline_report(lerobot, options.wire, options.policy_delay_s),
    }
