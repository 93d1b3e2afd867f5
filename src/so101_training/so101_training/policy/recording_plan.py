# SPDX-License-Identifier: Apache-2.0
"""What is recorded into one folder of episodes: which tasks, by which expert, with noise or without."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from so101_sim.core.tasks import task_named

from so101_training.policy.recording import RecordingError

EXPERTS: Final = ("planned", "reactive")
PLAN_FILE: Final = "recording.json"


@dataclass(frozen=True, slots=True)
class RecordingPlan:
    """tasks: names, which take turns scene by scene; expert: one of EXPERTS; noise: whether commands stray."""

    tasks: tuple[str, ...]
    expert: str
    noise: bool

    def task_of(self, seed: int) -> str:
        """The task of the scene `seed`."""
        return self.tasks[seed % len(self.tasks)]

    def claim(self, folder: Path) -> None:
        """Note the plan in the folder of the episodes; RecordingError if others were recorded there."""
        path = folder / PLAN_FILE
        mine = json.dumps(asdict(self))
        if not path.is_file():
            path.write_text(mine + "\n", encoding="utf-8")
        elif (there := path.read_text(encoding="utf-8").strip()) != mine:
            raise RecordingError(f"{folder}: expected episodes of {mine}, got {there}; choose another --folder")


def plan_for(tasks: tuple[str, ...], expert: str | None, noise: bool) -> RecordingPlan:
    """The plan for these tasks; without a wish for an expert the planned one where it can do all of them.

    RecordingError if a task comes twice, or the expert cannot do one.
    """
    if len(set(tasks)) != len(tasks):
        raise RecordingError(f"--task {','.join(tasks)}: expected each task once")
    changing = [name for name in tasks if task_named(name).changes]
    if expert == "planned" and changing:
        raise RecordingError(f"--expert planned: cannot do {changing[0]}, which changes; expected --expert reactive")
    return RecordingPlan(tasks, expert or ("reactive" if changing else "planned"), noise)
