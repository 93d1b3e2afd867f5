# SPDX-License-Identifier: Apache-2.0
"""The process behind the executable `virtual_arm`: its options, signals and priority."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys

from so101_node.threads.priority import use_realtime_everywhere

from so101_sim.arm.run_folder import PORT_NAME
from so101_sim.arm.virtual_arm_options import parse_options
from so101_sim.errors import SimulationError

_STDIN = 0
_PRIORITY = 20  # above the control threads of driver and queue (tick_priority)


def main(arguments: list[str] | None = None) -> int:
    """Runs until a signal; returns the exit code."""
    options = parse_options(sys.argv[1:] if arguments is None else arguments)
    wake = _wake_on_signals()
    os.environ["MUJOCO_GL"] = "disable"  # importing mujoco must not look for a GL library
    from so101_sim.arm.virtual_arm_loop import VirtualArm  # takes a second on a busy machine

    try:
        arm = VirtualArm(options)
    except (SimulationError, OSError) as error:
        print(f"virtual_arm: {error}", file=sys.stderr)
        return 1
    gc.collect()
    gc.freeze()
    if options.real_time_priority:
        _take_priority()
    try:
        print(f"virtual_arm ready: {options.sim_dir / PORT_NAME}", flush=True)
        arm.run([wake.fileno()] + ([_STDIN] if options.exit_with_stdin else []))
        if _was_interrupted(wake):
            arm.serve_to_the_end()
    finally:
        arm.close()
    return 0


def _wake_on_signals() -> socket.socket:
    """A socket that becomes readable on SIGINT and SIGTERM, which do nothing else from now on."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return reader


def _was_interrupted(wake: socket.socket) -> bool:
    """Whether it was Ctrl-C, which also ends those who use the bus; SIGTERM is for this process alone."""
    wake.setblocking(False)
    try:
        return wake.recv(1) == bytes([signal.SIGINT])
    except BlockingIOError:
        return False


def _take_priority() -> None:
    """Hardware waits for nobody, the driver included: on two busy cores answers otherwise come several ms late."""
    if not use_realtime_everywhere(_PRIORITY):
        print("virtual_arm: --real-time-priority: not permitted, running without", file=sys.stderr)
