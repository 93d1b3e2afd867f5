# SPDX-License-Identifier: Apache-2.0
"""One run of the demo, from the first process to the last: start, wait until all is ready, episodes, report, film."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from so101_msgs.msg import EpisodeEvent

from so101_demo.chain_client import ChainClient
from so101_demo.episodes import EpisodeRunner
from so101_demo.errors import DemoError
from so101_demo.options import OFF, DemoOptions
from so101_demo.panel import Display, View
from so101_demo.processes import CAMERAS, Chain

READY_TIMEOUT_S = 300.0  # a cold import of torch took 170 s on a machine with ten times as much to do as it can
OBSERVER_TIMEOUT_S = 10.0
SETTLE_S = 0.3
PROCESSES_TIMEOUT_S = 10.0
DRAW_PERIOD_S = 0.25
NICE = 5  # the panel steps back behind what it shows
OUTCOMES = {EpisodeEvent.SUCCEEDED: "placed", EpisodeEvent.FAILED: "not placed", EpisodeEvent.ABORTED: "aborted"}


class Interrupted(Exception):
    """The person, or the system, told the demo to end."""


class StopRequest:
    """SIGINT, SIGTERM or SIGHUP as a flag that every wait looks at: no signal can cut a clean-up short."""

    def __init__(self) -> None:
        self.received = 0

    def install(self) -> None:
        """Catch the signals from now on."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: Any) -> None:
        self.received = number

    def check(self) -> None:
        """Raise Interrupted once a signal came."""
        if self.received:
            raise Interrupted


