# SPDX-License-Identifier: Apache-2.0
"""The driver under test and its peer together: how a rule's test brings it where it wants it."""

from collections.abc import Callable
from typing import Final

import numpy as np
from so101_msgs.msg import DriverStatus
from so101_node.protocol import FloatArray

from so101_driver_conformance.driver_process import DriverProcess
from so101_driver_conformance.peer import DriverPeer

_NORMAL_SPEED_RAD_S: Final = 0.8


class Subject:
    """A running driver."""

    def __init__(self, start: Callable[[], DriverProcess], peer: DriverPeer, leap_rad: float) -> None:
        """`leap_rad`: how far a command leaps where a rule wants a leap, at most."""
        self._start = start
        self.peer = peer
        self.leap_rad = leap_rad
        self.process = start()

    def restart(self) -> None:
        """Start it again; what it said before is forgotten."""
        self.process.kill()
        self.peer.forget_all()
        self.process = self._start()

    def close(self) -> None:
        """End it."""
        if self.process.exit_code is None:
            self.process.interrupt()
        self.process.kill()

    def bring_to_hold(self) -> str:
        """Bring it to HOLD with its goals at rest, by `reset` where that is needed. Returns why not, or ""."""
        peer = self.peer
        if self.process.exit_code is not None:
            self.restart()
        heard = peer.wait(self._heard_all)
        if self.process.exit_code is not None:
            return f"the driver ended with exit code {self.process.exit_code}: {self.process.last_line}"
        if not heard:
            return f"driver_status, joint_limits and joint_states were not all heard within 30 s; {peer.describe()}"
        peer.spin(0.1)
        if peer.status.state in (DriverStatus.LATCHED, DriverStatus.RELEASED):
            peer.call("reset")
        if not peer.wait_for_state(DriverStatus.HOLD):
            return f"no HOLD within 30 s; {peer.describe()}"
        return "" if self.comes_to_rest() else f"in HOLD the goal does not come to rest within 5 s; {peer.describe()}"

    def _heard_all(self) -> bool:
        peer = self.peer
        return self.process.exit_code is not None or bool(peer.statuses and peer.limits and len(peer.states) > 2)

    def comes_to_rest(self, seconds: float = 5.0) -> bool:
        """Listen until the goal has not moved for 0.3 s."""
        for _ in range(round(seconds / 0.3)):
            before = self.peer.goal
            self.peer.spin(0.3)
            if np.all(np.abs(self.peer.goal - before) < 1e-4):
                return True
        return False

    def engage(self) -> bool:
        """Send the goal at 30 Hz until the driver is ENGAGED; whether it came to that within 5 s."""
        peer, goal = self.peer, self.peer.goal
        for _ in range(15):
            peer.stream(lambda _: goal, 10)
            if peer.status.state == DriverStatus.ENGAGED:
                return True
        return False

    def move(self, target: FloatArray) -> None:
        """Engaged, lead the goal to `target`, (joints,), rad, evenly and slowly."""
        start = self.peer.goal
        count = max(2, int(np.ceil(np.max(np.abs(target - start)) / _NORMAL_SPEED_RAD_S * 30)))
        self.peer.stream(lambda step: start + (target - start) * min(1.0, (step + 1) / count), count + 10)

    def inside(self, distance_rad: float) -> FloatArray:
        """Positions that far from the goal towards the wider side of each joint's range, well within it."""
        peer, goal = self.peer, self.peer.goal
        lower, upper = peer.limit("lower"), peer.limit("upper")
        up = upper - goal >= goal - lower
        room = np.where(up, upper - goal, goal - lower)
        positions: FloatArray = goal + np.where(up, 1.0, -1.0) * np.minimum(distance_rad, 0.8 * room)
        return positions
