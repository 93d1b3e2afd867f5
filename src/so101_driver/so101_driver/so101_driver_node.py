"""The node so101_driver: topics and services around the control cycle of one arm."""

import secrets
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import JointState
from so101_msgs.msg import DriverStatus, JointLimits, ServoTelemetry
from so101_node.diagnostics import DiagnosticsPublisher, Level, node_name
from so101_node.lifecycle import AutostartNode
from so101_node.parameters import declare
from so101_node.precedence import take_precedence
from so101_node.process import NodeError, run_process
from so101_node.qos import JOINT_COMMAND, JOINT_STATES_WRITER, LATCHED, TELEMETRY
from so101_node.timers import create_timer
from std_srvs.srv import Trigger

from so101_driver import driver_messages as messages
from so101_driver.arm import Arm
from so101_driver.bus_thread import BusThread
from so101_driver.calibration import JOINT_NAMES, Calibration
from so101_driver.calibration_files import find_calibration, known_files
from so101_driver.control_cycle import ControlCycle, Snapshot
from so101_driver.driver_parameters import DriverParameters, gains_of
from so101_driver.errors import CalibrationError, DriverError
from so101_driver.fault_monitor import FaultLimits
from so101_driver.feetech_bus import FeetechBus
from so101_driver.gate_values import GateConfig, Outcome, State
from so101_driver.motion_limits import MotionLimits
from so101_driver.safety_gate import SafetyGate
from so101_driver.servo_settings import repair_command
from so101_driver.snapshot_publisher import SnapshotPublisher
from so101_driver.state_log import StateLog
from so101_node import clock, graph

_PERIOD_S: Final = 1.0 / 60.0
_STATUS_TICKS: Final = 6  # 10 Hz
_TELEMETRY_TICKS: Final = 12  # 5 Hz


class So101DriverNode(AutostartNode):
    """Driver of one SO-101 follower arm."""

    def __init__(self) -> None:
        super().__init__("so101_driver")
        self._settings = declare(self, DriverParameters)
        self._log: Any = self.get_logger()  # type: ignore[no-untyped-call]
        self._driver_id = secrets.randbits(63) | 1
        self._alarm = ""
        self._notes: list[str] = []  # what is odd about the calibration
        self._arm: Arm | None = None
        self._bus_thread: BusThread | None = None
        self._sender: SnapshotPublisher | None = None
        self._snapshot: Snapshot | None = None
        self._shown: tuple[State, str] | None = None
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
        create_timer(self, 0.1, self._check_threads)

    # --- lifecycle --------------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the calibration, open the port and make sure that the right servos answer. Moves nothing."""
        p = self._settings
        try:
            file = find_calibration(p.robot_id, p.calibration_dir, p.port)
            calibration = file.load(p.full_turn_joints)
            limits = _motion_limits(p, calibration)
            gains = gains_of(p)
            repair = repair_command(p.port, p.robot_id, p.calibration_dir, gains, p.full_turn_joints)
            bus = FeetechBus(p.port, reply_timeout_s=p.reply_timeout_s)
            known = known_files(p.calibration_dir)
            self._arm = Arm(bus, calibration, shadow=p.shadow, repair=repair, gains=gains, known=known)
            self._arm.open()
            self._arm.identify()
            standing = calibration.at_seam(self._arm.read().positions)
            self._notes = [*file.notes, *calibration.notes(p.full_turn_joints), *standing]
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
        limits = _motion_limits(self._settings, self._arm.calibration)
        cycle = ControlCycle(self._arm, SafetyGate(_gate_config(self._settings, limits)))
        self._state_log = StateLog(clock.now_ns())
        self._sender = SnapshotPublisher(self._publish)
        self._bus_thread = BusThread(cycle, _PERIOD_S, self._sender.offer, self._settings.tick_priority)
        self._sender.start()
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
        self, name: str, ask: Callable[[SafetyGate], Outcome]
    ) -> Callable[[Trigger.Request, Trigger.Response], Trigger.Response]:
        def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            if self._bus_thread is None:
                response.success, response.message = False, f"the driver is not active: {self.what_to_do()}"
                return response
            outcome = self._bus_thread.request(ask)
            response.success, response.message = outcome.accepted, outcome.message
            self._log.info(f"{name}: {outcome.message}")
            return response

        return answer

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
        if line is not None and line.level is Level.ERROR:
            self._log.error(line.text)
        elif line is not None:
            self._log.info(line.text)

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

    def _check_threads(self) -> None:
        """A thread that died must end the process: the servos hold, and a restart finds the arm where it is."""
        for thread in (self._bus_thread, self._sender):
            if thread is not None and thread.failure is not None:
                raise NodeError(f"{type(thread.failure).__name__}: {thread.failure}; the arm keeps holding")

    def _stamp(self) -> Any:
        return self.get_clock().now().to_msg()


def _motion_limits(p: DriverParameters, calibration: Calibration) -> MotionLimits:
    lower = np.maximum(calibration.lower_rad() + p.limit_margin_rad, calibration.soft_lower_rad())
    upper = np.minimum(calibration.upper_rad() - p.limit_margin_rad, calibration.soft_upper_rad())
    for name, low, high in zip(JOINT_NAMES, lower, upper, strict=True):
        if low >= high:
            raise CalibrationError(
                f"limit_margin_rad = {p.limit_margin_rad:g}: leaves {name} no room within its calibrated range of "
                f"{high - low + 2 * p.limit_margin_rad:.2f} rad"
            )
    return MotionLimits(
        lower=lower,
        upper=upper,
        max_speed=np.array(p.max_joint_speed_rad_s),
        max_acceleration=np.array(p.max_joint_acceleration_rad_s2),
    )


def _gate_config(p: DriverParameters, limits: MotionLimits) -> GateConfig:
    return GateConfig(
        limits=limits,
        park_positions=np.array(p.park_positions),
        faults=FaultLimits(
            stall_current_a=p.stall_current_a,
            stall_error_rad=p.stall_error_rad,
            stall_time_s=p.stall_time_s,
            max_temperature_c=p.max_temperature_c,
            min_voltage_v=p.min_voltage_v,
            gripper_overload_latches=p.gripper_overload_latches,
        ),
        period_s=_PERIOD_S,
        interpolate=p.interpolate,
        engage_tolerance_rad=p.engage_tolerance_rad,
        command_timeout_s=p.command_timeout_s,
        implausible_rad=p.implausible_rad,
        hold_deceleration_rad_s2=p.hold_deceleration_rad_s2,
        park_speed_rad_s=p.park_speed_rad_s,
        park_tolerance_rad=p.park_tolerance_rad,
        rests_when_parked=p.rests_when_parked,
        release_anywhere=p.release_anywhere,
        hold_limit_s=p.hold_limit_s,
    )


def main() -> None:
    """Run the node until a signal."""
    run_process(So101DriverNode)


if __name__ == "__main__":
    main()
