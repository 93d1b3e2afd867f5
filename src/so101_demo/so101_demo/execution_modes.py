# SPDX-License-Identifier: Apache-2.0
"""Three ways to execute the chunks of a slow policy: ours, and two to compare with.

Each is a file of action queue parameters, `config/execution_MODE.yaml`, for the launch file and for virtual time alike.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml
from ament_index_python.packages import get_package_share_directory

from so101_shipped_policies import policy_name

MODES: Final = ("aligned", "unaligned", "stop_and_wait")
AFTER_EACH_CHUNK: Final = 1.0
"""chunk_size_threshold at which a request follows each chunk: the younger the plan, the less there is to correct."""
AFTER_A_TENTH: Final = 0.9
"""chunk_size_threshold beside a correction where chunks come within QUICK_S.

A request after each chunk would be a new plan in nearly each control step, of which one row or two are executed: the
policy has no time to begin anything, and the correction nothing to see.
"""
QUICK_S: Final = 0.17
"""In which a tenth of a chunk of 50 rows is executed; with more delay a request follows each chunk either way."""


def beside_a_correction(mode: str, delay_s: float) -> dict[str, str | float]:
    """Parameters that the action queue gets beside a correction instead of those of its files.

    `mode`: one of MODES. `delay_s`: how long after its request a chunk comes, at least.

    An arm that has waited for its first chunk begins with the first row. To skip the rows that are past, as
    `elapsed_time` does, is right for a plan alone. But the arm must then catch up, the next request sees it still at
    home, and its chunk begins the way again, late by the whole delay: more than a correction may add. It is the
    correction that finds a cube which has moved on meanwhile.
    """
    changed: dict[str, str | float] = {"chunk_size_threshold": AFTER_A_TENTH if delay_s < QUICK_S else AFTER_EACH_CHUNK}
    return changed | {"alignment": "executed_steps"} if mode == MODES[0] else changed


def queue_parameters(task: str, mode: str) -> dict[str, Any]:
    """Parameters that the action queue gets from sim.launch.xml task:=TASK execution:=MODE."""
    folder = Path(get_package_share_directory("so101_config"))
    parameters: dict[str, Any] = {}
    for name in ("sim", f"task_{policy_name(task)}", f"execution_{mode}"):
        content = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
        parameters |= content["/**/action_queue"]["ros__parameters"]
    return parameters
