# SPDX-License-Identifier: Apache-2.0
"""What one robot is told about the server."""

from __future__ import annotations

from dataclasses import dataclass

from so101_node.protocol import PolicyState

from so101_policy_server.core.request import RequestKey
from so101_policy_server.policy import PolicyDescription, PolicySource


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A PolicyStatus for one robot.

    Attributes:
        spec_id: the robot's newest PolicySpec, which `state` speaks of; 0 = none yet.
        state: READY only if that spec, if any, fits.
        cause: one of the constants of `causes`; "" when READY.
        message: reason of ERROR, progress of LOADING.
        busy: request under work: this robot's own where it is in the batch, else another's.
        source: policy that is loaded or being loaded.
        policy: None until one is loaded.
        cameras: names of the policy's images in order, as this robot calls them.
        joint_names: joints in the order of the policy's state and action.
        inference_p50_s: median inference time; NaN before the first.
        inference_p95_s: the same, 95th percentile.
        frame_age_p50_s: median age of the oldest frame of an observation when its camera published it; NaN before the
            first.
        frame_age_p95_s: the same, 95th percentile.
        answered: chunks answered with OK.
        failed: explicit error chunks.
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
