# SPDX-License-Identifier: Apache-2.0
"""What the action queue is to a driver: hears its topics, sends joint_command, calls its services."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState
from so101_msgs.msg import DriverStatus, JointLimits
from so101_node.protocol import FloatArray
from so101_node.topics.qos import JOINT_COMMAND, JOINT_STATES_READER, LATCHED
from std_srvs.srv import Trigger

COMMAND_PERIOD_S: Final = 1.0 / 30.0
PATIENCE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class HeardMessage[Message]:
    """A message and when it was heard, steady clock, s."""

    at_s: float
    message: Message


class DriverPeer:
    """Everything heard of one driver since `forget`."""

    def __init__(self, namespace: str, node_name: str) -> None:
        """`namespace`, `node_name`: of the driver."""
        self.namespace, self.driver_name = namespace, node_name
        self._context = Context()
        rclpy.init(args=[], context=self._context)
        self._node = rclpy.create_node(
            "driver_check", context=self._context, namespace=namespace, enable_rosout=False, use_global_arguments=False
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.statuses: list[HeardMessage[DriverStatus]] = []
        self.states: list[HeardMessage[JointState]] = []
        self.limits: list[HeardMessage[JointLimits]] = []
        self._subscribe(DriverStatus, "driver_status", LATCHED, self.statuses)
        self._subscribe(JointState, "joint_states", JOINT_STATES_READER, self.states)
        self._subscribe(JointLimits, "joint_limits", LATCHED, self.limits)
        self._commands = self._node.create_publisher(JointState, "joint_command", JOINT_COMMAND)
        self._clients: dict[str, Any] = {}

    def _subscribe(self, kind: Any, topic: str, qos: Any, heard: list[Any]) -> None:
        self._node.create_subscription(
            kind, topic, lambda message: heard.append(HeardMessage(time.monotonic(), message)), qos
        )

    # --- heard ------------------------------------------------------------------------------------------------------

    @property
    def status(self) -> DriverStatus:
        """The newest."""
        return self.statuses[-1].message

    @property
    def names(self) -> list[str]:
        """Joints, in the order of driver_status."""
        return list(self.status.joint_names)

    @property
    def goal(self) -> FloatArray:
        """Newest goal, (joints,), rad."""
        return np.array(self.status.goal, dtype=np.float64)

    @property
    def positions(self) -> FloatArray:
        """Newest measured positions, (joints,), rad, in the order of driver_status; NaN where one is not heard."""
        at: dict[str, float] = {}
        if self.states:
            at = dict(zip(self.states[-1].message.name, self.states[-1].message.position, strict=False))
        return np.array([at.get(name, np.nan) for name in self.names], dtype=np.float64)

    def limit(self, field: str) -> FloatArray:
        """A field of the newest joint_limits, (joints,), in the order of driver_status."""
        limits = self.limits[-1].message
        at = dict(zip(limits.joint_names, getattr(limits, field), strict=False))
        return np.array([at.get(name, np.nan) for name in self.names], dtype=np.float64)

    def forget(self) -> None:
        """Keep the newest of each only, once what is still on its way has arrived."""
        self.spin(0.1)
        for heard in (self.statuses, self.states, self.limits):
            del heard[:-1]

    def forget_all(self) -> None:
        """Keep nothing: the driver is another one."""
        self.spin(0.1)
        for heard in (self.statuses, self.states, self.limits):
            heard.clear()

    def describe(self) -> str:
        """The newest status in words, for a failure."""
        if not self.statuses:
            return "no driver_status was heard"
        status = self.status
        return f"it is in state {status.state} {status.cause} {status.message}".rstrip()

    # --- done -------------------------------------------------------------------------------------------------------

    def spin(self, seconds: float) -> None:
        """Listen for that long."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=min(left_s, 0.005))

    def wait(self, condition: Callable[[], bool], seconds: float = PATIENCE_S) -> bool:
        """Listen until `condition`; whether it came true in time."""
        end_s = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end_s:
                return False
            self._executor.spin_once(timeout_sec=0.01)
        return True

    def wait_for_state(self, state: int, seconds: float = PATIENCE_S) -> bool:
        """Listen until driver_status shows this state."""
        return self.wait(lambda: bool(self.statuses) and self.status.state == state, seconds)

    def send(self, positions: Sequence[float] | FloatArray, names: Sequence[str] | None = None) -> None:
        """Send one joint_command; `names` default to those of driver_status."""
        named = self.names if names is None else list(names)
        self._commands.publish(JointState(name=named, position=[float(value) for value in positions]))

    def stream(self, positions: Callable[[int], FloatArray], count: int) -> None:
        """Send `positions(0)`, `positions(1)`, ... at 30 Hz, and listen."""
        due_s = time.monotonic()
        for step in range(count):
            self.send(positions(step))
            due_s += COMMAND_PERIOD_S
            self.spin(max(0.0, due_s - time.monotonic()))

    def has_service(self, name: str, seconds: float = PATIENCE_S) -> bool:
        """Whether the driver offers this Trigger service."""
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = self._node.create_client(Trigger, f"{self.driver_name}/{name}")
        return self.wait(client.service_is_ready, seconds)

    def call(self, name: str) -> Any:
        """Call a Trigger service of the driver: its response, or None where none came."""
        if not self.has_service(name):
            return None
        future = self._clients[name].call_async(Trigger.Request())
        return future.result() if self.wait(future.done, 10.0) else None

    def close(self) -> None:
        """End the node."""
        self._executor.remove_node(self._node)
        self._node.destroy_node()
        self._executor.shutdown(timeout_sec=0.5)
        rclpy.shutdown(context=self._context)
