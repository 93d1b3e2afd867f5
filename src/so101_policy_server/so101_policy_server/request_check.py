"""What can be wrong with a request by itself, before any policy is asked."""

from __future__ import annotations

import numpy as np

from so101_policy_server.instruction import find_missing_task
from so101_policy_server.policy import PolicyDescription
from so101_policy_server.request import Request
from so101_policy_server.spec_check import AcceptedSpec


def find_fault(request: Request, accepted: AcceptedSpec, policy: PolicyDescription, default_task: str = "") -> str:
    """One line saying what is wrong with a request, or ""."""
    joints = accepted.spec.joint_names
    if sorted(request.joint_names) != sorted(joints):
        return f"joint_names is {', '.join(request.joint_names)}: policy_spec says {', '.join(joints)}"
    if request.positions.shape[0] < policy.n_obs_steps:
        return f"history is {request.positions.shape[0]}: the policy reads n_obs_steps = {policy.n_obs_steps}"
    if not np.isfinite(request.positions).all():
        return "positions has values that are not finite"
    if not np.isfinite(request.leftover).all():
        return "leftover has values that are not finite"
    if len(request.leftover) and not policy.supports_rtc:
        return (
            f"leftover_rows is {len(request.leftover)}: a policy of type {policy.policy_type} cannot continue a chunk"
        )
    return find_missing_task(request.task, default_task, policy)
