# SPDX-License-Identifier: Apache-2.0
"""The Rerun program that serves the page and hands on what is logged: a process of its own, for this host only."""

import importlib.util
import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from so101_launch_runner import ProcessSpec, Runner
from so101_viewer.errors import ViewerError

HOST = "127.0.0.1"
DEFAULT_PORT = 9090
START_TIMEOUT_S = 20.0


def is_free(port: int) -> bool:
    """Tell whether nobody listens on this port of this host."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection that just closed is no listener
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port(first: int = DEFAULT_PORT) -> int:
    """Return the first port from `first` on that is free with its neighbour. ViewerError if there is none nearby."""
    for port in range(first, first + 200, 2):
        if is_free(port) and is_free(port + 1):
            return port
    raise ViewerError(f"no free pair of ports from {first} to {first + 199}")


def check_ports(port: int) -> None:
    """Raise ViewerError if the page's port or the data's is in use."""
    for number in (port, port + 1):
        if not is_free(number):
            raise ViewerError(f"port {number} is in use: the view needs {port} and {port + 1}; choose with --port")


class ViewerServer:
    """Serves the page on `port` and takes log data on the next one.

    Rerun's SDK could serve both itself, but on all interfaces and inside this process; its program can be told an
    address, and keeps the memory that late viewers are served from out of here.
    """

    def __init__(self, port: int, memory_mb: int, show: Callable[[str, str], None]) -> None:
        """Check the ports and find the program; nothing is started yet.

        Raises:
            ViewerError: a port is in use, or rerun-sdk is not installed.
        """
        check_ports(port)
        self.port = port
        arguments = ["--serve-web", "--bind", HOST, "--port", str(port + 1), "--web-viewer-port", str(port)]
        arguments += ["--server-memory-limit", f"{memory_mb}MB", "--newest-first"]
        spec = ProcessSpec(None, None, str(_program()), arguments=tuple(arguments), name="rerun", shutdown_on_exit=True)
        # On CI Rerun sends no usage statistics. Its log lines name URLs that are not ours to explain.
        environment = {"CI": "1", "RUST_LOG": "error", "NO_COLOR": "1"}
        self._runner = Runner([spec], show=show, sigint_grace_s=0.4, sigterm_grace_s=0.4, environment=environment)

    @property
    def data_url(self) -> str:
        """Where log data goes."""
        return f"rerun+http://{HOST}:{self.port + 1}/proxy"

    @property
    def page_url(self) -> str:
        """What to open in a browser."""
        return f"http://{HOST}:{self.port}/?url={quote(self.data_url, safe='')}"

    def start(self) -> None:
        """Start the program; returns at once."""
        self._deadline_s = time.monotonic() + START_TIMEOUT_S
        self._runner.start()

    def is_up(self) -> bool:
        """Tell whether both ports accept connections. ViewerError if the program has ended or is not up in time."""
        self.check()
        if all(_accepts(port) for port in (self.port, self.port + 1)):
            return True
        if time.monotonic() > self._deadline_s:
            raise ViewerError(f"the viewer's program is not up after {START_TIMEOUT_S:g} s")
        return False

    def check(self) -> None:
        """Raise ViewerError if the program has ended."""
        if self._runner.failures or not self._runner.running:
            raise ViewerError(f"the viewer's program ended: {'; '.join(self._runner.failures) or 'without a reason'}")

    def stop(self) -> None:
        """End the program."""
        self._runner.stop()


def _program() -> Path:
    found = importlib.util.find_spec("rerun_cli")
    for location in (found.submodule_search_locations or ()) if found else ():
        program = Path(location) / "rerun"
        if program.is_file():
            return program
    raise ViewerError("rerun-sdk is not installed: ./so101 setup all, or pip install rerun-sdk")


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((HOST, port)) == 0