class DemoRun:
    """Runs the demo once; `run` leaves no process and no temporary file behind, however it ends."""

    def __init__(
        self, options: DemoOptions, display: Display, stop: StopRequest, chain: Callable[..., Chain] = Chain
    ) -> None:
        """chain: makes the processes, from options, the run's folder and the report's file."""
        self._options = options
        self._make_chain = chain
        self._display = display
        self._stop = stop
        self._view = View(episodes=options.episodes)
        self._drawn_s = 0.0
        self._unready_s = 0.0
        self._counted = 0
        self._view_shown: str | None = None
        self._shown_ready: set[str] = set()
        self._chain: Chain | None = None
        self._client: ChainClient | None = None

    def run(self) -> None:
        """Run all episodes.

        Raises:
            DemoError: something failed; nothing is left behind.
            Interrupted: a signal came; nothing is left behind.
        """
        folder = Path(tempfile.mkdtemp(prefix="so101-demo-"))
        try:
            self._run_in(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _run_in(self, folder: Path) -> None:
        report = folder / "report.json"
        try:
            try:
                self._start(folder, report)
                self._run_episodes()
                self._await_observer(report)
            finally:
                self._leave()
        finally:
            metrics = self._metrics(report)
            if metrics is not None:
                self._save(metrics)
        if metrics is None:
            raise DemoError("the observer left no report; its last lines are in outputs/demo.log")
        self._display.event(summary(metrics))
        self._tell_of_bag()
        self._make_film(folder)

    def _start(self, folder: Path, report: Path) -> None:
        options = self._options
        self._stop.check()
        self._chain = self._make_chain(options, folder, report)
        self._view.title = f"SO-101 demo · {options.task} · {options.policy} · ROS_DOMAIN_ID {self._chain.domain_id}"
        self._display.event(
            f"SO-101 demo: {options.policy} policy, {_episodes(options.episodes)}, seed {options.seed}, "
            f"ROS_DOMAIN_ID={self._chain.domain_id}"
        )
        if self._chain.separation is not None:
            self._display.event(f"  robot and server: {self._chain.separation}, joined by one TLS connection alone")
        if options.cut is not None:
            self._display.event(f"  cut for {options.cut[0]:g} s in every {options.cut[1]:g} s")
        self._display.start()
        self._chain.start()
        os.nice(NICE)  # from here on: the chain's processes must not inherit it
        self._client = ChainClient()
        self._view.phase = "starting the chain"
        if not self._wait(lambda: self._chain is not None and self._chain.started, PROCESSES_TIMEOUT_S):
            raise DemoError(
                f"not all processes have started after {PROCESSES_TIMEOUT_S:g} s; see {self._chain.log_path}"
            )
        # A driver that is up before the virtual arm ends and is started again: the observer is told the one that stays.
        if not self._wait(self._client.driver_is_up, READY_TIMEOUT_S):
            raise DemoError(f"the driver is not up after {READY_TIMEOUT_S:g} s; see {self._chain.log_path}")
        self._chain.start_watchers()
        # The graph shows an endpoint a moment before the last pair has matched: all must have been ready for a while.
        if not self._wait(self._ready_for_a_while, READY_TIMEOUT_S):
            missing = "; ".join(f"{name}: {lack}" for name, lack in self._view.waiting_for if lack is not None)
            raise DemoError(f"not ready after {READY_TIMEOUT_S:g} s ({missing}); see {self._chain.log_path}")
        self._view.waiting_for = []

    def _ready_for_a_while(self) -> bool:
        now_s = time.monotonic()
        if not self._ready():
            self._unready_s = now_s
        return now_s - self._unready_s >= SETTLE_S

    def _ready(self) -> bool:
        """Tell whether every part is ready, and show each part that has become so."""
        assert self._client is not None and self._chain is not None
        if self._client.policy_error is not None:
            raise DemoError(f"policy server: {self._client.policy_error}")
        if self._chain.recording_failure is not None:
            raise DemoError(f"--record {self._options.record}: {self._chain.recording_failure}")
        self._view.waiting_for = self._client.missing(CAMERAS, self._chain.watchers)
        for name, lack in self._view.waiting_for:
            if lack is None and name not in self._shown_ready:
                self._shown_ready.add(name)
                self._display.event(f"  {name} ready")
        return all(lack is None for _, lack in self._view.waiting_for)

    def _run_episodes(self) -> None:
        assert self._client is not None
        runner = EpisodeRunner(self._client, self._view, self._wait, self._display.event)
        for episode, seed in enumerate(self._options.scene_seeds()):
            end = runner.run(self._options.task, seed, episode)
            success = end.event == EpisodeEvent.SUCCEEDED
            self._view.results.append(success)
            self._counted += end.event != EpisodeEvent.ABORTED
            self._display.event(
                f"episode {episode + 1} of {self._options.episodes}: {OUTCOMES.get(end.event, '?')} "
                f"after {end.duration:.1f} s ({sum(self._view.results)} of {len(self._view.results)})"
            )

    def _await_observer(self, report: Path) -> None:
        """Give the observer, which runs niced, the time to see the last episode's end."""

        def seen() -> bool:
            return report.is_file() and json.loads(report.read_text(encoding="utf-8"))["episodes"] >= self._counted

        if not self._wait(seen, OBSERVER_TIMEOUT_S):
            raise DemoError(f"the observer has not reported {_episodes(self._counted)} after {OBSERVER_TIMEOUT_S:g} s")

    def _wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Spin until the condition holds; tell whether it did in time. Signals and dead nodes end the wait."""
        assert self._client is not None and self._chain is not None
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            self._stop.check()
            self._chain.check()
            self._announce_view(self._chain.view_state)
            now_s = time.monotonic()
            if now_s > deadline_s:
                return False
            self._client.spin(0.05)
            if now_s - self._drawn_s >= DRAW_PERIOD_S:
                self._drawn_s = now_s
                self._client.fill(self._view)
                self._display.update(self._view)
        return True

    def _announce_view(self, state: str | None) -> None:
        """Say once where the browser view is, or why there is none."""
        if state is not None and state != self._view_shown:
            self._view_shown = state
            self._display.event(f"  {state}")

    def _leave(self) -> None:
        self._display.stop()
        if self._client is not None:
            self._client.close()
        if self._chain is not None:
            self._chain.stop()

    def _metrics(self, report: Path) -> dict[str, Any] | None:
        """Return the observer's metrics together with what the run was told; None without a report."""
        if not report.is_file():
            return None
        metrics: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        metrics["delay_s"] = self._options.policy_delay_s + self._options.wire_delay_s
        metrics["requests_in_flight"] = self._options.in_flight
        metrics["link"] = (self._chain.separation if self._chain else None) or OFF
        metrics["link_cut_s"] = list(self._options.cut or ())
        metrics["correction"] = str(self._chain.correction) if self._chain and self._chain.correction else OFF
        return metrics

    def _save(self, metrics: dict[str, Any]) -> None:
        """Write the metrics to the file that `--report` names, where it names one."""
        file = self._options.report
        if file is None:
            return
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise DemoError(f"--report {file}: cannot be written ({error.strerror})") from error
        self._display.event(f"report: {file}")

    def _tell_of_bag(self) -> None:
        if self._options.record is None or self._chain is None:
            return
        if self._chain.recording_failure is not None:
            raise DemoError(f"{self._chain.recording_failure} (the run itself completed)")
        self._display.event(f"bag: {self._options.record}")

    def _make_film(self, folder: Path) -> None:
        """Draw the film in a process of its own, so that a signal ends it at once."""
        film = self._options.film
        if film is None:
            return
        self._display.event(f"drawing {film} ...")
        command = [sys.executable, "-m", "so101_demo.film.compose", str(folder / "reel"), str(film)]
        command += ["--cameras", ",".join(CAMERAS), "--subtitle", subtitle(self._options)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
            try:
                while process.poll() is None:
                    self._stop.check()
                    time.sleep(0.05)
            finally:
                process.kill()
            complaint = process.stderr.read().strip() if process.stderr else ""
        if process.returncode != 0:
            line = complaint.splitlines()[-1] if complaint else f"exit code {process.returncode}"
            self._display.event(f"warning: no film: {line.removeprefix('error: ')}")
            return
        self._display.event(f"film: {film}")


def _episodes(count: int) -> str:
    return "1 episode" if count == 1 else f"{count} episodes"


def subtitle(options: DemoOptions) -> str:
    """Return what the film says of the policy, and of what becomes of its late chunks."""
    policy = "LeRobot ACT on a CPU" if options.policy == "act" else "scripted expert"
    delay_s = options.policy_delay_s + options.wire_delay_s
    late = f", {delay_s:g} s late" if delay_s else ""
    if options.correction != OFF:
        return f"{policy}{late}, corrected on the robot"
    return policy + late + (", over one TLS connection" if options.link else ", over DDS")


def summary(metrics: dict[str, Any]) -> str:
    """Return the report's most wanted metrics in one line."""
    tick, added = metrics["tick"], metrics["added_latency_ms"]
    parts = [f"{metrics['successes']} of {metrics['episodes']} placed"]
    if tick["hz"] is not None:
        parts.append(f"{tick['hz']:.2f} Hz (p99 {tick['p99_ms']:.1f} ms)")
    parts.append(f"{metrics['starved_ticks']} starved, {metrics['deadline_misses']} missed of {metrics['ticks']} ticks")
    if not metrics["chunks"]["accepted"]:
        parts.append("no chunk accepted")
    if added["p50"] is not None:
        parts.append(f"{added['p50']:.1f} ms added latency")
    if metrics["corrected_ticks"] is not None:
        largest = math.degrees(metrics["largest_delta_rad"])
        parts.append(f"{metrics['corrected_ticks'] * 100:.0f} % of ticks corrected (up to {largest:.1f}°)")
    if metrics["bytes_per_observation"] is not None:
        parts.append(f"{metrics['bytes_per_observation'] / 1000:.0f} kB per observation")
    return ", ".join(parts)
