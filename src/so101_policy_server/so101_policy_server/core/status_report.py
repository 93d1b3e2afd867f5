# SPDX-License-Identifier: Apache-2.0
"""What one robot is told about the server."""

from __future__ import annotations

from dataclasses import dataclass

from so101_node.protocol import PolicyState

from so101_policy_server.core.policies import Policies
from so101_policy_server.core.request import RequestKey
from so101_policy_server.core.served_robot import ServedRobot
from so101_policy_server.core.server_config import ServerConfig
from so101_policy_server.core.spec_check import camera_names
from so101_policy_server.policy import PolicyDescription, PolicySource


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A PolicyStatus for one robot.

    Attributes:
        spec_id: the robot's newest PolicySpec, which `state` speaks of; 0 = none yet.
        state: READY only if that spec, if any, fits.
        cause: one of the constants of `causes`; "" when READY, unless the robot has named another policy since.
        message: reason of ERROR, progress of LOADING; with READY what became of another policy that the robot named.
        busy: request under work: this robot's own where it is in the batch, else another's.
        source: policy that is loaded or being loaded.
        policy: None until one is loaded.
        cameras: names of the policy's images in order, as this robot calls them; then those that its spec would have
            to name for another policy that it wants.
        joint_names: joints in the order of the policy's state and action.
        inference_p50_s: median inference time; NaN before the first.
        inference_p95_s: the same, 95th percentile.
        frame_age_p50_s: median age of the oldest frame of an observation when its camera published it; NaN before the
            first.
        frame_age_p95_s: the same, 95th percentile.
        answered: chunks answered with OK.
        failed: explicit error chunks.
        replicas: how many replicas of the policy take requests; 1 where it runs in the server's own process.
        loaded: every policy that this server has loaded or loads, and its size, in words.
    """

    spec_id: int
    state: PolicyState
    cause: str
    message: str
    busy: RequestKey | None
    source: PolicySource
    policy: PolicyDescription | None
    cameras: tuple[str, ...]
    joint_names: tuple[str, ...]
    inference_p50_s: float
    inference_p95_s: float
    frame_age_p50_s: float
    frame_age_p95_s: float
    answered: int
    failed: int
    replicas: int = 1
    loaded: tuple[str, ...] = ()


def report(
    robot: ServedRobot,
    policies: Policies,
    config: ServerConfig,
    active: bool,
    answered: int,
    failed: int,
) -> StatusReport:
    """What to tell this robot; `active` = whether the server takes requests."""
    received = robot.received
    slot, after = policies.shown(robot)
    turn = slot.turn
    state, cause, message = slot.told(robot, active, after)
    cameras = camera_names(received.spec if received else None, slot.applied.served, slot.policy) if slot.policy else ()
    return StatusReport(
        spec_id=received.spec_id if received else 0,
        state=state,
        cause=cause,
        message=message,
        busy=turn.busy_for(robot.name),
        source=slot.source,
        policy=slot.policy,
        cameras=cameras + tuple(name for name in robot.lacks if name not in cameras),
        joint_names=config.served.joint_names,
        inference_p50_s=turn.times.percentile(50),
        inference_p95_s=turn.times.percentile(95),
        frame_age_p50_s=robot.frame_ages.percentile(50),
        frame_age_p95_s=robot.frame_ages.percentile(95),
        answered=answered,
        failed=failed,
        replicas=turn.replicas,
        loaded=policies.cache.describe(),
    )
