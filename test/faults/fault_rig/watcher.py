# SPDX-License-Identifier: Apache-2.0
"""A node of the test that hears the whole system, with the time of each thing on the monotonic clock.

Times come from the message where it has one that this host's monotonic clock made (QueueDecision.now_ns), or can be
brought to it (DriverStatus and ActionChunk are stamped by this host's wall clock when they are sent); so a test process
that is late itself does not make the system look slow.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from so101_msgs.msg import (
    ActionChunk,
    DriverStatus,
    JointLimits,
    ObservationRequest,
    PolicyStatus,
    QueueDecision,
    QueueStatus,
)
from so101_node.topics import qos
from std_srvs.srv import Trigger

CALL_LIMIT_S = 20.0
CALL_AGAIN_S = 4.0


def monotonic_of(stamp: Any) -> int:
    """Monotonic time of a stamp of this host's wall clock, ns."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec - time.time_ns() + time.monotonic_ns()


class Heard[Message]:
    """Messages of one topic with their times, oldest first."""

    def __init__(self, time_of: Callable[[Message], int] | None = None) -> None:
        self._time_of = time_of
        self._entries: list[tuple[int, Message]] = []

    def __call__(self, message: Message) -> None:
        self._entries.append((self._time_of(message) if self._time_of else time.monotonic_ns(), message))

    @property
    def newest(self) -> Message | None:
        """The newest message."""
        return self._entries[-1][1] if self._entries else None

    def since(self, since_ns: int) -> list[tuple[int, Message]]:
        """What came from `since_ns` on."""
        entries = self._entries[:]
        begin = next((i for i in range(len(entries) - 1, -1, -1) if entries[i][0] < since_ns), -1) + 1
        return entries[begin:]

    def forget(self, before_ns: int) -> None:
        """Drop what is older."""
        del self._entries[: len(self._entries) - len(self.since(before_ns))]

    def first(self, since_ns: int, wanted: Callable[[Message], object]) -> int | None:
        """When the first message that is `wanted` came, from `since_ns` on; None if none did."""
        return next((at for at, message in self.since(since_ns) if wanted(message)), None)


