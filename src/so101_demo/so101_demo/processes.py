# SPDX-License-Identifier: Apache-2.0
"""The processes of a run: the chain from sim.launch.xml, and those that watch it, each in the run's own ROS domain."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import psutil
from ament_index_python.packages import get_package_prefix, get_package_share_directory
from so101_launch_runner.domain import JoinedDomain
from so101_launch_runner.errors import NoFreeDomainError
from so101_launch_runner.find_file import find_launch_file
from so101_viewer.errors import ViewerError
from so101_viewer.view.viewer_server import check_ports, free_port

from so101_demo.chosen_files import checkpoint_folder, chosen_correction
from so101_demo.errors import DemoError
from so101_demo.execution_modes import beside_a_correction
from so101_demo.late_wire_node import FAR_TOPIC, TOPIC
from so101_demo.link.linked_chain import LinkedChain
from so101_demo.options import DemoOptions
from so101_launch_runner import LaunchFileError, ProcessSpec, Runner, resolve

CAMERAS = ("front", "top", "wrist")
# Nodes beside the chain, and the package of each.
WATCHERS = {
    "observer": "so101_demo",
    "film_recorder": "so101_demo",
    "recorder": "so101_bag",
    "view": "so101_viewer",
    "late_wire": "so101_demo",
}
SERVERS = ("policy_server", "expert_policy")
LAUNCH_FILE = "sim.launch.xml"
LAST_LINES = 12
LOG = Path("outputs/demo.log")


class Chain:
    """Starts and ends every process of a run; `check` tells when one has died."""

    def __init__(self, options: DemoOptions, folder: Path, report: Path) -> None:
        """Prepare a run that keeps its files in `folder`; nothing is started yet.

        Raises:
            DemoError: the launch file, the checkpoint or a free ROS domain is missing.
        """
        self._folder, self._report, self._film_wanted = folder, report, options.film is not None
        self._last: dict[str, deque[str]] = {}
        self._log_path, self._log = _open_log(folder)
        try:
            # This process too: its own node must meet the others and nobody else.
            self._domain = JoinedDomain()
        except NoFreeDomainError as error:
            raise DemoError(str(error)) from error
        self.correction = chosen_correction(options, CAMERAS)
        self._link = LinkedChain(folder, options.cut) if options.link else None
        self._chain = self._runner(self._resolve(options))
        self._watchers: Runner | None = None
        self._bag = options.record
        self._recorder: Runner | None = None
        self._view_port = _view_port(options)
        self._browser_wanted = not options.headless
        self._view: Runner | None = None

    @property
    def domain_id(self) -> int:
        """ROS_DOMAIN_ID of the run."""
        return self._domain.id

    @property
    def separation(self) -> str | None:
        """What keeps robot and server apart but for the link; None in a run without one."""
        return None if self._link is None else self._link.separation

    @property
    def log_path(self) -> Path:
        """File with everything that the processes printed."""
        return self._log_path

    def start(self) -> None:
        """Start the chain."""
        self._chain.start()

    @property
    def started(self) -> bool:
        """Whether every process of the chain exists."""
        return len(self.pids()) >= len(self._chain.processes)

    @property
    def watchers(self) -> list[str]:
        """Names of the nodes that watch the chain."""
        optional = {"film_recorder": self._film_wanted, "recorder": self._bag is not None}
        return ["observer", *(name for name, wanted in optional.items() if wanted)]

    def start_watchers(self) -> None:
        """Start the observer, which is told the chain's processes, the film recorder and the recorder of the bag."""
        watched = [f"{name}={pid}" for name, pid in self.pids().items()]
        specs = [_tool("observer", {"report_file": str(self._report), "processes": watched})]
        if self._film_wanted:
            specs.append(_tool("film_recorder", {"folder": str(self._folder / "reel"), "cameras": list(CAMERAS)}))
        self._watchers = self._runner(specs)
        self._watchers.start()
        if self._bag is not None:  # a runner of its own: when the disk is full the run goes on
            topics = Path(get_package_share_directory("so101_config")) / "record.yaml"
            self._recorder = self._runner([_tool("recorder", {"folder": str(self._bag.absolute())}, topics)])
            self._recorder.start()

        if self._view_port is not None:  # this too: what people look at is not what the run is about
            values = {"port": self._view_port, "open_browser": self._browser_wanted}
            self._view = self._runner([_tool("view", values)])
            self._view.start()

    @property
    def view_state(self) -> str | None:
        """Address of the browser view once it is served, why there is none, or None as long as neither is known."""
        if self._view is None:
            return None
        address = next((line for line in self._last.get("view", ()) if line.startswith("view: ")), None)
        return address or (f"no view: {self._view.failures[0]}; see {self.log_path}" if self._view.failures else None)

    @property
    def recording_failure(self) -> str | None:
        """Why the recorder has ended before its time, or None."""
        if self._recorder is None or not self._recorder.failures:
            return None
        said = [line for line in self._last.get("recorder", ()) if "error: " in line]
        return said[-1].partition("error: ")[2] if said else self._recorder.failures[0]

    def check(self) -> None:
        """Raise DemoError, after showing the last lines, when a process has died."""
        for runner in (self._chain, self._watchers):
            if runner is None or (runner.running and not runner.failures):
                continue
            failure = runner.failures[0] if runner.failures else "the chain ended unexpectedly"
            label = failure.split(" ", 1)[0]
            lines = [f"  [{label}] {line}" for line in self._last.get(label, ())]
            raise DemoError(f"{failure}; everything it printed: {self._log_path}", lines)

    def stop(self) -> None:
        """End every process, watchers first; returns when the last one is gone."""
        for runner in (self._view, self._watchers, self._recorder, self._chain):
            if runner is not None:
                runner.stop()
        if self._link is not None:
            self._link.close()
        self._log.close()
        self._domain.close()

    def pids(self) -> dict[str, int]:
        """Return the process id of each node of the chain by its name."""
        found = {}
        for child in psutil.Process().children():
            try:
                words = child.cmdline()
            except psutil.Error:
                continue
            names = [word.removeprefix("__node:=") for word in words if word.startswith("__node:=")]
            programs = [Path(word).name for word in words if "/lib/so101_" in word]
            if names or programs:
                found[(names or programs)[0]] = child.pid
        return found

    def _resolve(self, options: DemoOptions) -> list[ProcessSpec]:
        arguments = {
            "sim_dir": str(self._folder / "sim"),
            "task": options.task,
            "execution": options.execution,
            "policy": options.policy,
            "policy_delay": str(options.policy_delay_s),
        }
        if options.policy == "act":
            arguments["checkpoint"] = str(checkpoint_folder(options))
        if self.correction is not None:
            arguments["correction"] = str(self.correction)
        try:
            specs = resolve(find_launch_file(LAUNCH_FILE), arguments)
        except (LaunchFileError, FileNotFoundError) as error:
            raise DemoError(str(error)) from error
        if self.correction is not None:
            delay_s = options.policy_delay_s + options.wire_delay_s
            specs = with_parameters(specs, "action_queue", beside_a_correction(options.execution, delay_s))
        if options.in_flight > 1:
            specs = with_parameters(specs, "action_queue", {"max_requests_in_flight": options.in_flight})
        if options.wire_delay_s:
            specs = with_late_wire(specs, options.wire_delay_s)
        return specs if self._link is None else self._link.apart(specs, (*SERVERS, "late_wire"))

    def _runner(self, specs: list[ProcessSpec]) -> Runner:
        return Runner(specs, show=self._show, environment=self._domain.environment)

    def _show(self, label: str, line: str) -> None:
        self._last.setdefault(label, deque(maxlen=LAST_LINES)).append(line)
        self._log.write(f"[{label}] {line}\n")
        self._log.flush()


