# SPDX-License-Identifier: Apache-2.0
"""The policy server of the bench: the real node, started from server.launch.xml, in a domain of its own."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import yaml
from so101_launch_runner.domain import JoinedDomain
from so101_launch_runner.errors import NoFreeDomainError
from so101_launch_runner.find_file import find_launch_file

from so101_bench.errors import BenchError
from so101_bench.robots.options import RobotsOptions
from so101_bench.robots.stand_in import LIBRARY
from so101_launch_runner import LaunchFileError, Runner, resolve

LAST_LINES = 8


class Server:
    """Runs while the context is entered; this process can join its domain then.

    Args:
        options: of the bench.
        robots: namespaces that it serves.
        folder: for its parameter file.
        log: what it prints goes there.

    Raises:
        BenchError: no domain is free, or the launch file cannot be had.
    """

    def __init__(self, options: RobotsOptions, robots: Sequence[str], folder: Path, log: TextIO) -> None:
        self._log = log
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        config = folder / "server.yaml"
        parameters = {"ros__parameters": _parameters(options, robots)}
        config.write_text(yaml.safe_dump({"/**/policy_server": parameters}), encoding="utf-8")
        try:
            processes = resolve(find_launch_file("server.launch.xml"), {"config": str(config), "dds_profile": "udp"})
            self._domain = JoinedDomain()
        except (NoFreeDomainError, LaunchFileError, FileNotFoundError) as error:
            raise BenchError(str(error)) from error
        variables = {**self._domain.environment, "HF_HUB_OFFLINE": "1"}
        self._runner = Runner(
            processes, show=self._show, sigint_grace_s=4.0, sigterm_grace_s=2.0, environment=variables
        )

    @property
    def domain(self) -> int:
        """Where it can be reached."""
        return self._domain.id

    def check(self) -> None:
        """Raise BenchError when it has ended."""
        if not self._runner.running or self._runner.failures:
            failure = self._runner.failures[0] if self._runner.failures else "policy_server ended unexpectedly"
            raise BenchError(" | ".join([failure, *self._lines]))

    def __enter__(self) -> Self:
        self._runner.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.stop()
        self._domain.close()

    def _show(self, label: str, line: str) -> None:
        self._lines.append(line)
        self._log.write(f"[{label}] {line}\n")
        self._log.flush()


def _parameters(options: RobotsOptions, robots: Sequence[str]) -> dict[str, Any]:
    shared = {"robots": list(robots), "max_batch": options.max_batch, "inference_latency": 10.0}
    if options.checkpoint is None:
        return {**shared, "policy_library": LIBRARY}
    return {
        **shared,
        "pretrained_name_or_path": str(options.checkpoint.resolve()),
        "policy_device": options.device,
        "torch_threads": options.torch_threads,
    }
