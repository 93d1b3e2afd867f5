# SPDX-License-Identifier: Apache-2.0
"""The processes of a run, its policy server behind one TCP port: in a network namespace, or in another ROS domain."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from ament_index_python.packages import get_package_prefix
from so101_launch_runner.domain import DomainLease
from so101_launch_runner.errors import NoFreeDomainError
from so101_link.core.framing import DEFAULT_PORT
from so101_link.core.hello import ROOT_NAMESPACE
from so101_link.errors import RobotLinkError
from so101_link.keys.authority import Authority
from so101_link.keys.folder import AUTHORITY

from so101_demo.errors import DemoError
from so101_launch_runner import ProcessSpec

ENTER = Path(__file__).parents[1] / "enter_host.py"
KEYS_DAYS = 1
NAMESPACES, DOMAINS = "two network namespaces", "two ROS domains on 127.0.0.1"


class LinkedChain:
    """What stands between robot and server in a run with --link; `close` gives it back.

    Attributes:
        separation: what keeps the two sides' DDS apart: NAMESPACES, or DOMAINS where there is no root.
    """

    def __init__(self, folder: Path, cut: tuple[float, float] | None = None) -> None:
        """Make keys in `folder`, and a far side.

        Args:
            folder: of the run.
            cut: the way to the far side lets nothing through for so long, s, once in so long, s; None: it always does.

        Raises:
            DemoError: keys cannot be made, no second domain is free, or no namespace in which there is a way to cut.
        """
        now_s = time.time()
        self._keys = folder / "keys"
        try:
            Authority.create(self._keys, now_s).make(["server", ROOT_NAMESPACE], KEYS_DAYS, now_s)
            shutil.rmtree(self._keys / AUTHORITY)  # nobody makes more of them
        except RobotLinkError as error:
            raise DemoError(str(error)) from error
        self._lease: DomainLease | None = None
        self._prefix: tuple[str, ...] = ()
        self._environment: dict[str, str] = {}
        self._host = subprocess.Popen(
            [sys.executable, "-m", "so101_demo.link.far_host", str(DEFAULT_PORT), *map(str, cut or ())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0,
        )  # fmt: skip
        assert self._host.stdout is not None
        reply = json.loads(self._host.stdout.readline() or '{"error": "it has ended"}')
        if "error" in reply and cut is not None:
            self.close()
            raise DemoError(
                f"--cut {cut[0]:g}/{cut[1]:g}: needs a network namespace ({reply['error']}): run it as root"
            )
        if "error" in reply:
            self._separate_by_domain()
        else:
            self.separation = NAMESPACES
            self._listens_on, self._reached_at = DEFAULT_PORT, int(reply["port"])
            self._prefix = (sys.executable, "-SE", str(ENTER), reply["namespace"], "--")

    def _separate_by_domain(self) -> None:
        self.separation = DOMAINS
        try:
            self._lease = DomainLease()
        except NoFreeDomainError as error:
            raise DemoError(str(error)) from error
        self._environment = {"ROS_DOMAIN_ID": str(self._lease.id)}
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._listens_on = self._reached_at = int(free.getsockname()[1])

    def apart(self, specs: Sequence[ProcessSpec], far: Collection[str]) -> list[ProcessSpec]:
        """Return the processes, those named `far` on the far side, with both ends of the link."""
        robot = _end(
            "link_robot", {"server_link": f"127.0.0.1:{self._reached_at}", "link_keys": self._of("robots/root")}
        )
        server = _end("link_server", {"link_port": self._listens_on, "link_keys": self._of("server")})
        moved = [self._moved(spec) if spec.name in far else spec for spec in specs]
        return [*moved, robot, self._moved(server)]

    def close(self) -> None:
        """End the far host; its namespace ends with the last process inside. Harmless when repeated."""
        if self._host.stdin is not None and not self._host.stdin.closed:
            self._host.stdin.close()
        try:
            self._host.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self._host.kill()
            self._host.wait()
        if self._host.stdout is not None:
            self._host.stdout.close()
        if self._lease is not None:
            self._lease.close()

    def _of(self, name: str) -> str:
        return str(self._keys / name)

    def _moved(self, spec: ProcessSpec) -> ProcessSpec:
        return replace(
            spec, prefix=(*self._prefix, *spec.prefix), environment={**spec.environment, **self._environment}
        )


def _end(executable: str, parameters: dict[str, str | int]) -> ProcessSpec:
    program = Path(get_package_prefix("so101_link")) / "lib" / "so101_link" / executable
    return ProcessSpec(
        "so101_link", executable, str(program), name=executable, namespace="/", parameters=(parameters,),
        respawn=True, respawn_delay_s=0.5,
    )  # fmt: skip