def with_parameters(specs: Sequence[ProcessSpec], node: str, values: Mapping[str, str | float]) -> list[ProcessSpec]:
    """Return the processes, one of which gets these parameters instead of those of its files."""
    return [replace(spec, parameters=(*spec.parameters, values)) if spec.name == node else spec for spec in specs]


def with_late_wire(specs: Sequence[ProcessSpec], delay_s: float) -> list[ProcessSpec]:
    """Return the processes with one more, through which the server's chunks come late."""
    wired = [
        replace(spec, remappings=(*spec.remappings, (TOPIC, FAR_TOPIC))) if spec.name in SERVERS else spec
        for spec in specs
    ]
    return [*wired, _tool("late_wire", {"delay_s": delay_s})]


def _view_port(options: DemoOptions) -> int | None:
    """Return the port of the browser view, None for no view. DemoError if the one that was named is in use."""
    if options.view_port is None:
        return None
    try:
        if not options.view_port:
            return free_port()
        check_ports(options.view_port)
    except ViewerError as error:
        raise DemoError(f"--port {options.view_port}: {error}") from error
    return options.view_port


def _tool(executable: str, parameters: Mapping[str, str | int | float | list[str]], *files: Path) -> ProcessSpec:
    """Return the process of one of WATCHERS."""
    package = WATCHERS[executable]
    program = Path(get_package_prefix(package)) / "lib" / package / executable
    return ProcessSpec(
        package, executable, str(program), name=executable, namespace="/", parameters=(*files, parameters)
    )


def _open_log(folder: Path) -> tuple[Path, TextIO]:
    """Open the log where people look for it, else in the run's own folder."""
    for path in (LOG, folder / LOG.name):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path, path.open("w", encoding="utf-8")
        except OSError:
            continue
    raise DemoError(f"neither {LOG} nor a file in {folder} can be written: free some space")
