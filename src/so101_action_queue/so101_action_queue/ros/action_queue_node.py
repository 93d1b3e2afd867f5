# SPDX-License-Identifier: Apache-2.0
"""Node action_queue: wires the queue to topics, services, parameters and the control thread.

Callbacks run on the spinning thread and hand inputs to the queue under a short lock; the control thread takes the same
lock once per tick and publishes joint_command; everything else that a tick causes goes through the sender thread.
"""

import gc
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.timer import Timer
from so101_node.diagnostics.publishing import node_name
from so101_node.log_lines import LogLevel, LogLine, write_line
from so101_node.parameters import ParameterError
from so101_node.parameters.declaring import changed, declare
from so101_node.process import run_process
from so101_node.process.lifecycle import AutostartNode
from so101_node.process.precedence import take_precedence
from so101_node.protocol import FloatArray
from so101_node.threads import FatalSlot, FixedRateThread, Tick
from so101_node.timing.timers import create_timer
from so101_node.topics import graph
from std_srvs.srv import Trigger

from so101_action_queue.core.decisions import ServiceResult
from so101_action_queue.ros import diagnosis
from so101_action_queue.ros.correction_diagnosis import correction_entry
from so101_action_queue.ros.inlets import Inlets
from so101_action_queue.ros.outlets import Outlets
from so101_action_queue.ros.parameters import QueueParameters
from so101_action_queue.ros.shared_queue import SharedQueue

if TYPE_CHECKING:
    from so101_action_queue.ros.correction_frames import CorrectionFrames
    from so101_action_queue.ros.queue_correction import QueueCorrection

HOUSEKEEPING_S = 0.1
DIAGNOSTICS_EVERY = 10  # times housekeeping
LOOK_FOR_CAMERAS_EVERY = 3  # times housekeeping, and only while the policy reads one that was not found


