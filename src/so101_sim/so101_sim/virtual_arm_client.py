# SPDX-License-Identifier: Apache-2.0
"""The other side of the virtual arm: its folder's names, its control socket, and starting one for a test."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from so101_sim.arm.control_socket import ControlSocketError, checked_socket_path
from so101_sim.arm.run_folder import CALIBRATION_NAME, CONTROL_NAME, PORT_NAME
from so101_sim.arm.run_folder import STATE_NAME as STATE_NAME  # observers take it from here
from so101_sim.arm.shared_state import SharedState
from so101_sim.errors import SimulationError

_ANSWER_TIMEOUT_S = 30.0  # a long `advance` takes a while
_START_TIMEOUT_S = 60.0  # the very first start thins the meshes


class VirtualArmError(SimulationError):
    """The virtual arm refused a command, or is not there."""


class VirtualArmClient:
    """Connected to DIR/control of a running virtual arm."""

    def __init__(self, sim_dir: Path) -> None:
        """VirtualArmError if no virtual arm runs there."""
        path = sim_dir / CONTROL_NAME
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_ANSWER_TIMEOUT_S)
        self._buffer = b""
        try:
            self._socket.connect(checked_socket_path(path))
        except OSError as error:
            self._socket.close()
            raise VirtualArmError(f"{path}: {error.strerror}; start virtual_arm with this folder first") from error
        except ControlSocketError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hangs up; harmless when done twice."""
        self._socket.close()

    def ping(self) -> None:
        """Returns when the virtual arm has answered."""
        self.command("ping")

    def reset_scene(self, task: str, seed: int, *, holds_world: bool = False) -> None:
        """Places the objects of `task` by `seed`; the arm is not touched. holds_world: it waits for `start_world`."""
        self.command(f"{'hold' if holds_world else 'reset'}_scene {task} {seed}")

    def start_world(self) -> None:
        """Begins what a belt or a hand that is held does."""
        self.command("start_world")

    def advance(self, duration_ns: int) -> None:
        """Runs that much virtual time (--lockstep only).

        The socket and the serial port are two ways in: to be sure that a goal arrives first, read something back.
        """
        self.command(f"advance {duration_ns}")

    def fault(self, *words: object) -> int:
        """Injects a fault, for example `fault("servo_off", 3)`; control_commands lists them.

        Returns the monotonic time at which it was there, ns.
        """
        return int(self.command(" ".join(["fault", *map(str, words)])))

    def stats(self) -> dict[str, float]:
        """Counters of the virtual arm since its start."""
        pairs = (pair.partition("=") for pair in self.command("stats").split())
        return {name: float(value) for name, _, value in pairs}

    def command(self, line: str) -> str:
        """Sends a line and returns what follows the `ok`. VirtualArmError with the reason otherwise."""
        try:
            self._socket.sendall(line.encode() + b"\n")
            while b"\n" not in self._buffer:
                data = self._socket.recv(4096)
                if not data:
                    raise VirtualArmError(f"{line}: virtual_arm hung up")
                self._buffer += data
        except OSError as error:
            raise VirtualArmError(f"{line}: no reply from virtual_arm ({error})") from error
        answer, _, self._buffer = self._buffer.partition(b"\n")
        verdict, _, rest = answer.decode().partition(" ")
        if verdict != "ok":
            raise VirtualArmError(rest)
        return rest


class RunningVirtualArm:
    """A virtual arm in a process of its own, with the paths that others need."""

    def __init__(self, sim_dir: Path, process: subprocess.Popen[bytes]) -> None:
        self.sim_dir = sim_dir
        self.process = process
        self.port = sim_dir / PORT_NAME
        self.calibration = sim_dir / CALIBRATION_NAME
        self.client = VirtualArmClient(sim_dir)
        self.state = SharedState.open(sim_dir / STATE_NAME)

    def close(self) -> None:
        """Stops the process and waits for it."""
        self.client.close()
        self.state.close()
        stop(self.process)


@contextlib.contextmanager
def running_virtual_arm(*options: str, sim_dir: Path | None = None) -> Iterator[RunningVirtualArm]:
    """Starts `virtual_arm` with `options` in `sim_dir` (default: a temporary folder) and stops it in the end.

    It also stops if this process dies. VirtualArmError if it does not start.
    """
    with contextlib.ExitStack() as stack:
        if sim_dir is None:
            sim_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="so101-")))
        process = start(sim_dir, *options)
        stack.callback(stop, process)
        arm = RunningVirtualArm(sim_dir, process)
        stack.callback(arm.close)
        yield arm


def start(sim_dir: Path, *options: str) -> subprocess.Popen[bytes]:
    """Starts `virtual_arm` and returns once it is ready; VirtualArmError with its own words if it is not."""
    command = [sys.executable, "-m", "so101_sim.virtual_arm", "--sim-dir", str(sim_dir), "--exit-with-stdin", *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            said = process.stderr.read().decode().strip() if process.stderr else ""
            stop(process)
            raise VirtualArmError(said or f"virtual_arm: exited with {process.returncode}")
        with contextlib.suppress(VirtualArmError), VirtualArmClient(sim_dir) as client:
            client.ping()
            return process
        time.sleep(0.02)
    stop(process)
    raise VirtualArmError(f"virtual_arm: not ready after {_START_TIMEOUT_S:g} s")


def stop(process: subprocess.Popen[bytes]) -> int:
    """Ends a virtual arm and returns its exit code; harmless when it has ended already."""
    process.terminate()
    try:
        process.wait(10.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stderr):
        if stream is not None:
            stream.close()
    return process.returncode
