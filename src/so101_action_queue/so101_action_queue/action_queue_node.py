"""Node action_queue: topics, services and the control thread around the core.

Callbacks run on the main thread and hand inputs to the core under a short lock; the control thread takes the same lock
once per tick and publishes joint_command; everything else that a tick gives rise to goes through the sender thread.
"""

import gc
import secrets
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from so101_msgs.msg import ActionChunk, DriverStatus, JointLimits, PolicyStatus
from so101_node.diagnostics import node_name
from so101_node.lifecycle import AutostartNode
from so101_node.parameters import ParameterError, changed, declare
from so101_node.precedence import take_precedence
from so101_node.process import NodeError, run_process
from so101_node.timers import create_timer
from std_srvs.srv import Trigger

from so101_action_queue import diagnosis, translation
from so101_action_queue.camera_choice import CameraChoice
from so101_action_queue.decisions import Level, Notice, Outcome, Verdict
from so101_action_queue.inputs import Pose
from so101_action_queue.journal import Journal
from so101_action_queue.outlets import Outlets
from so101_action_queue.parameters import QueueParameters
from so101_action_queue.sender import Sender
from so101_action_queue.settings import Settings
from so101_action_queue.tick_thread import Tick, TickThread
from so101_node import clock, graph, qos

OBSERVATION_TYPE = "so101_msgs/msg/ObservationImage"
HOUSEKEEPING_S = 0.1
DIAGNOSTICS_EVERY = 10  # times housekeeping
LOOK_FOR_CAMERAS_EVERY = 3  # times housekeeping, and only while the policy reads one that was not found


