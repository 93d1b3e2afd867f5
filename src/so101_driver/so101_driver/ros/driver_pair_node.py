# SPDX-License-Identifier: Apache-2.0
"""The node driver_pair: two drivers in namespaces of their own, as one driver of all their joints.

Topics and services are those of the contract of a driver (docs/reference/driver_contract.md), so that the action queue
and all else that speaks to a driver need not know that there are two.
"""

import secrets
from functools import partial
from typing import Any, Final

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState
from so101_msgs.msg import DriverStatus, JointLimits, ServoTelemetry
from so101_node.diagnostics import Level
from so101_node.diagnostics.publishing import DiagnosticsPublisher, entry, node_name
from so101_node.log_lines import LogLevel, LogLine, write_line
from so101_node.parameters.declaring import declare
from so101_node.process import run_process
from so101_node.process.precedence import take_precedence
from so101_node.protocol import DriverState
from so101_node.threads import FatalSlot, NewestValueThread
from so101_node.timing import clock
from so101_node.timing.start_grace import StartGrace
from so101_node.timing.timers import create_timer
from so101_node.topics import graph
from so101_node.topics.qos import JOINT_COMMAND, JOINT_STATES_READER, JOINT_STATES_WRITER, LATCHED, TELEMETRY

from so101_driver.core.pair_gate import PairConfig, PairGate, PairShown
from so101_driver.core.paired_messages import PairedMessages
from so101_driver.ros import pair_messages as messages
from so101_driver.ros.diagnosis import FOREIGN_COMMANDS, ONE_COMMANDER
from so101_driver.ros.pair_diagnosis import diagnose
from so101_driver.ros.pair_parameters import DriverPairParameters
from so101_driver.ros.pair_services import PairServices

WATCH_S: Final = 0.02
_STATUS_NS: Final = 150_000_000  # each driver says its own at 10 Hz
_TELEMETRY_SKEW_S: Final = 0.3  # it comes at 5 Hz


