# SPDX-License-Identifier: Apache-2.0
"""The policies that come with this package: one of them serves each task of the demo."""

from pathlib import Path
from typing import Final

from ament_index_python.packages import get_package_share_directory

_BORROWERS: Final = {
    "static_nudged": "static",
    **dict.fromkeys(("belt_changing", "belt_nudged", "belt_reversing", "belt_stopping"), "belt"),
}


def policy_name(task: str) -> str:
    """Return which policy serves a task; its name is also that of the queue's settings, `config/task_NAME.yaml`.

    It is the task's own, but for worlds that change while a chunk is under way: they have that of the
    world that stands still or runs steadily.
    """
    return _BORROWERS.get(task, task)


def shipped_correction(task: str) -> Path:
    """Return the file of the correction for this task's policy; it may not exist: not every policy has one."""
    return shipped_policy(task) / "correction.npz"


def shipped_policy(task: str) -> Path:
    """Return the folder of the policy for this task."""
    return Path(get_package_share_directory("so101_shipped_policies")) / "policies" / policy_name(task)