class ActionQueueNode(AutostartNode):
    """Lifecycle node around one `Journal`. It listens, ticks and publishes while active; inactive it is deaf."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("action_queue", **kwargs)
        self._values = declare(self, QueueParameters)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._lock = threading.Lock()  # guards _journal
        self._journal: Journal | None = None
        self._outlets: Outlets | None = None
        self._ticker: TickThread | None = None
        self._sender: Sender | None = None
        self._joint_state: tuple[JointState, int] | None = None
        self._pose_reader = translation.PoseReader(tuple(self._values.joint_names))
        self._cameras = CameraChoice(tuple(self._values.cameras))
        self._start_wanted = False
        self._start_refusal = ""
        self._fatal = ""
        self._houses_kept = 0
        self._diagnosed: tuple[object, ...] = ()
        self._latency = diagnosis.Latency()  # guarded by _lock
        self._release: list[Callable[[], object]] = []  # what activation took

    # -- lifecycle ---------------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Create publishers and services."""
        take_precedence(self, self._values.niceness, min(self._values.thread_priority, self._values.tick_priority))
        self._outlets = Outlets(self, tuple(self._values.joint_names), 1.0 / self._values.fps)
        self._services_offered = [
            self.create_service(Trigger, "~/start", self._on_start),
            self.create_service(Trigger, "~/stop", self._on_stop),
            self.create_service(Trigger, "~/pause", self._on_pause),
        ]
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to listen and tick; nothing is commanded before `start`."""
        assert self._outlets is not None
        settings = self._settings()
        self._sender = self._outlets.open_sender()
        self._journal = Journal(clock.now_ns(), settings, self._sender.append)
        # Subscribing now, not earlier: latched limits that came while nobody kept them would never come again.
        for kind, topic, callback, profile in (
            (JointState, "joint_states", self._on_joint_state, qos.JOINT_STATES_READER),
            (DriverStatus, "driver_status", self._on_driver_status, qos.LATCHED),
            (JointLimits, "joint_limits", self._on_joint_limits, qos.LATCHED),
            (PolicyStatus, "policy_status", self._on_policy_status, qos.LATCHED),
            (ActionChunk, "action_chunk", self._on_action_chunk, qos.CHUNK_READER),
        ):
            subscription = self.create_subscription(kind, topic, callback, profile)
            self._release.append(partial(self.destroy_subscription, subscription))
        timer = create_timer(self, HOUSEKEEPING_S, self._keep_house)
        self._release.append(partial(self.destroy_timer, timer))
        self._start_wanted = self._values.start_on_activate
        gc.collect()  # before the first tick: a full collection holds the interpreter for up to 90 ms
        gc.freeze()
        self._ticker = TickThread(settings.period_ns, self._tick, self._values.tick_priority)
        self._ticker.start()
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop commanding; the driver holds."""
        self._end_threads()
        for release in self._release:
            release()
        self._release.clear()
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release publishers and services."""
        for service in self._services_offered:
            self.destroy_service(service)
        if self._outlets:
            self._outlets.destroy()
        self._outlets = None
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As on_deactivate: an active node that is shut down must not go on commanding."""
        return self.on_deactivate(state)

    def on_exit(self) -> None:
        """End the threads before the node goes, however it goes."""
        self._end_threads()

    def _end_threads(self) -> None:
        if self._ticker:
            self._ticker.stop()
        self._ticker = None
        with self._lock:
            self._journal = None
        if self._outlets:
            self._outlets.close_sender()
        self._sender = None
        self._joint_state = None

    # -- control thread ----------------------------------------------------------------------------------------------

    def _tick(self, tick: Tick) -> None:
        outlets = self._outlets
        with self._lock:
            journal = self._journal
            if journal is None or outlets is None:
                return
            decision = journal.tick(tick.now_ns, self._pose(tick.now_ns))
            status = journal.core.status(tick.now_ns)
            self._latency.tick(status.session, tick.now_ns, status.step)
        if decision.setpoint is not None:
            outlets.command(decision.setpoint)
        if decision.question is not None:
            outlets.request(decision.question)
        if decision.fatal:
            self._fatal = decision.fatal
        outlets.status(status, tick)

    def _pose(self, now_ns: int) -> Pose | None:
        if self._joint_state is None:
            return None
        message, received_ns = self._joint_state
        return self._pose_reader.read(message, max(0, now_ns - received_ns) / 1e9)

    # -- main thread: inputs -----------------------------------------------------------------------------------------

    def _on_joint_state(self, message: JointState) -> None:
        self._joint_state = (message, clock.now_ns())  # read by the control thread, which copies

    def _on_driver_status(self, message: DriverStatus) -> None:
        report = translation.driver_from(message)
        with self._lock:
            if self._journal:
                self._journal.hear_driver(clock.now_ns(), report, message)

    def _on_joint_limits(self, message: JointLimits) -> None:
        limits = translation.limits_from(message)
        with self._lock:
            if self._journal:
                self._journal.set_limits(clock.now_ns(), limits, message)
        self._publish_spec()

    def _on_policy_status(self, message: PolicyStatus) -> None:
        report = translation.server_from(message)
        with self._lock:
            if self._journal:
                self._journal.hear_server(clock.now_ns(), report, message)
                self._choose_cameras(self._journal)
            core = self._journal.core if self._journal else None
            unknown = core is not None and core.spec is not None and report.spec_id != core.spec.spec_id
        if unknown and not report.leaving:
            # A latched sample may reach a server that was just started only with the next heartbeat of DDS, after 3 s.
            self._publish_spec(again=True)

    def _on_action_chunk(self, message: ActionChunk) -> None:
        answer = translation.answer_from(message)
        with self._lock:
            if not self._journal:
                return
            now_ns, core = clock.now_ns(), self._journal.core
            decision = self._journal.take_answer(now_ns, answer, message)
            rows = core.execution.rows_ahead() if decision.verdict is Verdict.ACCEPTED else None
            if rows is not None:
                self._latency.chunk(core.session, now_ns, core.execution.step, decision.round_trip_s, message)
        if rows is not None and self._outlets:
            self._outlets.plan(rows)

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
            if self._journal:
                outcome = wish(self._journal, clock.now_ns())
            else:
                outcome = Outcome(False, f"not active: {self.what_to_do()}")
        response.success, response.message = outcome.done, outcome.reason
        self._publish_spec()
        return response

    def _on_set_parameters(self, updates: list[Parameter]) -> SetParametersResult:
        try:
            values = changed(QueueParameters, self._values, updates)
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        before = self._settings()
        self._values = values
        after = self._settings()
        if before != after:
            with self._lock:
                if self._journal:
                    self._journal.change(clock.now_ns(), after)
            self._publish_spec()
        return SetParametersResult(successful=True)

    def _publish_spec(self, again: bool = False) -> None:
        """Publish the spec if it is news, or `again`."""
        with self._lock:
            core = self._journal.core if self._journal else None
            if core is None or core.spec is None or self._outlets is None:
                return
            spec, session, task = core.spec, core.session, core.settings.task
        self._outlets.policy_spec(spec, session, task, again)

    def _keep_house(self) -> None:
        for thread in (self._ticker, self._sender):
            if thread and thread.error:
                raise NodeError(f"internal error in thread {thread.name}: {thread.error!r}") from thread.error
        with self._lock:
            if self._journal is None:
                return
            core = self._journal.core
            now_ns = clock.now_ns()
            notices, status, rivals = core.notices.take(), core.status(now_ns), core.rival_servers(now_ns)
            shown = (status.state, status.cause, len(rivals))
            due = shown != self._diagnosed or self._houses_kept % DIAGNOSTICS_EVERY == 0
            latency = self._latency.values() if due else {}
        for notice in notices:
            self._log(notice)
        if self._cameras.is_searching and self._houses_kept % LOOK_FOR_CAMERAS_EVERY == 0:
            self._look_for_cameras()
        if self._fatal:
            raise NodeError(self._fatal)
        if self._start_wanted:
            self._start_when_possible()
        if due and self._outlets:
            self._diagnosed = shown
            answerers, topic = graph.publishers(self, "action_chunk"), graph.shown(self, "action_chunk")
            foreign = f"{answerers} nodes publish {topic}" if answerers > 1 else ""
            self._outlets.diagnostics(diagnosis.entries(node_name(self), status, rivals, foreign, latency))
        self._houses_kept += 1

    def _settings(self) -> Settings:
        """The parameters, with the cameras that the policy reads in place of those that the robot has."""
        return replace(self._values.settings(), cameras=self._cameras.chosen)

    def _choose_cameras(self, journal: Journal) -> None:
        """Let the spec name the cameras that the server's policy reads; the caller holds the lock."""
        now_ns, core = clock.now_ns(), journal.core
        spec_id = core.spec.spec_id if core.spec else 0
        if not self._cameras.choose(now_ns, core.server, spec_id):
            return
        journal.change(now_ns, self._settings())
        left_out = self._cameras.left_out
        text = f"cameras: {', '.join(self._cameras.chosen) or 'none'}"
        if left_out:
            text += f"; left out, the policy does not read them: {', '.join(left_out)}"
        core.notices.add(now_ns, "cameras", Level.INFO, text)

    def _look_for_cameras(self) -> None:
        prefix, suffix = self.get_namespace().rstrip("/") + "/", "/observation"
        topics = (topic for topic, types in self.get_topic_names_and_types() if OBSERVATION_TYPE in types)
        ours = [topic for topic in topics if topic.startswith(prefix) and topic.endswith(suffix)]
        names = [topic[len(prefix) : -len(suffix)] for topic in ours if graph.publishers(self, topic)]
        with self._lock:
            self._cameras.find(name for name in names if "/" not in name)
            if self._journal:
                self._choose_cameras(self._journal)
        self._publish_spec()

    def _start_when_possible(self) -> None:
        with self._lock:
            if self._journal is None:
                return
            outcome = self._journal.start(clock.now_ns(), new_session())
        if outcome.done:
            self._start_wanted = False
            self._log(Notice(Level.INFO, "started (start_on_activate)"))
            self._publish_spec()
        elif outcome.reason != self._start_refusal:
            self._start_refusal = outcome.reason
            self._log(Notice(Level.INFO, f"waiting to start: {outcome.reason}"))

    def _log(self, notice: Notice) -> None:
        logger = self.get_logger()  # type: ignore[no-untyped-call]
        # One line of code each: rclpy refuses another severity from a line that has logged before.
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
    run_process(ActionQueueNode)


if __name__ == "__main__":
    main()
