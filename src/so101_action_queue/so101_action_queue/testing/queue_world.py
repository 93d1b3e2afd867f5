# SPDX-License-Identifier: Apache-2.0
"""A driver and a policy server, both of a few lines, in one node over real DDS; and the queue as its own process."""

import math
import os
import signal
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState
from so101_msgs.msg import (
    ActionChunk,
    DriverStatus,
    JointLimits,
    ObservationRequest,
    PolicySpec,
    PolicyStatus,
    QueueDecision,
    QueueStatus,
)
from so101_node.protocol import JOINT_NAMES
from so101_node.timing.timers import create_timer
from so101_node.topics import qos
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

DOMAIN = int(os.environ["ROS_DOMAIN_ID"])  # conftest.py has leased it
PATIENCE_S = 60.0  # for whatever must come some time; a machine may be busy
JOINTS = list(JOINT_NAMES)
HOME = (0.1, -0.2, 0.3, 0.0, 0.0, -0.4)
FPS = 30.0
COMMAND_TIMEOUT_S = 1.0  # generous: these tests are not about a busy machine

Policy = Callable[[ObservationRequest], npt.NDArray[np.float64]]


def follow_the_steps(request: ObservationRequest) -> npt.NDArray[np.float64]:
    """Say for step s that every joint belongs at home + 0.2 sin(s / 20)."""
    steps = request.step + np.arange(50)
    rows: npt.NDArray[np.float64] = np.array(HOME) + 0.2 * np.sin(steps / 20)[:, np.newaxis]
    return rows


