# SPDX-License-Identifier: Apache-2.0
"""The node so101_driver: topics and services around the control cycle of one arm."""

import secrets
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import JointState
from so101_msgs.msg import DriverStatus, JointLimits, ServoTelemetry
from so101_node.diagnostics.publishing import DiagnosticsPublisher, node_name
from so101_node.log_lines import write_line
from so101_node.parameters.declaring import declare
from so101_node.process import run_process
from so101_node.process.lifecycle import AutostartNode
from so101_node.process.precedence import take_precedence
from so101_node.protocol import JOINT_NAMES, DriverState
from so101_node.threads import FatalSlot, NewestValueThread
from so101_node.timing import clock
from so101_node.timing.timers import create_timer
from so101_node.topics import graph
from so101_node.topics.qos import JOINT_COMMAND, JOINT_STATES_WRITER, LATCHED, TELEMETRY
from std_srvs.srv import Trigger

from so101_driver.core.arm import Arm
from so101_driver.core.control_cycle import ControlCycle, Snapshot
from so101_driver.core.errors import DriverError
from so101_driver.core.gate_values import GateReply
from so101_driver.core.safety_gate import SafetyGate
from so101_driver.core.servo_settings import repair_command
from so101_driver.ros import driver_messages as messages
from so101_driver.ros.bus_thread import BusThread
from so101_driver.ros.driver_parameters import DriverParameters, gains_of
from so101_driver.ros.gate_setup import PERIOD_S, gate_config, motion_limits, park_target
from so101_driver.ros.state_log import StateLog
from so101_driver.servos.calibration_files import find_calibration, known_files
from so101_driver.servos.feetech_bus import FeetechBus
from so101_driver.servos.serial_ports import described_ports

_STATUS_TICKS: Final = 6  # 10 Hz
_TELEMETRY_TICKS: Final = 12  # 5 Hz


