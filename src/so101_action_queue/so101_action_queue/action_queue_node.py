"""Node action_queue: topics, services and the control thread around the core.

Callbacks run on the main thread and hand inputs to the core under a short lock; the control thread takes the same lock
once per tick and publishes joint_command; everything else that a tick gives rise to goes through the sender thread.
"""

import gc
import secrets
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
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
from so101_node.lifecycle import AutostartNode
from so101_node.parameters import ParameterError, changed, declare
from so101_node.process import NodeError, run_node
from so101_node.repeat import RepeatPublisher
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from so101_action_queue import decision_log, translation
from so101_action_queue.decisions import Level, Notice, Outcome, Question, Status, Verdict
from so101_action_queue.inputs import FloatArray, Pose
from so101_action_queue.journal import Entry, Journal
from so101_action_queue.parameters import QueueParameters
from so101_action_queue.sender import Sender
from so101_action_queue.tick_thread import Tick, TickThread
from so101_node import qos

# A thread that wants the interpreter waits this long before it asks the holder to give way (Python's default: 5 ms).
SWITCH_INTERVAL_S = 0.0005
HOUSEKEEPING_S = 0.1


class ActionQueueNode(AutostartNode):
    """Lifecycle node around one `Journal`: made when it activates, gone when it deactivates."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("action_queue", **kwargs)
        self._values = declare(self, QueueParameters)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._lock = threading.Lock()  # guards _journal
        self._journal: Journal | None = None
        self._ticker: TickThread | None = None
        self._sender: Sender | None = None
        self._joint_state: tuple[JointState, int] | None = None
        self._pose_reader = translation.PoseReader(tuple(self._values.joint_names))
        self._published_spec: tuple[int, int, str] | None = None
        self._start_wanted = False
        self._start_refusal = ""
        self._fatal = ""
        self._entities: list[tuple[Any, Any]] = []

    # -- lifecycle ---------------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Create topics and services."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._command = self._publisher(JointState, "joint_command", qos.JOINT_COMMAND)
        self._spec = self._publisher(PolicySpec, "policy_spec", qos.LATCHED)
        self._status = self._publisher(QueueStatus, "action_queue/status", qos.STATUS)
        self._plan = self._publisher(JointTrajectory, "action_plan", qos.PLAN)
        self._decisions = self._publisher(QueueDecision, "action_queue/decisions", qos.DECISIONS)
        self._request = RepeatPublisher(self, ObservationRequest, "observation_request", qos.REQUEST_WRITER)
        for kind, topic, callback, profile in (
            (JointState, "joint_states", self._on_joint_state, qos.JOINT_STATES_READER),
            (DriverStatus, "driver_status", self._on_driver_status, qos.LATCHED),
            (JointLimits, "joint_limits", self._on_joint_limits, qos.LATCHED),
            (PolicyStatus, "policy_status", self._on_policy_status, qos.LATCHED),
            (ActionChunk, "action_chunk", self._on_action_chunk, qos.CHUNK_READER),
        ):
            subscription = self.create_subscription(kind, topic, callback, profile)
            self._entities.append((self.destroy_subscription, subscription))
        for name, serve in (("start", self._on_start), ("stop", self._on_stop), ("pause", self._on_pause)):
            service = self.create_service(Trigger, f"~/{name}", serve)
            self._entities.append((self.destroy_service, service))
        timer = self.create_timer(HOUSEKEEPING_S, self._keep_house)
        self._entities.append((self.destroy_timer, timer))
        return TransitionCallbackReturn.SUCCESS

    def _publisher(self, kind: type[Any], topic: str, profile: Any) -> Any:
        publisher = self.create_publisher(kind, topic, profile)
        self._entities.append((self.destroy_publisher, publisher))
        return publisher

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to tick; nothing is commanded before `start`."""
        settings = self._values.settings()
        outlets: dict[str, Callable[[Any], None]] = {
            "request": self._send_request,
            "status": self._send_status,
            "plan": self._send_plan,
        }
        self._sender = Sender(outlets, self._send_decision)
        self._journal = Journal(time.monotonic_ns(), settings, self._sender.append)
        self._ticker = TickThread(settings.period_ns, self._tick, self._values.tick_priority)
        self._start_wanted = self._values.start_on_activate
        self._sender.start()
        self._ticker.start()
        gc.collect()
        gc.freeze()
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop commanding; the driver holds."""
        self._end_threads()
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release topics and services."""
        for destroy, entity in self._entities:
            destroy(entity)
        self._entities.clear()
        self._request.destroy()
        self._published_spec = None
        return TransitionCallbackReturn.SUCCESS

    def on_exit(self) -> None:
        """End the threads before the node goes, however it goes."""
        self._end_threads()

    def _end_threads(self) -> None:
        ticker, sender = self._ticker, self._sender
        self._ticker = self._sender = None
        if ticker:
            ticker.stop()
        if sender:
            sender.stop()
        with self._lock:
            self._journal = None

    # -- control thread ----------------------------------------------------------------------------------------------

    def _tick(self, tick: Tick) -> None:
        sender = self._sender
        with self._lock:
            journal = self._journal
            if journal is None or sender is None:
                return
            decision = journal.tick(tick.now_ns, self._pose(tick.now_ns))
            status = journal.core.status(tick.now_ns)
        if decision.setpoint is not None:
            stamp = self.get_clock().now().to_msg()
            names = journal.core.settings.joint_names
            self._command.publish(translation.command_message(stamp, names, decision.setpoint))
        if decision.question is not None:
            sender.offer("request", decision.question)
        if decision.fatal:
            self._fatal = decision.fatal
        sender.offer("status", (status, tick))

    def _pose(self, now_ns: int) -> Pose | None:
        if self._joint_state is None:
            return None
        message, received_ns = self._joint_state
        return self._pose_reader.read(message, max(0, now_ns - received_ns) / 1e9)

    # -- sender thread -----------------------------------------------------------------------------------------------

    def _send_request(self, question: Question) -> None:
        self._request.publish(translation.request_message(self.get_clock().now().to_msg(), question))

    def _send_status(self, item: tuple[Status, Tick]) -> None:
        if not self._status.get_subscription_count():
            return
        self._status.publish(translation.status_message(self.get_clock().now().to_msg(), *item))

    def _send_plan(self, rows: FloatArray) -> None:
        if not self._plan.get_subscription_count():
            return
        names = tuple(self._values.joint_names)
        stamp = self.get_clock().now().to_msg()
        self._plan.publish(translation.plan_message(stamp, names, rows, 1.0 / self._values.fps))

    def _send_decision(self, entry: Entry) -> None:
        if not self._decisions.get_subscription_count():
            return
        names = tuple(self._values.joint_names)
        stamp = self.get_clock().now().to_msg()
        self._decisions.publish(decision_log.decision_message(stamp, names, entry))

    # -- main thread: inputs -----------------------------------------------------------------------------------------

    def _on_joint_state(self, message: JointState) -> None:
        self._joint_state = (message, time.monotonic_ns())

    def _on_driver_status(self, message: DriverStatus) -> None:
        report = translation.driver_from(message)
        with self._lock:
            if self._journal:
                self._journal.hear_driver(time.monotonic_ns(), report, message)

    def _on_joint_limits(self, message: JointLimits) -> None:
        limits = translation.limits_from(message)
        with self._lock:
            if self._journal:
                self._journal.set_limits(time.monotonic_ns(), limits, message)
        self._publish_spec()

    def _on_policy_status(self, message: PolicyStatus) -> None:
        report = translation.server_from(message)
        with self._lock:
            if self._journal:
                self._journal.hear_server(time.monotonic_ns(), report, message)

    def _on_action_chunk(self, message: ActionChunk) -> None:
        answer = translation.answer_from(message)
        with self._lock:
            if not self._journal:
                return
            decision = self._journal.take_answer(time.monotonic_ns(), answer, message)
            rows = self._journal.core.execution.rows_ahead() if decision.verdict is Verdict.ACCEPTED else None
        if rows is not None and self._sender:
            self._sender.offer("plan", rows)

    # -- main thread: services, parameters, housekeeping -------------------------------------------------------------

    def _on_start(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._obey(response, lambda journal, now_ns: journal.start(now_ns, new_session()))

    def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._start_wanted = False
        return self._obey(response, lambda journal, now_ns: journal.stop(now_ns))

    def _on_pause(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._start_wanted = False
        return self._obey(response, lambda journal, now_ns: journal.pause(now_ns))

    def _obey(self, response: Trigger.Response, wish: Callable[[Journal, int], Outcome]) -> Trigger.Response:
        with self._lock:
            outcome = wish(self._journal, time.monotonic_ns()) if self._journal else Outcome(False, "not active")
        response.success, response.message = outcome.done, outcome.reason
        self._publish_spec()
        return response

    def _on_set_parameters(self, updates: list[Parameter]) -> SetParametersResult:
        try:
            parameters = changed(QueueParameters, self._values, updates)
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        before, after = self._values.settings(), parameters.settings()
        self._values = parameters
        if before != after:
            with self._lock:
                if self._journal:
                    self._journal.change(time.monotonic_ns(), after)
            self._publish_spec()
        return SetParametersResult(successful=True)

    def _publish_spec(self) -> None:
        """Publish the spec if it, the session or the task is another than published last."""
        with self._lock:
            core = self._journal.core if self._journal else None
            if core is None or core.spec is None:
                return
            spec, session, task = core.spec, core.session, core.settings.task
        key = (spec.spec_id, session, task)
        if key != self._published_spec:
            self._published_spec = key
            self._spec.publish(translation.spec_message(self.get_clock().now().to_msg(), spec, session, task))

    def _keep_house(self) -> None:
        for thread in (self._ticker, self._sender):
            if thread and thread.error:
                raise NodeError(f"internal error in thread {thread.name}: {thread.error!r}") from thread.error
        with self._lock:
            notices = self._journal.core.notices.take() if self._journal else []
        for notice in notices:
            self._log(notice)
        if self._fatal:
            raise NodeError(self._fatal)
        if self._start_wanted:
            self._start_when_possible()

    def _start_when_possible(self) -> None:
        with self._lock:
            if not self._journal:
                return
            outcome = self._journal.start(time.monotonic_ns(), new_session())
        if outcome.done:
            self._start_wanted = False
            self._log(Notice(Level.INFO, "started (start_on_activate)"))
            self._publish_spec()
        elif outcome.reason != self._start_refusal:
            self._start_refusal = outcome.reason
            self._log(Notice(Level.INFO, f"waiting to start: {outcome.reason}"))

    def _log(self, notice: Notice) -> None:
        logger = self.get_logger()  # type: ignore[no-untyped-call]
        # rclpy binds a severity to the source line of a call and raises at another one: each has its own line.
        if notice.level is Level.ERROR:
            logger.error(notice.text)
        elif notice.level is Level.WARNING:
            logger.warning(notice.text)
        else:
            logger.info(notice.text)


def new_session() -> int:
    """Return a random session number, never 0."""
    return secrets.randbits(63) | 1


def main() -> None:
    """Run the node as a process."""
    sys.exit(run_node(ActionQueueNode))


if __name__ == "__main__":
    main()
