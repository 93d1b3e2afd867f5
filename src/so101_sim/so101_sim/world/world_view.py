# SPDX-License-Identifier: Apache-2.0
"""The running simulation as the renderer, the judge and the expert see it: its newest state, whenever there is one.

The virtual arm may start later than its observers, end, and start again; to them that is a time without a state.
"""

from __future__ import annotations

from pathlib import Path

import mujoco

from so101_sim.arm.shared_state import SharedState, StateSnapshot
from so101_sim.errors import SimulationError
from so101_sim.virtual_arm_client import STATE_NAME


class WorldView:
    """Reads the state file in the virtual arm's run folder. For one thread at a time."""

    def __init__(self, sim_dir: Path, model: mujoco.MjModel) -> None:
        """Nothing is opened yet; model: the scene that the states must fit."""
        self._path = sim_dir / STATE_NAME
        self._shape = (model.nq, model.nv)
        self._file: SharedState | None = None
        self._problem = ""

    @property
    def problem(self) -> str:
        """Why the last `read` gave nothing, one line for people; "" if it gave a state."""
        return self._problem

    def read(self) -> StateSnapshot | None:
        """The newest state, or None while there is none to be had; `problem` then says why."""
        try:
            if self._file is None:
                self._file = SharedState.open(self._path)
            state = self._file.read()
        except SimulationError as error:
            self._problem = str(error)
            self.close()  # the next call opens it again
            return None
        if state is None:
            self._problem = f"{self._path}: nothing written yet; virtual_arm is starting"
        elif (len(state.qpos), len(state.qvel)) != self._shape:
            self._problem = (
                f"{self._path}: expected nq, nv = {self._shape}, got {(len(state.qpos), len(state.qvel))}; "
                "restart virtual_arm from this version"
            )
            state = None
        else:
            self._problem = ""
        return state

    def close(self) -> None:
        """Lets go of the file; `read` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None
