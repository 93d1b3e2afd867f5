# SPDX-License-Identifier: Apache-2.0
"""LeRobot as a library of policies: what the entry point `lerobot` names. Imports nothing of LeRobot by itself."""

from __future__ import annotations

from so101_policy_server.lerobot.checkpoint import find_checkpoint
from so101_policy_server.policy import Policy, PolicySource, Progress


def load(source: PolicySource, progress: Progress) -> Policy:
    """Load with LeRobot, imported here and now: on the inference thread, not when the node starts."""
    # A wrong path is told at once, not after the seconds that the import takes.
    find_checkpoint(source.path, source.base_model_name_or_path)
    progress("importing LeRobot")
    from so101_policy_server.lerobot.lerobot_policy import load_policy

    return load_policy(source, progress)
