# SPDX-License-Identifier: Apache-2.0
"""What a wire does to the frames that cross it. No sockets, no clock: `now_ns` comes in.

The kernel's own means for this (netem) is missing from many, such as those of containers.
"""

import math
import random
from collections import deque
from dataclasses import dataclass

from so101_bench.errors import WireError

# A frame that finds more than this waiting to be sent is dropped, as a router's full buffer does. 4 MB is 0.3 s at
# 100 Mbit/s: deep enough that one observation of LeRobot (2.8 MB) fits.
BUFFER_BYTES = 4_000_000
OVERHEAD_BYTES = 24  # preamble, frame check and gap of Ethernet, which take time on the wire too


@dataclass(frozen=True, slots=True)
class Wire:
    """A network between two computers, the same in both directions.

    Attributes:
        delay_ms: one way.
        jitter_ms: standard deviation of the delay; frames stay in order.
        loss_pct: frames lost, percent.
        rate_mbit: Mbit/s; 0 = as fast as it goes.
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss_pct: float = 0.0
    rate_mbit: float = 0.0

    def __post_init__(self) -> None:
        for name, upper, meaning in (
            ("delay_ms", 10_000, "0 to 10000 ms"),
            ("jitter_ms", 1_000, "0 to 1000 ms"),
            ("loss_pct", 90, "0 to 90 %"),
            ("rate_mbit", 10_000, "0 (as fast as it goes) or 0.1 to 10000 Mbit/s"),
        ):
            value = getattr(self, name)
            too_slow = name == "rate_mbit" and 0 < value < 0.1
            if not math.isfinite(value) or not 0 <= value <= upper or too_slow:
                raise WireError(f"--{name.replace('_', '-')} {value:g}: must be {meaning}")

    def __str__(self) -> str:
        """For people, such as `50 Mbit/s, 20 ms, 1 % loss`."""
        if self == NO_WIRE:
            return "loopback"
        parts = [f"{self.rate_mbit:g} Mbit/s" if self.rate_mbit else "no rate limit"]
        parts += [f"{self.delay_ms:g} ms"] if self.delay_ms else []
        parts += [f"{self.jitter_ms:g} ms jitter"] if self.jitter_ms else []
        parts += [f"{self.loss_pct:g} % loss"] if self.loss_pct else []
        return ", ".join(parts)


NO_WIRE = Wire()


class Direction:
    """One direction of a wire: frames go in with `offer` and come out of `take` when their time has come, in order."""

    def __init__(self, wire: Wire, random_numbers: random.Random) -> None:
        self._wire = wire
        self._random = random_numbers
        self._frames: deque[tuple[int, bytes]] = deque()
        self._free_ns = 0  # when the sender has put the last accepted frame on the wire
        self._last_due_ns = 0
        self.cut = False
        self.lost = self.overflowed = self.carried = 0

    def change(self, wire: Wire) -> None:
        """From now on be this wire; frames under way arrive as they would have."""
        self._wire = wire

    def offer(self, frame: bytes, now_ns: int) -> None:
        """Take one frame in."""
        wire = self._wire
        if self.cut or (wire.loss_pct and self._random.random() * 100 < wire.loss_pct):
            self.lost += 1
            return
        due_ns = now_ns
        if wire.rate_mbit:
            begin_ns = max(self._free_ns, now_ns)
            if (begin_ns - now_ns) * wire.rate_mbit / 8e3 > BUFFER_BYTES:
                self.overflowed += 1
                return
            self._free_ns = due_ns = begin_ns + round((len(frame) + OVERHEAD_BYTES) * 8e3 / wire.rate_mbit)
        delay_ms = wire.delay_ms
        if wire.jitter_ms:
            delay_ms = max(0.0, self._random.gauss(delay_ms, wire.jitter_ms))
        self._last_due_ns = due_ns = max(due_ns + round(delay_ms * 1e6), self._last_due_ns)
        self._frames.append((due_ns, frame))

    def take(self, now_ns: int) -> list[bytes]:
        """Return the frames that have arrived by now, in order."""
        arrived = []
        frames = self._frames
        while frames and frames[0][0] <= now_ns:
            arrived.append(frames.popleft()[1])
        self.carried += len(arrived)
        return arrived

    @property
    def next_ns(self) -> int | None:
        """When the next frame arrives; None when none is under way."""
        return self._frames[0][0] if self._frames else None
