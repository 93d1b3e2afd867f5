# SPDX-License-Identifier: Apache-2.0
"""The virtual arm as one process: servo bus on a pty, MuJoCo, shared state and control socket in one loop.

One thread does everything: it sleeps in select until a byte arrives, an answer is due or a batch of physics steps is.
"""

from __future__ import annotations

import select
import time

from so101_sim.arm.control_commands import CommandError, ControlCommands
from so101_sim.arm.control_socket import ControlSocket
from so101_sim.arm.pty_port import PtyPort
from so101_sim.arm.real_time import RealTimePacer
from so101_sim.arm.run_folder import CALIBRATION_NAME, CONTROL_NAME, PORT_NAME, STATE_NAME
from so101_sim.arm.shared_state import SharedState, StateSnapshot
from so101_sim.arm.virtual_arm_options import Options
from so101_sim.core.arm_servos import write_calibration
from so101_sim.core.virtual_bus import VirtualBus
from so101_sim.world import scene
from so101_sim.world.plant import ArmPlant

BATCH_NS = 8_000_000
"""Physics catches up this often, ns, and before each bus transaction. Half of it costs 3 % of a core more."""

SILENCE_NS = 300_000_000
"""A bus that is silent for this long after Ctrl-C, ns, is in use no more; a driver asks every 17 ms."""

FAREWELL_NS = 3_000_000_000
"""The longest that users of the bus are waited for after Ctrl-C, ns."""

MAX_LAG_NS = 100_000_000
"""A longer pause of this process is given up, not caught up with; see RealTimePacer."""


class VirtualArm:
    """Everything that runs in the process; `run` until stopped, then `close`."""

    def __init__(self, options: Options) -> None:
        """Claims the folder and loads the model. SimulationError, OSError if that fails."""
        self._options = options
        folder = options.sim_dir
        folder.mkdir(parents=True, exist_ok=True)
        self._state = SharedState.create(folder / STATE_NAME)
        model = scene.build_model()
        data = scene.new_data(model)
        scene.place_objects(model, data, options.task, options.seed)
        self._plant = ArmPlant(model, data, scene.before_step)
        if not options.torque_off:
            self._plant.enable_torque()
        self._bus = VirtualBus(self._plant.servos, byte_ns=round(options.wire_byte_us * 1000))
        self._scene_seed, self._scene_count = options.seed, 0
        self._lockstep_ns = 0
        self._heard_ns = 0  # when the last bytes came over the bus
        self._replug_ns: int | None = None
        write_calibration(folder / CALIBRATION_NAME, self._plant.calibration)
        self._port = PtyPort(folder / PORT_NAME)
        self._control = ControlSocket(folder / CONTROL_NAME, ControlCommands(self, self._plant, self._bus).reply)
        self._port.plug()
        self._pacer = RealTimePacer(self._plant.step_ns, MAX_LAG_NS, time.monotonic_ns())
        self._publish()

    def run(self, stop_fds: list[int]) -> None:
        """Serves until one of `stop_fds` is readable."""
        while not self._serve_once(stop_fds, self._timeout_s()):
            pass

    def serve_to_the_end(self) -> None:
        """Serves those who still talk to the bus, as hardware does that nobody switches off: until it is silent.

        Ctrl-C ends all processes of a launch at once; a driver whose port went first would report a lost arm.
        """
        limit_ns = time.monotonic_ns() + FAREWELL_NS
        while time.monotonic_ns() < min(limit_ns, self._heard_ns + SILENCE_NS):
            due_s = self._timeout_s()
            self._serve_once([], 0.05 if due_s is None else min(due_s, 0.05))

    def _serve_once(self, stop_fds: list[int], timeout_s: float | None) -> bool:
        """Serves what is there after `timeout_s` at most; True if one of `stop_fds` is readable."""
        watched = [*stop_fds, *self._control.fds]
        if (port := self._port.fd) is not None:
            watched.append(port)
        readable, _, _ = select.select(watched, [], [], timeout_s)
        if not set(stop_fds).isdisjoint(readable):
            return True
        now_ns = time.monotonic_ns()
        if port in readable:
            self._heard_ns = now_ns
            self._follow_clock(now_ns)
            self._bus.receive(self._port.read(), self._port.baud, now_ns)
        for fd in set(self._control.fds).intersection(readable):
            self._control.serve(fd)
        self._serve_due(time.monotonic_ns())
        return False

    def close(self) -> None:
        """Removes the port and the socket; the state file stays, for readers that still hold it."""
        self._control.close()
        self._port.unplug()
        self._state.close()

    def reset_scene(self, task: str, seed: int, *, holds_world: bool = False) -> None:
        """Places the objects of `task`; the arm stays. holds_world: belt and hand wait for `start_world`."""
        scene.place_objects(self._plant.model, self._plant.data, task, seed)
        if holds_world:
            scene.hold_world(self._plant.model, self._plant.data)
        self._scene_seed = seed
        self._scene_count += 1
        self._publish()

    def start_world(self) -> None:
        """Begins what a belt or a hand that is held does."""
        scene.start_world(self._plant.data)

    def advance(self, duration_ns: int) -> None:
        """Runs that much virtual time; what is less than a step is kept for the next call."""
        if not self._options.lockstep:
            raise CommandError("advance: the physics follows the clock; start virtual_arm with --lockstep")
        self._lockstep_ns += duration_ns
        steps = (self._lockstep_ns - self._plant.time_ns) // self._plant.step_ns
        if steps > 0:
            self._plant.step(steps)
        self._publish()

    def unplug(self, duration_s: float) -> None:
        """Takes the serial port away and brings it back after `duration_s`."""
        self._port.unplug()
        self._bus.reset()
        self._replug_ns = time.monotonic_ns() + round(duration_s * 1e9)

    def stats(self) -> str:
        """Counters since the start."""
        values = {
            "packets": self._bus.packets,
            "bad_checksums": self._bus.bad_checksums,
            "wrong_baud_bytes": self._bus.wrong_baud_bytes,
            "sim_time_s": round(self._plant.time_ns / 1e9, 3),
            "slips": self._pacer.slips,
            "slipped_ms": self._pacer.slipped_ns // 1_000_000,
            "cpu_s": round(time.process_time(), 2),
        }
        return " ".join(f"{name}={value}" for name, value in values.items())

    def _timeout_s(self) -> float | None:
        """Time to the next thing to do; None if there is nothing but what arrives."""
        times = [at for at in (self._bus.next_due_ns, self._replug_ns) if at is not None]
        if not self._options.lockstep:
            times.append(self._pacer.next_ns(BATCH_NS))
        return max(0, min(times) - time.monotonic_ns()) / 1e9 if times else None

    def _serve_due(self, now_ns: int) -> None:
        if self._replug_ns is not None and now_ns >= self._replug_ns:
            self._replug_ns = None
            self._port.plug()
        if (answer := self._bus.due(now_ns)) and self._port.fd is not None:
            self._port.write(answer)
        if now_ns >= self._pacer.next_ns(BATCH_NS):
            self._follow_clock(now_ns)

    def _follow_clock(self, now_ns: int) -> None:
        if self._options.lockstep:
            return
        if steps := self._pacer.due(now_ns):
            self._plant.step(steps)
            self._publish()

    def _publish(self) -> None:
        data = self._plant.data
        time_s = self._plant.time_ns / 1e9
        self._state.write(
            StateSnapshot(time_s, time.monotonic_ns(), self._scene_seed, self._scene_count, data.qpos, data.qvel)
        )
