# SPDX-License-Identifier: Apache-2.0
"""`--to arm`: the recorded commands through the real driver, with its gate between them and the servos."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from so101_action_queue.translation import command_message
from so101_msgs.msg import DriverStatus, JointLimits
from so101_node.process.own_node import OwnNode
from so101_node.protocol import DriverState, FloatArray, name_of
from so101_node.threads import FatalSlot, FixedRateThread, Tick
from so101_node.topics.qos import JOINT_COMMAND, JOINT_STATES_READER, LATCHED

from so101_bag.errors import BagError, ReplayError
from so101_bag.replay.arm_trajectory import Plan, plan, split_stretches
from so101_bag.storage.reader import Bag

COMMANDS = ("joint_command", "sensor_msgs/msg/JointState")
STATES = ("joint_states", "sensor_msgs/msg/JointState")
DRIVER_TIMEOUT_S = 3.0
ENGAGE_TIMEOUT_S = 2.0
LISTEN_S = 0.5
SILENT_S = 1.0  # driver_status comes at 10 Hz
_HOLDING = (DriverStatus.HOLD, DriverStatus.ENGAGED)


@dataclass(frozen=True, slots=True)
class RecordedMotion:
    """Joint positions of a bag: times (N,) in s, rising; positions (N, J) rad in order of joint_names."""

    joint_names: tuple[str, ...]
    times: FloatArray
    positions: FloatArray


def read_motion(bag: Bag, name: str, type_name: str, zero_ns: int | None = None) -> tuple[RecordedMotion, int]:
    """Return the joint positions on a topic and the time in ns that their times count from (default: the first).

    Raises:
        BagError: the topic is missing, or its joints change on the way.
    """
    topic = bag.require(name, type_name, "--to arm")
    joints: tuple[str, ...] = ()
    times: list[int] = []
    rows: list[list[float]] = []
    for received in bag.messages([topic]):
        message = received.message
        joints = joints or tuple(message.name)
        if tuple(message.name) != joints or len(message.position) != len(joints):
            raise BagError(f"{bag.folder}: the joints on {topic.name} change from {', '.join(joints)} on the way")
        times.append(received.time_ns)
        rows.append(list(message.position))
    zero_ns = times[0] if zero_ns is None else zero_ns
    seconds = (np.array(times, dtype=np.int64) - zero_ns) / 1e9
    return RecordedMotion(joints, np.maximum.accumulate(seconds), np.array(rows, dtype=np.float64)), zero_ns


@dataclass(slots=True)
class _Measured:
    """Joint states while playing: when (monotonic ns), what (J,), and which row was out then."""

    rows: list[int] = field(default_factory=list)
    positions: list[list[float]] = field(default_factory=list)


class ArmReplay:
    """Plays a plan to the driver of this ROS domain. `check` is called while waiting, to end the wait."""

    def __init__(self, namespace: str, check: Callable[[], None]) -> None:
        self._check = check
        self._own = OwnNode("so101_replay", namespace)
        self._node = self._own.node
        self._driver: DriverStatus | None = None
        self._heard_s = 0.0
        self._limits: JointLimits | None = None
        self._foreign = 0
        self._measured = _Measured()
        self._joints: tuple[str, ...] = ()
        self._rows: FloatArray = np.zeros((0, 0))
        self._row = -1  # the row that was sent last; written by the tick thread only
        self._go = False
        self._node.create_subscription(DriverStatus, "driver_status", self._on_driver, LATCHED)
        self._node.create_subscription(JointLimits, "joint_limits", self._on_limits, LATCHED)
        self._node.create_subscription(JointState, "joint_states", self._on_state, JOINT_STATES_READER)
        self._listener = self._node.create_subscription(JointState, "joint_command", self._on_command, JOINT_COMMAND)
        self._commands: Any = None

    def close(self) -> None:
        """Leave the ROS graph; the driver brakes and holds when commands stay away."""
        self._own.close()

    def prepare(self, commands: RecordedMotion, speed_rad_s: float, period_s: float, wait_s: float) -> Plan:
        """Find the driver, make sure that nobody else commands it, and plan the way from where it holds.

        Raises:
            ReplayError: there is no driver, it does not hold, it has other joints, or somebody else commands it.
        """
        if not self._wait(lambda: self._driver is not None and self._limits is not None, wait_s):
            raise ReplayError(
                "no driver_status in this ROS domain and namespace: launch the robot first, or try the virtual arm "
                "with --sim"
            )
        self._wait(lambda: self._state() in _HOLDING, DRIVER_TIMEOUT_S)
        driver = self._driver
        assert driver is not None
        if driver.state not in _HOLDING:
            reason = driver.message or driver.cause
            raise ReplayError(f"the driver is {name_of(DriverState, driver.state)}: {reason}")
        if set(driver.joint_names) != set(commands.joint_names):
            raise ReplayError(
                f"the bag commands joints {', '.join(commands.joint_names)}, the driver has "
                f"{', '.join(driver.joint_names)}: not the same arm"
            )
        self._wait(lambda: self._foreign > 0, LISTEN_S)
        if self._foreign:
            raise ReplayError("somebody else publishes joint_command: stop the action queue first (action_queue/stop)")
        self._node.destroy_subscription(self._listener)
        self._joints = tuple(driver.joint_names)
        order = [commands.joint_names.index(name) for name in self._joints]
        start = np.array(driver.goal, dtype=np.float64)
        if not np.isfinite(start).all():
            raise ReplayError("the driver has not written a goal yet: wait until it holds the arm")
        stretches = split_stretches(commands.times, commands.positions[:, order])
        return plan(stretches, start, period_s, speed_rad_s)

    def play(self, planned: Plan, period_s: float) -> dict[str, Any]:
        """Send the plan, and return what came of it.

        Raises:
            ReplayError: the driver does not engage, or leaves ENGAGED on the way; nothing more is sent then.
        """
        self._rows, self._row, self._go = planned.rows, -1, False
        limited = int(self._driver.values_limited) if self._driver else 0
        self._commands = self._node.create_publisher(JointState, "joint_command", JOINT_COMMAND)
        fatal = FatalSlot()
        ticker = FixedRateThread("replay", round(period_s * 1e9), self._tick, fatal, realtime_priority=10)
        ticker.start()
        try:
            if not self._wait(lambda: self._state() == DriverStatus.ENGAGED, ENGAGE_TIMEOUT_S):
                raise ReplayError(f"the driver does not engage: {self._driver_says()}")
            self._go = True
            while self._row < len(self._rows) - 1:
                self._wait(lambda: self._row >= len(self._rows) - 1, 0.2)
                if fatal.is_set:
                    raise ReplayError(f"sending failed: {fatal.cause!r}")
                if self._state() != DriverStatus.ENGAGED:
                    raise ReplayError(
                        f"stopped after {self._row + 1} of {len(self._rows)} commands, the driver no longer follows: "
                        f"{self._driver_says()}"
                    )
        finally:
            ticker.stop()
        after = int(self._driver.values_limited) if self._driver else 0
        return {"commands": len(self._rows), "values_limited": after - limited}

    def measured(self) -> tuple[tuple[str, ...], NDArray[np.int64], FloatArray]:
        """Return joint names, the row that was out at each joint state (N,), and the states (N, J) rad."""
        return self._joints, np.array(self._measured.rows, dtype=np.int64), np.array(self._measured.positions)

    def _tick(self, tick: Tick) -> None:
        # Until the driver engages the first row is repeated: it is where the arm holds.
        row = min(self._row + 1, len(self._rows) - 1) if self._go else 0
        stamp = self._node.get_clock().now().to_msg()
        self._commands.publish(command_message(stamp, self._joints, tuple(self._rows[row].tolist())))
        if self._go:
            self._row = row

    def _state(self) -> int | None:
        if self._driver is None or time.monotonic() - self._heard_s > SILENT_S:
            return None
        return int(self._driver.state)

    def _driver_says(self) -> str:
        driver = self._driver
        if driver is None or self._state() is None:
            return "no driver_status any more"
        return driver.message or driver.cause or name_of(DriverState, driver.state)

    def _wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        return self._own.wait(condition, timeout_s, self._check)

    def _on_driver(self, status: DriverStatus) -> None:
        self._driver, self._heard_s = status, time.monotonic()

    def _on_limits(self, limits: JointLimits) -> None:
        self._limits = limits

    def _on_state(self, state: JointState) -> None:
        if self._go and set(state.name) == set(self._joints) and len(state.position) == len(state.name):
            order = [list(state.name).index(name) for name in self._joints]
            self._measured.rows.append(max(self._row, 0))
            self._measured.positions.append([state.position[index] for index in order])

    def _on_command(self, _command: JointState) -> None:
        self._foreign += 1