class DriverPairNode(Node):
    """Commands pass on the thread that spins the node; what is told to others goes through a thread of its own."""

    def __init__(self) -> None:
        super().__init__("driver_pair")
        p = declare(self, DriverPairParameters)
        take_precedence(self, p.niceness, p.thread_priority)
        self._log: Any = self.get_logger()  # type: ignore[no-untyped-call]
        self._arms = p.arms
        self._own_id = secrets.randbits(63)
        config = PairConfig(p.arms, p.engage_tolerance_rad, p.engage_within_s, p.arm_silent_s)
        self._gate = PairGate(config, clock.now_ns())
        self._states = PairedMessages[JointState](p.arms, p.max_skew_s)
        self._telemetry = PairedMessages[ServoTelemetry](p.arms, _TELEMETRY_SKEW_S)
        self._statuses: dict[str, DriverStatus] = {}
        self._news: set[str] = set()  # arms whose status is newer than what was told last
        self._limits: dict[str, JointLimits] = {}
        self._shown: PairShown | None = None
        self._told_ns = 0
        self._limits_id = 0
        self._foreign = ""
        self._grace = StartGrace(clock.now_ns())
        self._fatal = FatalSlot("both arms hold")
        self._diagnostics = DiagnosticsPublisher(self)
        outlets = {
            "driver_status": self.create_publisher(DriverStatus, "driver_status", LATCHED).publish,
            "joint_states": self.create_publisher(JointState, "joint_states", JOINT_STATES_WRITER).publish,
            "joint_limits": self.create_publisher(JointLimits, "joint_limits", LATCHED).publish,
            "servo_telemetry": self.create_publisher(ServoTelemetry, "servo_telemetry", TELEMETRY).publish,
        }
        self._sender = NewestValueThread("publish", outlets, self._fatal)
        self._sender.start()
        self._commands = {
            arm: self.create_publisher(JointState, f"{arm}/joint_command", JOINT_COMMAND) for arm in p.arms
        }
        for arm in p.arms:
            for kind, topic, heard, qos in (
                (JointState, "joint_states", self._on_joint_state, JOINT_STATES_READER),
                (DriverStatus, "driver_status", self._on_status, LATCHED),
                (JointLimits, "joint_limits", self._on_limits, LATCHED),
                (ServoTelemetry, "servo_telemetry", self._on_telemetry, TELEMETRY),
            ):
                self.create_subscription(kind, f"{arm}/{topic}", partial(heard, arm), qos)
        self.create_subscription(JointState, "joint_command", self._on_command, JOINT_COMMAND)
        self._both = PairServices(
            self,
            p.arms,
            {"emergency_stop": self._stop_first, "reset": str, "park": self._why_moving, "release": self._why_moving},
        )
        create_timer(self, WATCH_S, self._watch)
        create_timer(self, 0.1, self._diagnose)
        create_timer(self, 0.1, self._fatal.check)

    def on_exit(self) -> None:
        """Nothing is commanded any more: both drivers hold."""
        self._sender.stop()

    # -- of the drivers ----------------------------------------------------------------------------------------------

    def _on_joint_state(self, arm: str, message: JointState) -> None:
        now_ns = clock.now_ns()
        status = self._statuses.get(arm)
        at = dict(zip(message.name, message.position, strict=False))
        if status is None or any(name not in at for name in status.joint_names):
            return  # the order of the joints is the status's; a driver sends no state that lacks one
        positions = np.array([at[name] for name in status.joint_names], dtype=np.float64)
        self._gate.hear_positions(arm, now_ns, positions)
        both = self._states.hear(arm, now_ns, message)
        if both is not None:
            self._sender.offer("joint_states", messages.joint_state(self._arms, both))

    def _on_status(self, arm: str, message: DriverStatus) -> None:
        now_ns = clock.now_ns()
        try:
            report = messages.report(message)
        except ValueError as error:
            self._fatal.put(f"{arm}/driver_status: {error}: the driver is of another version")
            return
        self._statuses[arm] = message
        self._news.add(arm)
        self._gate.hear_status(arm, now_ns, report)
        self._tell(now_ns)

    def _on_limits(self, arm: str, message: JointLimits) -> None:
        self._limits[arm] = message
        self._tell(clock.now_ns())

    def _on_telemetry(self, arm: str, message: ServoTelemetry) -> None:
        both = self._telemetry.hear(arm, clock.now_ns(), message)
        if both is not None:
            self._sender.offer("servo_telemetry", messages.servo_telemetry(self._arms, both))

    # -- for the drivers ---------------------------------------------------------------------------------------------

    def _on_command(self, message: JointState) -> None:
        joints = {arm: status.joint_names for arm, status in self._statuses.items()}
        wanted = messages.split(message, joints) if len(joints) == len(self._arms) else "not both arms were heard yet"
        if isinstance(wanted, str):
            self._gate.rejected += 1
            self._log.warning(f"joint_command ignored: {wanted}", throttle_duration_sec=1.0)
        elif self._gate.command(clock.now_ns(), wanted):
            for arm, positions in wanted.items():
                command = JointState(name=joints[arm], position=positions.tolist())
                command.header.stamp = message.header.stamp
                self._commands[arm].publish(command)

    def _stop_first(self) -> str:
        """No command goes on while the drivers' own stops are under way."""
        self._gate.stop(clock.now_ns())
        return ""

    def _why_moving(self) -> str:
        """Why neither arm may park or be released: a driver alone cannot know of the other."""
        moving = [arm for arm, status in self._statuses.items() if status.state == DriverStatus.ENGAGED]
        return f"not while {' and '.join(moving)} moves: stop the action queue first" if moving else ""

    # -- told --------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        now_ns = clock.now_ns()
        self._gate.watch(now_ns, WATCH_S)
        self._both.watch(now_ns)
        self._tell(now_ns)

    def _tell(self, now_ns: int) -> None:
        """Publish status at each change and with each news of both arms, limits wherever a driver is another one."""
        shown = self._gate.shown(now_ns)
        if len(self._limits) == len(self._arms):
            limits = [self._limits[arm] for arm in self._arms]
            pair_id = messages.driver_id(self._own_id, (one.driver_id for one in limits))
            if pair_id != self._limits_id:
                self._limits_id = pair_id
                self._sender.offer("joint_limits", messages.joint_limits(self._arms, limits, pair_id))
        if shown == self._shown and len(self._news) < len(self._arms) and now_ns - self._told_ns < _STATUS_NS:
            return
        self._news.clear()
        self._log_change(shown, now_ns)
        self._shown, self._told_ns = shown, now_ns
        statuses = [self._statuses[arm] for arm in self._arms if arm in self._statuses]
        whole = statuses if len(statuses) == len(self._arms) else []
        pair_id = messages.driver_id(self._own_id, (status.driver_id for status in statuses))
        alarm = f"{self._foreign}: stop all but one" if self._foreign else ""
        status = messages.driver_status(self._arms, whole, shown, pair_id, self._gate.rejected, alarm)
        if not whole or shown.state is DriverState.NO_BUS:
            status.header.stamp = self.get_clock().now().to_msg()
        self._sender.offer("driver_status", status)

    def _log_change(self, shown: PairShown, now_ns: int) -> None:
        if shown.state is not DriverState.NO_BUS:
            self._grace.over()
        if self._shown and (shown.state, shown.cause) == (self._shown.state, self._shown.cause):
            return
        is_fault = diagnose(shown).level is Level.ERROR and not self._grace.covers(now_ns)
        text = " ".join(part for part in (shown.state.name, shown.cause, shown.message) if part)
        write_line(self._log, LogLine(LogLevel.ERROR if is_fault else LogLevel.INFO, text))

    def _diagnose(self) -> None:
        commanders, topic = graph.publishers(self, "joint_command"), graph.shown(self, "joint_command")
        self._foreign = f"{commanders} nodes publish {topic}" if commanders > 1 else ""
        if self._shown is None:
            return
        name, cause = node_name(self), diagnose(self._shown)
        values = {"mode": self._gate.mode.name, "joint_states_left_out": self._states.left_out}
        alarm = FOREIGN_COMMANDS if self._foreign else ONE_COMMANDER
        self._diagnostics.offer(
            [
                entry(f"{name}: arms", cause, self._shown.message, values),
                entry(f"{name}: commands", alarm, self._foreign),
            ]
        )


def main() -> None:
    """Run the node until a signal."""
    run_process(DriverPairNode)


if __name__ == "__main__":
    main()