class QueueWorld:
    """Publishes what driver and server publish, answers requests, and keeps all that the queue says."""

    def __init__(self, namespace: str = "/", driver_speaks: bool = True, server_speaks: bool = True) -> None:
        self.context = rclpy.Context()
        rclpy.init(args=[], context=self.context, domain_id=DOMAIN)
        self.node = rclpy.create_node("world", namespace=namespace, context=self.context, enable_rosout=False)
        self.server_id = 99
        self.reset()
        self.driver_speaks, self.server_speaks = driver_speaks, server_speaks
        self.lacks = ""  # what the server says that it lacks; "" for nothing
        self._last_command = -math.inf
        self._seen: set[tuple[int, int]] = set()
        self._spec_id = 0
        node = self.node
        self._joint_states = node.create_publisher(JointState, "joint_states", qos.JOINT_STATES_WRITER)
        self._driver_status = node.create_publisher(DriverStatus, "driver_status", qos.LATCHED)
        self._joint_limits = node.create_publisher(JointLimits, "joint_limits", qos.LATCHED)
        self._policy_status = node.create_publisher(PolicyStatus, "policy_status", qos.LATCHED)
        self._chunks = node.create_publisher(ActionChunk, "action_chunk", qos.CHUNK_WRITER)
        every_command = qos.observation(1000)  # reliable; the driver itself reads the newest only
        node.create_subscription(JointState, "joint_command", self._on_command, every_command)
        node.create_subscription(PolicySpec, "policy_spec", self._on_spec, qos.LATCHED)
        node.create_subscription(ObservationRequest, "observation_request", self._on_request, qos.REQUEST_READER)
        node.create_subscription(QueueStatus, "action_queue/status", lambda m: self.statuses.append(m), qos.STATUS)
        node.create_subscription(JointTrajectory, "action_plan", lambda m: self.plans.append(m), qos.PLAN)
        log = qos.observation(5000)
        node.create_subscription(QueueDecision, "action_queue/decisions", lambda m: self.decisions.append(m), log)
        create_timer(node, 1 / 60, self._say_positions)
        create_timer(node, 0.1, self.say_driver)
        create_timer(node, 0.2, self._say_server)
        self.services = {
            name: node.create_client(Trigger, f"action_queue/{name}") for name in ("start", "stop", "pause")
        }
        self._change_state = node.create_client(ChangeState, "action_queue/change_state")
        self._set_parameters = node.create_client(SetParameters, "action_queue/set_parameters")
        self._say_limits()
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._executor.shutdown(timeout_sec=2.0)
        self._thread.join(2.0)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def reset(self) -> None:
        """Be a healthy driver at HOME and a healthy server again (the same one: it may not be lost yet)."""
        self.policy: Policy = follow_the_steps
        self.delay_s: float | None = 0.05  # None: requests stay unanswered
        self.driver_id = 7
        self.fingerprint = ""
        self.cameras: list[str] = []  # that the policy reads
        self.positions = list(HOME)
        self.server_speaks = self.driver_speaks = True
        self.forget()

    def forget(self) -> None:
        """Forget what came, and keep what comes from now on."""
        self.commands: list[JointState] = []
        self.requests: list[ObservationRequest] = []
        self.statuses: list[QueueStatus] = []
        self.plans: list[JointTrajectory] = []
        self.decisions: list[QueueDecision] = []
        self.specs: list[PolicySpec] = []

    # -- what tests do -------------------------------------------------------------------------------------------------

    def wait(self, condition: Callable[[], Any], limit_s: float = PATIENCE_S) -> bool:
        deadline = time.monotonic() + limit_s
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.01)
        return bool(condition())

    def wait_for_state(self, state: int) -> QueueStatus:
        seen = len(self.statuses)
        assert self.wait(lambda: any(status.state == state for status in self.statuses[seen:])), self.summary()
        return next(status for status in self.statuses[seen:] if status.state == state)

    def summary(self) -> str:
        return repr(self.statuses[-1]) if self.statuses else "no status"

    def call(self, name: str) -> Trigger.Response:
        client = self.services[name]
        assert client.wait_for_service(PATIENCE_S), f"no service {name}"
        future = client.call_async(Trigger.Request())
        assert self.wait(future.done), f"{name} did not answer"
        return future.result()

    def start(self) -> None:
        """Stop what runs, forget it, and start as soon as the queue has heard of driver and server."""
        self.call("stop")
        self.wait(lambda: self.statuses and self.statuses[-1].state in (QueueStatus.IDLE, QueueStatus.STOPPED))
        self.forget()
        last = None

        def started() -> bool:
            nonlocal last
            last = self.call("start")
            return bool(last.success)

        assert self.wait(started), last

    def change_state(self, transition: int) -> bool:
        """Request a lifecycle transition; return whether it was made."""
        assert self._change_state.wait_for_service(PATIENCE_S)
        future = self._change_state.call_async(ChangeState.Request(transition=Transition(id=transition)))
        assert self.wait(future.done)
        return bool(future.result().success)

    def set_parameter(self, name: str, value: str | float) -> tuple[bool, str]:
        if isinstance(value, str):
            content = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)
        else:
            content = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)
        assert self._set_parameters.wait_for_service(PATIENCE_S)
        request = SetParameters.Request(parameters=[Parameter(name=name, value=content)])
        future = self._set_parameters.call_async(request)
        assert self.wait(future.done)
        result = future.result().results[0]
        return result.successful, result.reason

    # -- driver --------------------------------------------------------------------------------------------------------

    def _on_command(self, message: JointState) -> None:
        self.commands.append(message)
        was_engaged = self._is_engaged()
        self._last_command = time.monotonic()
        at = dict(zip(message.name, message.position, strict=True))
        self.positions = [at[name] for name in JOINTS]
        if not was_engaged:
            self.say_driver()

    def _is_engaged(self) -> bool:
        return time.monotonic() - self._last_command < COMMAND_TIMEOUT_S

    def say_driver(self) -> None:
        if self.driver_speaks:
            state = DriverStatus.ENGAGED if self._is_engaged() else DriverStatus.HOLD
            goal = array("d", self.positions)
            self._driver_status.publish(
                DriverStatus(driver_id=self.driver_id, state=state, joint_names=JOINTS, goal=goal, torque=[True] * 6)
            )

    def _say_positions(self) -> None:
        if self.driver_speaks:
            self._joint_states.publish(JointState(name=JOINTS, position=array("d", self.positions)))

    def _say_limits(self) -> None:
        low, high = array("d", [-1.5] * 6), array("d", [1.5] * 6)
        self._joint_limits.publish(
            JointLimits(
                driver_id=self.driver_id, joint_names=JOINTS, lower=low, upper=high, range_lower=low, range_upper=high,
                drive_mode=array("B", [0] * 6),
            )
        )  # fmt: skip

    # -- server --------------------------------------------------------------------------------------------------------

    def _on_spec(self, message: PolicySpec) -> None:
        self.specs.append(message)
        self._spec_id = message.spec_id

    def _say_server(self) -> None:
        if self.server_speaks:
            state = PolicyStatus.READY if self._spec_id else PolicyStatus.LOADING
            if self.lacks:
                state = PolicyStatus.UNCONFIGURED
            self._policy_status.publish(
                PolicyStatus(
                    server_id=self.server_id, server_name="world", spec_id=self._spec_id, state=state, horizon=50,
                    n_obs_steps=1, fingerprint=self.fingerprint, cameras=self.cameras, message=self.lacks,
                )
            )  # fmt: skip

    def _on_request(self, message: ObservationRequest) -> None:
        self.requests.append(message)
        key = (message.session, message.request_id)
        if key in self._seen or self.delay_s is None:
            return
        self._seen.add(key)
        rows = self.policy(message)
        chunk = ActionChunk(
            session=message.session, request_id=message.request_id, spec_id=message.spec_id, step=message.step,
            server_id=self.server_id, server_name="world", period=1 / FPS, joint_names=JOINTS, rows=len(rows),
            positions=array("f", rows.ravel().tolist()),
        )  # fmt: skip
        threading.Timer(self.delay_s, self._answer, (chunk,)).start()

    def _answer(self, chunk: ActionChunk) -> None:
        if self.context.ok():
            self._chunks.publish(chunk)
            time.sleep(0.01)
            self._chunks.publish(chunk)


class QueueProcess:
    """The node as users run it. Lost heartbeats need longer here than by default: the machine may be busy."""

    def __init__(self, namespace: str = "/", *remappings: str, **parameters: Any) -> None:
        chosen = {
            "server_lost_s": 8.0,
            "driver_lost_s": 8.0,
            "engage_timeout_s": 10.0,
            "max_pose_age_s": 1.0,
            **parameters,
        }
        arguments = [part for rule in (f"__ns:={namespace}", *remappings) for part in ("-r", rule)]
        arguments += [part for name, value in chosen.items() for part in ("-p", f"{name}:={value}")]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "so101_action_queue.ros.start", "--ros-args", *arguments],
            env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def leave(self, number: int = signal.SIGINT) -> tuple[int, str, float]:
        """Send a signal and return exit code, output, and how long it took to go, s."""
        begin = time.monotonic()
        self.process.send_signal(number)
        return (*self.finish(), time.monotonic() - begin)

    def finish(self) -> tuple[int, str]:
        """Wait for the end and return exit code and output."""
        output, _ = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, output

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            print(self.process.communicate()[0])  # shown with a test that failed
