# SPDX-License-Identifier: Apache-2.0
"""The virtual arm in this process: servos, physics and scene as in virtual_arm, without its port and its clock.

Through the port of a virtual_arm a tick is ten exchanges with another process, 43 ms on a busy machine; here it is
4 ms. The motion is the same to the last bit, which `test_in_process_arm.py` holds against the port.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from so101_driver.core.calibration import Calibration, load_calibration
from so101_driver.core.registers import GOAL_POSITION, STATE_BLOCK, ServoState
from so101_sim.arm.shared_state import StateSnapshot
from so101_sim.core.arm_servos import write_calibration
from so101_sim.world import scene
from so101_sim.world.plant import ArmPlant


class InProcessArm:
    """A virtual arm that holds its home positions; its time runs only in `advance`."""

    def __init__(self) -> None:
        model = scene.build_model()
        data = scene.new_data(model)
        self._plant = ArmPlant(model, data, scene.before_step)
        self._plant.enable_torque()
        self._scene_seed = self._scene_count = 0
        self._advanced_ns = 0
        with tempfile.TemporaryDirectory(prefix="so101-") as folder:
            path = Path(folder) / "virtual.json"
            write_calibration(path, self._plant.calibration)
            self.calibration: Calibration = load_calibration(path)

    def reset_scene(self, task: str, seed: int) -> None:
        """Place the objects of `task` by `seed`; the arm is not touched. TaskError if unknown."""
        scene.place_objects(self._plant.model, self._plant.data, task, seed)
        self._scene_seed = seed
        self._scene_count += 1

    def advance(self, duration_ns: int) -> None:
        """Run that much virtual time; what is less than a step is kept for the next call."""
        self._advanced_ns += duration_ns
        steps = (self._advanced_ns - self._plant.time_ns) // self._plant.step_ns
        if steps > 0:
            self._plant.step(steps)

    def state(self) -> StateSnapshot:
        """The simulator's state now; copies."""
        data, time_s = self._plant.data, self._plant.time_ns / 1e9
        now_ns = time.monotonic_ns()
        return StateSnapshot(time_s, now_ns, self._scene_seed, self._scene_count, data.qpos.copy(), data.qvel.copy())

    def write_goals(self, goals: Mapping[int, int]) -> None:
        """Goal_Position of several servos, encoder ticks by servo id."""
        for servo_id, goal in goals.items():
            self._plant.servo(servo_id).write(GOAL_POSITION.address, GOAL_POSITION.encode(goal))

    def read_states(self, servo_ids: Sequence[int]) -> dict[int, ServoState]:
        """State block of all named servos."""
        servos = [self._plant.servo(servo_id) for servo_id in servo_ids]
        return {servo.id: ServoState.decode(servo.read(*STATE_BLOCK), servo.status) for servo in servos}