class So101DriverNode(AutostartNode):
    """Driver of one SO-101 follower arm."""

    def __init__(self) -> None:
        super().__init__("so101_driver")
        self._settings = declare(self, DriverParameters)
        self._log: Any = self.get_logger()  # type: ignore[no-untyped-call]
        self._port_wait_end_s: float | None = None
        self._driver_id = secrets.randbits(63) | 1
        self._alarm = ""
        self._notes: list[str] = []  # what is odd about the calibration
        self._arm: Arm | None = None
        self._bus_thread: BusThread | None = None
        self._sender: NewestValueThread | None = None
        # A thread that died must end the process: the servos hold, and a restart finds the arm where it is.
        self._fatal = FatalSlot("the arm keeps holding")
        self._snapshot: Snapshot | None = None
        self._shown: tuple[DriverState, str] | None = None
        self._state_log = StateLog(clock.now_ns())
        self._joint_states = self.create_publisher(JointState, "joint_states", JOINT_STATES_WRITER)
        self._status = self.create_publisher(DriverStatus, "driver_status", LATCHED)
        self._limits = self.create_publisher(JointLimits, "joint_limits", LATCHED)
        self._telemetry = self.create_publisher(ServoTelemetry, "servo_telemetry", TELEMETRY)
        self._diagnostics = DiagnosticsPublisher(self)
        self._warm = ""  # joints that are
        self._foreign = ""  # who else publishes joint_command
        self.create_subscription(JointState, "joint_command", self._on_command, JOINT_COMMAND)
        for name, ask in (
            ("emergency_stop", SafetyGate.emergency_stop),
            ("reset", SafetyGate.reset),
            ("park", lambda gate: gate.park(clock.now_ns())),
            ("release", SafetyGate.release),
        ):
            self.create_service(Trigger, f"~/{name}", self._service(name, ask))
        create_timer(self, 0.2, self._watch)
        create_timer(self, 0.1, self._diagnose)
        create_timer(self, 0.1, self._fatal.check)

    def may_autostart(self) -> bool:
        """Whether the port is there, or was waited for long enough."""
        port, limit_s = self._settings.port, self._settings.wait_for_port_s
        if Path(port).exists():
            return True
        if self._port_wait_end_s is None:
            self._port_wait_end_s = time.monotonic() + limit_s
            if limit_s > 0:
                self._log.info(f"waiting for {port}, {limit_s:g} s at most")
        return time.monotonic() >= self._port_wait_end_s

    # --- lifecycle --------------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the calibration, open the port and make sure that the right servos answer. Moves nothing."""
        p = self._settings
        try:
            file = find_calibration(p.robot_id, p.calibration_dir, p.port)
            calibration = file.load(p.full_turn_joints)
            limits = motion_limits(p, calibration)
            park = park_target(p, calibration, limits)
            gains = gains_of(p)
            repair = repair_command(p.port, p.robot_id, p.calibration_dir, gains, p.full_turn_joints)
            bus = FeetechBus(p.port, reply_timeout_s=p.reply_timeout_s)
            known = known_files(p.calibration_dir)
            self._arm = Arm(
                bus, calibration, shadow=p.shadow, repair=repair, gains=gains, known=known, ports=described_ports
            )
            self._arm.open()
            self._arm.identify()
            standing = calibration.at_seam(self._arm.read().positions)
            self._notes = [*file.notes, *calibration.notes(p.full_turn_joints), *standing, *park.notes]
        except DriverError as error:
            if self._arm is not None:
                self._arm.close()
            self.failure = str(error)
            if not self.get_parameter("autostart").value:  # autostart ends the process with this line
                self._log.error(self.failure)
            return TransitionCallbackReturn.FAILURE
        take_precedence(self, p.niceness, min(p.thread_priority, p.tick_priority))
        for note in self._notes:
            self._log.warning(note)
        self._limits.publish(messages.joint_limits(calibration, limits, self._driver_id, self._stamp()))
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the bus thread; torque comes on without moving the arm."""
        assert self._arm is not None  # on_configure succeeded
        config = gate_config(self._settings, self._arm.calibration)
        cycle = ControlCycle(self._arm, SafetyGate(config))
        self._state_log = StateLog(clock.now_ns())
        self._sender = sender = NewestValueThread("publish", {"snapshot": self._publish}, self._fatal)
        self._bus_thread = BusThread(
            cycle, PERIOD_S, partial(sender.offer, "snapshot"), self._fatal, self._settings.tick_priority
        )
        sender.start()
        self._bus_thread.start()
        self._log.info(f"driving {self._settings.port}{' in shadow' if self._settings.shadow else ''}")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Brake and stop ticking; the arm holds."""
        self._stop_threads()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the port; the arm holds."""
        self._close()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As on_exit."""
        self.on_exit()
        return TransitionCallbackReturn.SUCCESS

    def on_exit(self) -> None:
        """Brake, then leave the arm holding, or limp with `release_on_exit`."""
        self._stop_threads()
        if self._arm is not None and self._arm.is_open:
            if self._settings.release_on_exit:
                try:
                    self._arm.torque_off()
                except DriverError as error:
                    self._log.error(str(error))
            elif not self._settings.shadow and (self._snapshot is None or self._snapshot.status.torque.any()):
                release = f"ros2 run so101_driver configure_servos --port {self._settings.port} --release"
                self._log.info(f"the arm keeps holding; `{release}` switches its torque off")
        self._close()

    def _stop_threads(self) -> None:
        if self._bus_thread is not None:
            self._bus_thread.stop()
            self._bus_thread = None
        if self._sender is not None:
            self._sender.stop()
            self._sender = None

    def _close(self) -> None:
        if self._arm is not None:
            self._arm.close()
        self._arm = None

    # --- incoming ---------------------------------------------------------------------------------------------------

    def _on_command(self, message: JointState) -> None:
        """Hand the command over in our joint order; a joint that is missing makes the whole command unreadable."""
        if self._bus_thread is None:
            return
        by_name = dict(zip(message.name, message.position, strict=False))
        if len(message.name) != len(message.position) or any(name not in by_name for name in JOINT_NAMES):
            self._bus_thread.command(None, clock.now_ns())
            missing = [name for name in JOINT_NAMES if name not in by_name]
            self._log.warning(
                f"joint_command ignored: {len(message.name)} names, {len(message.position)} positions, "
                f"missing joints [{', '.join(missing)}]",
                throttle_duration_sec=1.0,
            )
            return
        self._bus_thread.command(np.array([by_name[name] for name in JOINT_NAMES]), clock.now_ns())

    def _service(
        self, name: str, ask: Callable[[SafetyGate], GateReply]
    ) -> Callable[[Trigger.Request, Trigger.Response], Trigger.Response]:
        def respond(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            if self._bus_thread is None:
                response.success, response.message = False, f"the driver is not active: {self.what_to_do()}"
                return response
            outcome = self._bus_thread.request(ask)
            response.success, response.message = outcome.accepted, outcome.message
            self._log.info(f"{name}: {outcome.message}")
            return response

        return respond

    # --- outgoing ---------------------------------------------------------------------------------------------------

    def _publish(self, snapshot: Snapshot) -> None:
        """Called on the sender's thread with each snapshot."""
        self._snapshot = snapshot
        stamp = self._stamp()
        if snapshot.reading is not None and snapshot.reading.complete:
            self._joint_states.publish(messages.joint_state(snapshot.reading, stamp))
        shown = (snapshot.status.state, snapshot.status.cause)
        changed, self._shown = shown != self._shown, shown
        if changed or snapshot.tick % _STATUS_TICKS == 0:
            alarm = "; ".join(part for part in (self._alarm, self._warm) if part)
            self._status.publish(messages.driver_status(snapshot, self._driver_id, self._settings.shadow, alarm, stamp))
        if snapshot.reading is not None and snapshot.tick % _TELEMETRY_TICKS == 0:
            self._telemetry.publish(messages.servo_telemetry(snapshot, snapshot.reading, stamp))
        line = self._state_log.see(snapshot.status, clock.now_ns())
        if line is not None:
            write_line(self._log, line)

    def _watch(self) -> None:
        """Who else publishes commands: five times a second, since a foreign one may move the arm."""
        commanders, topic = graph.publishers(self, "joint_command"), graph.shown(self, "joint_command")
        self._foreign = f"{commanders} nodes publish {topic}" if commanders > 1 else ""
        reading = None if self._snapshot is None else self._snapshot.reading
        if reading is not None:
            warn_c, max_c = self._settings.warn_temperature_c, self._settings.max_temperature_c
            self._warm = messages.warm_joints(reading, warn_c, max_c)
        if self._warm:
            self._log.warning(self._warm, throttle_duration_sec=60.0)
        self._alarm = f"{self._foreign}: stop all but one" if self._foreign else ""
        if self._alarm:
            self._log.warning(self._alarm, throttle_duration_sec=10.0)

    def _diagnose(self) -> None:
        if self._snapshot is not None and self._bus_thread is not None:
            missed = self._bus_thread.missed_deadlines
            self._diagnostics.offer(
                messages.diagnostics(
                    self._snapshot,
                    node_name(self),
                    self._settings.port,
                    missed,
                    self._foreign,
                    self._notes,
                    self._warm,
                    self._state_log.is_starting,
                )
            )

    def _stamp(self) -> Any:
        return self.get_clock().now().to_msg()


def main() -> None:
    """Run the node until a signal."""
    run_process(So101DriverNode)


if __name__ == "__main__":
    main()
