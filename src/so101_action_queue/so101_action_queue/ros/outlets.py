# SPDX-License-Identifier: Apache-2.0
"""All that the node publishes. Commands go out on the calling thread, everything else through the sender thread."""

from collections.abc import Callable
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import JointState
from so101_msgs.msg import ObservationRequest, QueueDecision, QueueStatus
from so101_msgs.msg import PolicySpec as PolicySpecMessage
from so101_node.diagnostics.publishing import DiagnosticsPublisher
from so101_node.protocol import FloatArray, PolicySpec
from so101_node.protocol.spec_message import spec_message
from so101_node.threads import FatalSlot, NewestValueThread, Tick
from so101_node.topics import qos
from so101_node.topics.repeat import RepeatPublisher
from trajectory_msgs.msg import JointTrajectory

from so101_action_queue import translation
from so101_action_queue.core.decisions import ChunkRequest
from so101_action_queue.record import decision_log
from so101_action_queue.record.journal import JournalEntry
from so101_action_queue.ros.session_misses import SessionMisses
from so101_action_queue.ros.shared_queue import TickOutcome


class Outlets:
    """Publishers of the action queue. `open_sender` and `close_sender` frame the time in which it is active."""

    def __init__(self, node: Node, joint_names: tuple[str, ...], period_s: float) -> None:
        self._node = node
        self._clock = node.get_clock()
        self._joint_names = joint_names
        self._period_s = period_s
        self._command = node.create_publisher(JointState, "joint_command", qos.JOINT_COMMAND)
        self._spec = node.create_publisher(PolicySpecMessage, "policy_spec", qos.LATCHED)
        self._status = node.create_publisher(QueueStatus, "action_queue/status", qos.STATUS)
        self._plan = node.create_publisher(JointTrajectory, "action_plan", qos.PLAN)
        self._decisions = node.create_publisher(QueueDecision, "action_queue/decisions", qos.DECISIONS)
        self._diagnostics = DiagnosticsPublisher(node)
        self._request = RepeatPublisher(node, ObservationRequest, "observation_request", qos.REQUEST_WRITER)
        self._published_spec: tuple[int, int, str] | None = None
        self._sender: NewestValueThread | None = None
        self._misses = SessionMisses()

    def open_sender(self, fatal: FatalSlot) -> NewestValueThread:
        """Start the sender thread; what goes wrong in it goes into `fatal`."""
        slots: dict[str, Callable[[Any], None]] = {
            "request": self._send_request,
            "status": self._send_status,
            "plan": self._send_plan,
            "diagnostics": self._diagnostics.offer,
        }
        self._sender = NewestValueThread("sender", slots, fatal, self._send_decision)
        self._sender.start()
        return self._sender

    def close_sender(self) -> None:
        """Send what waits and end the sender thread."""
        if self._sender:
            self._sender.stop()
        self._sender = None

    def destroy(self) -> None:
        """Release the publishers."""
        self._request.destroy()
        self._diagnostics.destroy()
        for publisher in (
            self._command, self._spec, self._status, self._plan, self._decisions,
        ):  # fmt: skip
            self._node.destroy_publisher(publisher)

    # -- on the calling thread ---------------------------------------------------------------------------------------

    def command(self, setpoint: tuple[float, ...]) -> None:
        """Publish a setpoint, stamped with the time of publication."""
        self._command.publish(translation.command_message(self._now(), self._joint_names, setpoint))

    def policy_spec(self, value: PolicySpec, session: int, task: str, again: bool = False) -> None:
        """Publish the spec if it, the session or the task is another than published last, or `again`."""
        key = (value.spec_id, session, task)
        if again or key != self._published_spec:
            self._published_spec = key
            self._spec.publish(spec_message(self._now(), value, session, task))

    # -- handed to the sender thread; ready to be called while there is none -------------------------------------------

    def request(self, request: ChunkRequest, frame_wait_s: float = 0.0) -> None:
        """Request an observation of the cameras, which may wait so long for a newer frame, and a chunk."""
        self._offer("request", (request, frame_wait_s))

    def status(self, outcome: TickOutcome, tick: Tick) -> None:
        """Tell the state after a tick."""
        self._offer("status", (outcome, self._misses.since_begin(outcome.status.session, tick)))

    def plan(self, rows: FloatArray) -> None:
        """Show the rows to execute, (rows, joints), rad."""
        self._offer("plan", rows)

    def diagnostics(self, entries: list[DiagnosticStatus]) -> None:
        """Tell people what is wrong; published at 1 Hz and when it changes."""
        self._offer("diagnostics", entries)

    def _offer(self, slot: str, value: Any) -> None:
        sender = self._sender
        if sender:
            sender.offer(slot, value)

    # -- on the sender thread ----------------------------------------------------------------------------------------

    def _send_request(self, item: tuple[ChunkRequest, float]) -> None:
        self._request.publish(translation.request_message(self._now(), *item))

    def _send_status(self, item: tuple[TickOutcome, Tick]) -> None:
        if self._status.get_subscription_count():
            outcome, tick = item
            self._status.publish(
                translation.status_message(
                    self._now(), outcome.status, tick, outcome.correction, outcome.correction_cause
                )
            )

    def _send_plan(self, rows: FloatArray) -> None:
        if self._plan.get_subscription_count():
            self._plan.publish(translation.plan_message(self._now(), self._joint_names, rows, self._period_s))

    def _send_decision(self, entry: JournalEntry) -> None:
        if self._decisions.get_subscription_count():
            self._decisions.publish(decision_log.decision_message(self._now(), self._joint_names, entry))

    def _now(self) -> Time:
        return self._clock.now().to_msg()