class ActionQueueNode(AutostartNode):
    """Lifecycle node around one SharedQueue. It listens, ticks and publishes while active; inactive it is deaf."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("action_queue", **kwargs)
        self._values = declare(self, QueueParameters)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._queue = SharedQueue(self._values.settings(), self._values.fresh_frames_within_s)
        self._fatal = FatalSlot()
        self._outlets: Outlets | None = None  # while configured
        self._correction: QueueCorrection | None = None
        self._inlets: Inlets | None = None  # the rest: while active
        self._frames: CorrectionFrames | None = None
        self._ticker: FixedRateThread | None = None
        self._housekeeping: Timer | None = None
        self._start_wanted = False
        self._start_refusal = ""
        self._houses_kept = 0
        self._diagnosed: tuple[object, ...] = ()

    # -- lifecycle ---------------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the correction, if one is named; create publishers and services."""
        if self._values.chosen_correction and not self._load_correction():
            return TransitionCallbackReturn.FAILURE
        take_precedence(self, self._values.niceness, min(self._values.thread_priority, self._values.tick_priority))
        self._outlets = Outlets(self, self._values.joint_names, 1.0 / self._values.fps)
        self._services_offered = [
            self.create_service(Trigger, "~/start", self._on_start),
            self.create_service(Trigger, "~/stop", self._on_stop),
            self.create_service(Trigger, "~/pause", self._on_pause),
        ]
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to listen and tick; nothing is commanded before `start`."""
        assert self._outlets is not None
        self._queue.open(self._outlets.open_sender(self._fatal).append)
        self._inlets = Inlets(self, self._queue, self._values.joint_names, self._publish_spec, self._show_plan)
        self._frames = self._open_frames()
        self._housekeeping = create_timer(self, HOUSEKEEPING_S, self._keep_house)
        self._start_wanted = self._values.start_on_activate
        gc.collect()  # before the first tick: a full collection holds the interpreter for up to 90 ms
        gc.freeze()
        self._ticker = FixedRateThread(
            "tick", self._values.period_ns, self._tick, self._fatal, realtime_priority=self._values.tick_priority
        )
        self._ticker.start()
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop commanding; the driver holds."""
        self._end_threads()
        if self._inlets:
            self._inlets.close()
        if self._frames:
            self._frames.close()
        if self._housekeeping:
            self.destroy_timer(self._housekeeping)
        self._inlets = self._frames = self._housekeeping = None
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release publishers and services."""
        for service in self._services_offered:
            self.destroy_service(service)
        if self._outlets:
            self._outlets.destroy()
        self._outlets = self._correction = None
        self._queue.correct_with(None)
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
        self._queue.close()
        if self._outlets:
            self._outlets.close_sender()

    # -- correction ----------------------------------------------------------------------------------------------------

    def _load_correction(self) -> bool:
        """Read it; where that fails, say so. Imported here: its image codecs cost memory that others do not need."""
        from so101_correction.errors import CorrectionError

        from so101_action_queue.ros.queue_correction import load

        try:
            self._correction = load(self._values)
        except CorrectionError as error:
            name = "correction_argument" if self._values.correction_argument else "correction_file"
            self.failure = f"{error} (parameter {name})"
            return False
        self._queue.correct_with(self._correction)
        return True

    def _open_frames(self) -> "CorrectionFrames | None":
        if self._correction is None:
            return None
        from so101_action_queue.ros.correction_frames import CorrectionFrames

        rename = self._values.rename_map
        return CorrectionFrames(self, self._correction.file, self._correction.corrector, self._fatal, rename)

    # -- control thread ----------------------------------------------------------------------------------------------

    def _tick(self, tick: Tick) -> None:
        outlets, inlets = self._outlets, self._inlets
        if outlets is None or inlets is None:
            return
        outcome = self._queue.tick(tick.now_ns, inlets.measured(tick.now_ns))
        if outcome is None:
            return
        if outcome.command is not None:
            outlets.command(outcome.command)
        if outcome.decision.request is not None:
            outlets.request(outcome.decision.request, outcome.frame_wait_s)
        if outcome.decision.fatal:
            self._fatal.put(outcome.decision.fatal)
        outlets.status(outcome, tick)

    # -- main thread: services and parameters ------------------------------------------------------------------------

    def _on_start(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._answer(response, self._queue.start())

    def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._start_wanted = False
        return self._answer(response, self._queue.stop())

    def _on_pause(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._start_wanted = False
        return self._answer(response, self._queue.pause())

    def _answer(self, response: Trigger.Response, result: ServiceResult | None) -> Trigger.Response:
        if result is None:
            result = ServiceResult(False, f"not active: {self.what_to_do()}")
        response.success, response.message = result.done, result.reason
        self._publish_spec()
        return response

    def _on_set_parameters(self, updates: list[Parameter]) -> SetParametersResult:
        try:
            self._values = changed(QueueParameters, self._values, updates)
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if self._queue.change(self._values.settings()):
            self._publish_spec()
        return SetParametersResult(successful=True)

    def _publish_spec(self, again: bool = False) -> None:
        """Publish the spec if it is news, or `again`."""
        in_force = self._queue.spec_in_force()
        if in_force is not None and self._outlets is not None:
            self._outlets.policy_spec(in_force.spec, in_force.session, in_force.task, again)

    def _show_plan(self, rows: FloatArray) -> None:
        if self._outlets:
            self._outlets.plan(rows)

    # -- main thread: housekeeping -----------------------------------------------------------------------------------

    def _keep_house(self) -> None:
        view = self._queue.look()
        if view is None:
            return
        for line in view.lines:
            write_line(self.get_logger(), line)
        if self._inlets and self._queue.searches_cameras and self._houses_kept % LOOK_FOR_CAMERAS_EVERY == 0:
            self._inlets.look_for_cameras()
        self._fatal.check()
        if self._start_wanted:
            self._start_when_possible()
        cause = view.correction.cause_name if view.correction else ""
        shown = (view.status.state, view.status.cause, len(view.rivals), cause)
        if self._outlets and (shown != self._diagnosed or self._houses_kept % DIAGNOSTICS_EVERY == 0):
            self._diagnosed = shown
            publishers, topic = graph.publishers(self, "action_chunk"), graph.shown(self, "action_chunk")
            foreign = f"{publishers} nodes publish {topic}" if publishers > 1 else ""
            latency = self._queue.latency()
            entries = diagnosis.entries(node_name(self), view.status, view.rivals, foreign, latency)
            if view.correction:
                decode_p99_s = self._frames.decode_p99_s() if self._frames else math.nan
                entries.append(correction_entry(node_name(self), replace(view.correction, decode_p99_s=decode_p99_s)))
            self._outlets.diagnostics(entries)
        self._houses_kept += 1

    def _start_when_possible(self) -> None:
        result = self._queue.start()
        if result is None:
            return
        if result.done:
            self._start_wanted = False
            write_line(self.get_logger(), LogLine(LogLevel.INFO, "started (start_on_activate)"))
            self._publish_spec()
        elif result.reason != self._start_refusal:
            self._start_refusal = result.reason
            write_line(self.get_logger(), LogLine(LogLevel.INFO, f"waiting to start: {result.reason}"))


def main() -> None:
    """Run the node as a process."""
    run_process(ActionQueueNode, events=True)


if __name__ == "__main__":
    main()
