# SPDX-License-Identifier: Apache-2.0
"""Which language instruction is in force, and whether a policy lacks one."""

from __future__ import annotations

from so101_policy_server.policy import PolicyDescription


def instruction(task: str, default_task: str) -> str:
    """A request's own, else the server's; blanks are none."""
    return task if task.strip() else default_task


def find_missing_task(task: str, default_task: str, policy: PolicyDescription) -> str:
    """One line saying that a policy which does as the task says has none, or ""."""
    if not policy.reads_task or instruction(task, default_task).strip():
        return ""
    return (
        f"task is empty: a policy of type {policy.policy_type} does as it says; set task of action_queue to the words "
        "that it was trained with"
    )
