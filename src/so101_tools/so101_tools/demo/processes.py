"""The processes of a run: the chain from sim.launch.xml, and those that watch it, each in the run's own ROS domain."""

import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import psutil
from ament_index_python.packages import get_package_prefix, get_package_share_directory

from so101_tools.demo.options import DemoError, DemoOptions
from so101_tools.domain import DomainLease, NoFreeDomainError, environment
from so101_tools.launching import LaunchFileError, ProcessSpec, Runner, resolve
from so101_tools.launching.find_file import find_launch_file
from so101_tools.shipped_policies import shipped_policy
from so101_tools.view.viewer_server import ViewerError, check_ports, free_port

CAMERAS = ("front", "top", "wrist")
PACKAGE = "so101_tools"
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
            self._lease = DomainLease()
        except NoFreeDomainError as error:
            raise DemoError(str(error)) from error
        # This process too: its own node must meet the others and nobody else.
        self._environment = environment(self.domain_id)
        os.environ.update(self._environment)
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
        return self._lease.id

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
            topics = Path(get_package_share_directory("so101_bringup")) / "config" / "record.yaml"
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
            failure = runner.failures[0] if runner.failures else "the chain ended by itself"
            label = failure.split(" ", 1)[0]
            lines = [f"  [{label}] {line}" for line in self._last.get(label, ())]
            raise DemoError(f"{failure}; everything it printed: {self._log_path}", lines)

    def stop(self) -> None:
        """End every process, watchers first; returns when the last one is gone."""
        for runner in (self._view, self._watchers, self._recorder, self._chain):
            if runner is not None:
                runner.stop()
        self._log.close()
        self._lease.close()

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
        try:
            return resolve(find_launch_file(LAUNCH_FILE), arguments)
        except (LaunchFileError, FileNotFoundError) as error:
            raise DemoError(str(error)) from error

    def _runner(self, specs: list[ProcessSpec]) -> Runner:
        return Runner(specs, show=self._show, environment=self._environment)

    def _show(self, label: str, line: str) -> None:
        self._last.setdefault(label, deque(maxlen=LAST_LINES)).append(line)
        self._log.write(f"[{label}] {line}\n")
        self._log.flush()


def checkpoint_folder(options: DemoOptions) -> Path:
    """Return the policy's folder: the one asked for, else the one that ships.

    Raises:
        DemoError: there is no such folder.
    """
    if options.checkpoint is not None:
        if not options.checkpoint.is_dir():
            raise DemoError(f"--checkpoint {options.checkpoint}: no such folder; a LeRobot policy folder is wanted")
        return options.checkpoint.absolute()
    shipped = shipped_policy(options.task)
    if not (shipped / "config.json").is_file():
        raise DemoError(
            f"no checkpoint in {shipped}: make one with ./so101 policy train, name one with --checkpoint, "
            "or run the scripted expert with --policy expert"
        )
    return shipped


def _view_port(options: DemoOptions) -> int | None:
    """Return the port of the browser view, None for no view. DemoError if the one asked for is in use."""
    if options.view_port is None:
        return None
    try:
        if not options.view_port:
            return free_port()
        check_ports(options.view_port)
    except ViewerError as error:
        raise DemoError(f"--port {options.view_port}: {error}") from error
    return options.view_port


def _tool(executable: str, parameters: Mapping[str, str | int | list[str]], *files: Path) -> ProcessSpec:
    """Return the process of one of this package's own nodes."""
    program = Path(get_package_prefix(PACKAGE)) / "lib" / PACKAGE / executable
    return ProcessSpec(
        PACKAGE, executable, str(program), name=executable, namespace="/", parameters=(*files, parameters)
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
