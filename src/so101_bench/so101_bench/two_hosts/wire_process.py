# SPDX-License-Identifier: Apache-2.0
"""The process that is the wire; the class TwoHosts starts and steers it.

It makes both network namespaces and carries the frames between them. They live exactly as long as it does. Commands
come as lines of JSON on standard input, one line of reply to each: {"wire": {...}}, {"cut": true}, {"counts": true}.
"""

import gc
import json
import os
import random
import select
import socket
import sys
import time
from typing import Any

from so101_bench.errors import LinkError
from so101_bench.two_hosts.link import MTU_AND_HEADER, make_end, make_host
from so101_bench.two_hosts.wire import NO_WIRE, Direction, Wire

ADDRESSES = {"robot": "10.98.0.1", "server": "10.98.0.2"}
FRAMES_AT_ONCE = 64  # read from one end before the other end and the clock are looked at again
NICENESS = -5  # before the computers it connects, but not before the control thread of one (-10)


class WireLoop:
    """Carries frames until standard input closes."""

    def __init__(self, ends: list[socket.socket], seed: int) -> None:
        self._ends = ends
        # Direction i carries what comes out of end i to the other end.
        self._directions = [Direction(NO_WIRE, random.Random(seed + i)) for i in range(2)]
        self._unread_command = b""
        self._refused = 0

    def run(self) -> None:
        """See the class."""
        commands = sys.stdin.fileno()
        while True:
            # select counts in microseconds, poll and epoll in milliseconds.
            ready, _, _ = select.select([*self._ends, commands], [], [], self._wait_s())
            if commands in ready and not self._obey():
                return
            for end, direction in zip(self._ends, self._directions, strict=True):
                if end in ready:
                    self._read(end, direction)
            self._deliver()

    def _wait_s(self) -> float | None:
        due = [at_ns for direction in self._directions if (at_ns := direction.next_ns) is not None]
        return max(0.0, (min(due) - time.monotonic_ns()) * 1e-9) if due else None

    def _read(self, end: socket.socket, direction: Direction) -> None:
        for _ in range(FRAMES_AT_ONCE):
            try:
                frame = end.recv(MTU_AND_HEADER)
            except BlockingIOError:
                return
            direction.offer(frame, time.monotonic_ns())

    def _deliver(self) -> None:
        now_ns = time.monotonic_ns()
        for direction, end in zip(self._directions, reversed(self._ends), strict=True):
            for frame in direction.take(now_ns):
                try:
                    end.send(frame)
                except OSError:
                    self._refused += 1  # a full or closing interface drops a frame, as a real one does

    def _obey(self) -> bool:
        """Carry out the commands that came; False when there will be no more."""
        data = os.read(sys.stdin.fileno(), 65_536)
        if not data:
            return False
        *lines, self._unread_command = (self._unread_command + data).split(b"\n")
        for line in lines:
            print(json.dumps(self._command(json.loads(line))), flush=True)
        return True

    def _command(self, command: dict[str, Any]) -> dict[str, Any]:
        for direction in self._directions:
            if "wire" in command:
                direction.change(Wire(**command["wire"]))
            if "cut" in command:
                direction.cut = command["cut"]
        keys = ("carried", "lost", "overflowed")
        return {key: [getattr(direction, key) for direction in self._directions] for key in keys}


def main() -> int:
    """Make the two hosts, say where they are, and carry frames."""
    try:
        hosts = [make_host() for _ in ADDRESSES]
        wire = make_host().network
        ends = [
            make_end(f"{name}1", f"{address}/24", host.network, wire)
            for (name, address), host in zip(ADDRESSES.items(), hosts, strict=True)
        ]
        os.nice(NICENESS)
    except (OSError, LinkError) as error:
        text = error.strerror if isinstance(error, OSError) else str(error)
        print(json.dumps({"error": text}), flush=True)
        return 1
    files = f"/proc/{os.getpid()}/fd"
    namespaces = {
        name: [f"{files}/{host.network}", f"{files}/{host.mounts}"] for name, host in zip(ADDRESSES, hosts, strict=True)
    }
    print(json.dumps({"namespaces": namespaces}), flush=True)
    gc.freeze()
    gc.disable()  # nothing here makes cycles, and a collection is a hiccup of the wire
    WireLoop(ends, seed=int.from_bytes(os.urandom(4)) if len(sys.argv) < 2 else int(sys.argv[1])).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
