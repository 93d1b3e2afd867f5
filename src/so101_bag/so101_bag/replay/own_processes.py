# SPDX-License-Identifier: Apache-2.0
"""Processes that a replay starts for itself, in a ROS domain of its own: a policy server, or a virtual arm."""

import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from so101_launch_runner.domain import JoinedDomain
from so101_launch_runner.errors import NoFreeDomainError
from so101_launch_runner.find_file import find_launch_file
from so101_msgs.msg import PolicySpec
from so101_node.protocol import Units

from so101_bag.errors import ReplayError
from so101_launch_runner import LaunchFileError, ProcessSpec, Runner, resolve

LAUNCH_FILE = "replay.launch.xml"
LAST_LINES = 5


class OwnProcesses:
    """Starts processes in a fresh ROS domain, which this process joins, and ends them. Use as a context manager."""

    def __init__(self, processes: Sequence[ProcessSpec]) -> None:
        self._last: dict[str, deque[str]] = {}
        try:
            self._domain = JoinedDomain()
        except NoFreeDomainError as error:
            raise ReplayError(str(error)) from error
        self._runner = Runner(processes, show=self._show, environment=self._domain.environment)

    def __enter__(self) -> Self:
        self._runner.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.stop()
        self._domain.close()

    def check(self) -> None:
        """Raise ReplayError when a process has ended."""
        if self._runner.running and not self._runner.failures:
            return
        failure = self._runner.failures[0] if self._runner.failures else "a process ended unexpectedly"
        said = " | ".join(self._last.get(failure.split(" ", 1)[0], ()))
        raise ReplayError(f"{failure}: {said}" if said else failure)

    def _show(self, label: str, line: str) -> None:
        self._last.setdefault(label, deque(maxlen=LAST_LINES)).append(line)


def policy_server(checkpoint: Path, spec: PolicySpec, device: str) -> ProcessSpec:
    """Return the process of a policy server for the robot that a bag was recorded on.

    Raises:
        ReplayError: there is no such folder, or no policy server is installed here.
    """
    if not checkpoint.exists():
        raise ReplayError(f"{checkpoint}: no such policy folder; name one with --checkpoint")
    package, executable = "so101_policy_server", "policy_server"
    try:
        program = Path(get_package_prefix(package)) / "lib" / package / executable
    except PackageNotFoundError as error:
        raise ReplayError(f"{package} is not built here: use a running server with --running") from error
    parameters: dict[str, str | int | float | list[str]] = {
        "pretrained_name_or_path": str(checkpoint.absolute()),
        "policy_device": device,
        "fps": float(spec.fps),
        "units": "normalized" if spec.units == Units.NORMALIZED else "degrees",
        "joint_names": list(spec.joint_names),
        # Two threads are 4-7 times slower than one on two busy cores; elsewhere torch knows best.
        "torch_threads": 1 if (os.cpu_count() or 1) <= 2 else 0,
        # The spec may name the policy it was made for; the one that is tried now may be another.
        "allowed_policies": ["*"],
    }
    return ProcessSpec(package, executable, str(program), name="policy_server", namespace="/", parameters=(parameters,))


def virtual_arm(folder: Path) -> list[ProcessSpec]:
    """Return the processes of a virtual arm with its driver, which keep their files in `folder`.

    Raises:
        ReplayError: the launch file is missing or wrong.
    """
    try:
        return resolve(
            find_launch_file(LAUNCH_FILE),
            {"to": "arm", "sim": "true", "play": "false", "bag": "-", "sim_dir": str(folder)},
        )
    except (LaunchFileError, FileNotFoundError) as error:
        raise ReplayError(str(error)) from error
