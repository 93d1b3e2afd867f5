# SPDX-License-Identifier: Apache-2.0
"""Why a request gets no inference: the server, its policy, the robot's spec, or the request itself."""

from __future__ import annotations

from typing import Final

import numpy as np
from so101_node.protocol import ChunkStatus, PolicyState

from so101_policy_server.core.instruction import find_missing_task
from so101_policy_server.core.policy_slot import INACTIVE, PolicySlot
from so101_policy_server.core.request import PolicyRequest, ServedChunk
from so101_policy_server.core.served_robot import ServedRobot
from so101_policy_server.core.spec_check import AcceptedSpec
from so101_policy_server.policy import PolicyDescription

RETRY_SPEC_S: Final = 0.2
RETRY_LOADING_S: Final = 0.5
RETRY_ERROR_S: Final = 2.0


def find_refusal(
    request: PolicyRequest, robot: ServedRobot, slot: PolicySlot, active: bool, default_task: str
) -> ServedChunk | None:
    """The error chunk of a request that cannot be served now; None for one that can.

    Args:
        request: as the robot sent it.
        robot: who sent it.
        slot: the server's policy.
        active: whether the server takes requests.
        default_task: the server's own language instruction.
    """
    if request.fault:
        return ServedChunk(request, ChunkStatus.BAD_REQUEST, request.fault)
    if not active:
        return ServedChunk(request, ChunkStatus.NOT_READY, INACTIVE, RETRY_LOADING_S)
    if slot.state is PolicyState.ERROR:
        return ServedChunk(request, ChunkStatus.POLICY_ERROR, slot.message, RETRY_ERROR_S)
    if robot.rejection:
        return ServedChunk(request, ChunkStatus.SPEC_REJECTED, robot.rejection, RETRY_ERROR_S)
    if slot.policy is None:
        return ServedChunk(request, ChunkStatus.NOT_READY, slot.message, RETRY_LOADING_S)
    if robot.awaits_cameras:
        return ServedChunk(request, ChunkStatus.NOT_READY, robot.awaits_cameras, RETRY_LOADING_S)
    if robot.accepted is None or robot.accepted.received.spec_id != request.spec_id:
        text = f"policy_spec {request.spec_id} has not arrived yet"
        return ServedChunk(request, ChunkStatus.NOT_READY, text, RETRY_SPEC_S)
    if request.incomplete:
        return ServedChunk(request, ChunkStatus.OBSERVATION_INCOMPLETE, request.incomplete)
    fault = find_fault(request, robot.accepted, slot.policy, default_task)
    return ServedChunk(request, ChunkStatus.BAD_REQUEST, fault) if fault else None


def find_fault(
    request: PolicyRequest, accepted: AcceptedSpec, policy: PolicyDescription, default_task: str = ""
) -> str:
    """One line saying what is wrong with a request, or ""."""
    joints = accepted.received.spec.joint_names
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
    return _find_foreign_size(request, accepted) or find_missing_task(request.task, default_task, policy)


def _find_foreign_size(request: PolicyRequest, accepted: AcceptedSpec) -> str:
    """One line naming a camera whose frames come at a size that only another policy reads, or ""."""
    named = dict(zip(accepted.received.spec.cameras, request.frame_sizes, strict=False))
    for need in accepted.cameras:
        size = named.get(need.camera, (0, 0))
        if any(size) and (need.native or size != (need.height, need.width)):
            reads = "them as captured" if need.native else f"{need.width}x{need.height}"
            return f"frames of camera {need.camera} were requested at {size[1]}x{size[0]}: the policy reads {reads}"
    return ""
