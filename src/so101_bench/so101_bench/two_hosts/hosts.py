# SPDX-License-Identifier: Apache-2.0
"""Two hosts for as long as this object lives; used as a context manager. Root on Linux."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import so101_demo
from so101_bench.errors import TwoHostsError
from so101_bench.two_hosts.wire import Wire
from so101_bench.two_hosts.wire_process import ADDRESSES

ENTER = Path(so101_demo.__file__).with_name("enter_host.py")


def why_not() -> str | None:
    """Return why two hosts cannot be had on this machine, or None when they can."""
    if not sys.platform.startswith("linux"):
        return "two network namespaces need Linux"
    if os.geteuid() != 0:
        return "two network namespaces need root"
    if shutil.which("ip") is None:
        return "two network namespaces need the command ip (Debian, Ubuntu: apt-get install iproute2)"
    return None


class TwoHosts:
    """Two network namespaces, "robot" and "server", with a wire between them."""

    def __init__(self, wire: Wire) -> None:
        """Make both hosts.

        Raises:
            TwoHostsError: they cannot be had here.
        """
        reason = why_not()
        if reason is not None:
            raise TwoHostsError(reason)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "so101_bench.two_hosts.wire_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # An interrupt of the terminal is for who uses the wire. A group, not a session: the kernel shares the CPU
            # out between sessions first, and within one the wire's niceness counts.
            process_group=0,
        )
        try:
            reply = self._reply()
            if "error" in reply:
                raise TwoHostsError(f"two network namespaces cannot be made: {reply['error']}")
            self._namespaces: dict[str, list[str]] = reply["namespaces"]
            self.shape(wire)
        except BaseException:
            self.close()
            raise

    def prefix(self, host: str) -> tuple[str, ...]:
        """Return the words to put before a command that shall run on "robot" or "server"."""
        return (sys.executable, "-SE", str(ENTER), *self._namespaces[host], "--")

    def network(self, host: str) -> str:
        """Return the network namespace of "robot" or "server", a file in /proc."""
        return self._namespaces[host][0]

    def address(self, host: str) -> str:
        """Return the IPv4 address of a host."""
        return ADDRESSES[host]

    def shape(self, wire: Wire) -> None:
        """From now on the wire is this one."""
        self._command({"wire": asdict(wire)})

    def cut(self) -> None:
        """Nothing crosses the wire any more; what is under way arrives."""
        self._command({"cut": True})

    def heal(self) -> None:
        """The wire is as it was before the cut."""
        self._command({"cut": False})

    def counts(self) -> dict[str, list[int]]:
        """Frames carried, lost and overflowed, each from the robot and from the server."""
        return self._command({"counts": True})

    def close(self) -> None:
        """End the wire; the namespaces end with the last process inside. Harmless when repeated."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):  # what a process that has ended did not read
                self._process.stdin.close()
        try:
            self._process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _command(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise TwoHostsError("the wire's process has ended") from error
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise TwoHostsError("the wire's process has ended without a reply")
        reply: dict[str, Any] = json.loads(line)
        return reply