class Watcher:
    """Ears, hands and a few publishers of the test, on a thread of its own.

    Args:
        domain: ROS domain.
        network: network namespace in which the node lives (a file in /proc); "" = this process's own.
    """

    def __init__(self, domain: int, network: str = "") -> None:
        self._stop = threading.Event()
        self._made = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._live, args=(domain, network), name="watcher", daemon=True)
        self._thread.start()
        self._made.wait()
        if self._failure is not None:
            raise self._failure

    def _live(self, domain: int, network: str) -> None:
        before = dict(os.environ)
        try:
            if network:
                # The sockets that this thread and its children make belong to that namespace, the process stays.
                descriptor = os.open(network, os.O_RDONLY | os.O_CLOEXEC)
                os.setns(descriptor, os.CLONE_NEWNET)
                os.close(descriptor)
                # The profile of the tests keeps to this host.
                profile = Path(before["FASTRTPS_DEFAULT_PROFILES_FILE"]).with_name("fastdds_network.xml")
                os.environ |= {
                    "FASTRTPS_DEFAULT_PROFILES_FILE": str(profile),
                    "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
                }
            self._make(domain)
        except BaseException as error:  # noqa: BLE001 - raised where the watcher is made
            self._failure = error
            return
        finally:
            os.environ |= before
            self._made.set()
        self._spin()

    def _make(self, domain: int) -> None:
        self._context = Context()
        rclpy.init(args=[], context=self._context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node("watcher", context=self._context, enable_rosout=False)
        self.drivers: Heard[DriverStatus] = Heard(lambda m: monotonic_of(m.header.stamp))
        self.servers: Heard[PolicyStatus] = Heard()
        self.queue: Heard[QueueStatus] = Heard(lambda m: m.tick_ns)
        self.decisions: Heard[QueueDecision] = Heard(lambda m: m.now_ns)
        self.requests: Heard[ObservationRequest] = Heard()
        self.chunks: Heard[ActionChunk] = Heard()
        self.limits: Heard[JointLimits] = Heard()
        self.diagnostics: Heard[DiagnosticArray] = Heard()
        self.joint_states: Heard[JointState] = Heard(lambda m: monotonic_of(m.header.stamp))
        self.on_request: Callable[[ObservationRequest], None] | None = None
        self._executor = SingleThreadedExecutor(context=self._context)
        for kind, topic, heard, profile in (
            (DriverStatus, "driver_status", self.drivers, qos.LATCHED),
            (PolicyStatus, "policy_status", self.servers, qos.LATCHED),
            (QueueStatus, "action_queue/status", self.queue, qos.STATUS),
            (QueueDecision, "action_queue/decisions", self.decisions, qos.DECISIONS),
            (ObservationRequest, "observation_request", self._hear_request, qos.REQUEST_READER),
            (ActionChunk, "action_chunk", self.chunks, qos.CHUNK_READER),
            (JointLimits, "joint_limits", self.limits, qos.LATCHED),
            (DiagnosticArray, "/diagnostics", self.diagnostics, 100),
            (JointState, "joint_states", self.joint_states, qos.JOINT_STATES_READER),
        ):
            self.node.create_subscription(kind, topic, heard, profile)
        self.chunk_publisher = self.node.create_publisher(ActionChunk, "action_chunk", qos.CHUNK_WRITER)
        self._command_publisher: Any = None
        self._clients: dict[str, Any] = {}
        self._executor.add_node(self.node)

    def _spin(self) -> None:
        while not self._stop.is_set():
            self._executor.spin_once(timeout_sec=0.05)

    def _hear_request(self, request: ObservationRequest) -> None:
        self.requests(request)
        if self.on_request is not None:
            self.on_request(request)

    def close(self) -> None:
        """Leave the graph."""
        self._stop.set()
        self._thread.join()
        self._executor.remove_node(self.node)
        self.node.destroy_node()
        self._executor.shutdown(timeout_sec=0.5)
        rclpy.shutdown(context=self._context)

    # -- asking ------------------------------------------------------------------------------------------------------

    def call(self, service: str) -> Trigger.Response:
        """Call a Trigger service and wait for the answer.

        An answer is lost when the service has not yet discovered who asks; these services may be called twice.
        """
        end = time.monotonic() + CALL_LIMIT_S
        while True:
            try:
                return self._call(Trigger, service, Trigger.Request(), CALL_AGAIN_S)
            except TimeoutError:
                if time.monotonic() > end:
                    raise

    def change_state(self, node: str, transition: int) -> bool:
        """Put a lifecycle node through a transition; whether it went."""
        request = ChangeState.Request()
        request.transition.id = transition
        return bool(self._call(ChangeState, f"{node}/change_state", request).success)

    def set_parameter(self, node: str, parameter: Parameter) -> bool:
        """Set a parameter of a node; whether it was accepted."""
        request = SetParameters.Request(parameters=[parameter.to_parameter_msg()])
        return bool(self._call(SetParameters, f"{node}/set_parameters", request).results[0].successful)

    def _call(self, kind: Any, service: str, request: Any, limit_s: float = CALL_LIMIT_S) -> Any:
        client = self._clients.get(service)
        if client is None:
            client = self._clients[service] = self.node.create_client(kind, service)
        if not client.wait_for_service(CALL_LIMIT_S):
            raise TimeoutError(f"no service {service} within {CALL_LIMIT_S:g} s")
        future = client.call_async(request)
        end = time.monotonic() + limit_s
        while not future.done():
            if time.monotonic() > end:
                raise TimeoutError(f"no answer of {service} within {limit_s:g} s")
            time.sleep(0.005)
        return future.result()

    def command_publisher(self) -> Any:
        """A publisher of joint_command, which makes this node a foreign one; `withdraw_commands` ends that."""
        if self._command_publisher is None:
            self._command_publisher = self.node.create_publisher(JointState, "joint_command", qos.JOINT_COMMAND)
        return self._command_publisher

    def withdraw_commands(self) -> None:
        """No longer publish joint_command."""
        if self._command_publisher is not None:
            self.node.destroy_publisher(self._command_publisher)
        self._command_publisher = None

    def forget(self, before_ns: int) -> None:
        """Drop what is older, in a run that takes long; the newest limits stay."""
        heard = (self.drivers, self.servers, self.queue, self.decisions, self.requests, self.diagnostics)
        for one in (*heard, self.joint_states):
            one.forget(before_ns)

    # -- what was heard ----------------------------------------------------------------------------------------------

    def diagnosed(self, since_ns: int, wanted: Callable[[DiagnosticStatus], object]) -> int | None:
        """When /diagnostics first had an entry that is `wanted`."""
        return self.diagnostics.first(since_ns, lambda array: any(wanted(entry) for entry in array.status))

    def ticks(self, since_ns: int) -> list[tuple[int, QueueDecision]]:
        """The control ticks since then."""
        return [(at, one) for at, one in self.decisions.since(since_ns) if one.input == QueueDecision.TICK]

    def first_tick(self, since_ns: int, wanted: Callable[[QueueDecision], object]) -> int | None:
        """When the first control tick came after which the queue is as `wanted`."""
        return next((at for at, one in self.ticks(since_ns) if wanted(one)), None)

    def first_verdict(
        self, since_ns: int, verdict: int, wanted: Callable[[ActionChunk], object] = lambda chunk: True
    ) -> int | None:
        """When the queue first passed this verdict on a chunk that is `wanted`."""
        return self.decisions.first(since_ns, lambda one: one.verdict == verdict and wanted(one.chunk[0]))

    def driver_is(self, since_ns: int, state: int, cause: str, word: str = "") -> int | None:
        """When the driver first said this state and cause, and `word` in its message."""
        return self.drivers.first(
            since_ns, lambda one: one.state == state and one.cause == cause and word in one.message
        )
