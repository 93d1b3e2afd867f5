"""Three ways to execute the chunks of a slow policy: ours, and two to compare with.

Each is a file of action queue parameters, `config/execution_MODE.yaml`, for the launch file and for virtual time alike.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml
from ament_index_python.packages import get_package_share_directory

MODES: Final = ("aligned", "unaligned", "stop_and_wait")


def queue_parameters(task: str, mode: str) -> dict[str, Any]:
    """Parameters that the action queue gets from sim.launch.xml task:=TASK execution:=MODE."""
    folder = Path(get_package_share_directory("so101_bringup")) / "config"
    parameters: dict[str, Any] = {}
    for name in ("sim", f"task_{task}", f"execution_{mode}"):
        content = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
        parameters |= content["/**/action_queue"]["ros__parameters"]
    return parameters
