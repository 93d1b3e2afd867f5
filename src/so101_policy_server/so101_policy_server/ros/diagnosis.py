# SPDX-License-Identifier: Apache-2.0
"""The server's part of /diagnostics: every cause with its level and remedy, and which one it is now."""

from __future__ import annotations

from typing import Final

from diagnostic_msgs.msg import DiagnosticStatus
from so101_node.diagnostics import Cause, Level
from so101_node.diagnostics.publishing import entry
from so101_node.protocol import PolicyState

from so101_policy_server.core import causes
from so101_policy_server.core.status_report import StatusReport

READY: Final = Cause("READY", Level.OK, "the policy replies to requests")
SLOW: Final = Cause(
    "SLOW", Level.WARN, "the median inference takes longer than inference_latency",
    "a faster device, fewer torch_threads on a busy computer, or raise inference_latency",
)  # fmt: skip
LOADING: Final = Cause(causes.LOADING, Level.WARN, "the policy is being loaded", "wait")
SWITCHING: Final = Cause(
    causes.SWITCHING,
    Level.OK,
    "another policy is loaded for this robot; the present one goes on until it is ready",
)
SWITCH_FAILED: Final = Cause(
    causes.SWITCH_FAILED, Level.WARN, "the policy that this robot named cannot be had; the one before goes on",
    "correct what the message names: the spec, or max_policies_mb",
)  # fmt: skip
UNLOADED: Final = Cause(
    causes.UNLOADED, Level.WARN, "the policy was unloaded, since nobody used it or another one needed its memory",
    "start the robot's action queue: what its policy_spec names is loaded again",
)  # fmt: skip
NO_CAMERAS: Final = Cause(
    causes.NO_CAMERAS, Level.WARN, "the policy reads cameras, and the robot has named none yet",
    "start the robot's camera nodes, or name its cameras in the action queue's parameter cameras",
)  # fmt: skip
NO_POLICY: Final = Cause(
    causes.NO_POLICY, Level.WARN, "no policy is loaded",
    "set pretrained_name_or_path, or let a robot name one that allowed_policies admits",
)  # fmt: skip
NOT_ACTIVE: Final = Cause(
    causes.NOT_ACTIVE, Level.WARN, "the node is not active", "ros2 lifecycle set /policy_server activate"
)
LOAD_FAILED: Final = Cause(
    causes.LOAD_FAILED, Level.ERROR, "the policy could not be loaded",
    "correct what the message names, then start again",
)  # fmt: skip
SPEC_REJECTED: Final = Cause(
    causes.SPEC_REJECTED, Level.ERROR, "a robot's policy_spec does not fit the policy",
    "correct what the message names, on the robot or the server",
)  # fmt: skip
REPLICAS_LOST: Final = Cause(
    causes.REPLICAS_LOST, Level.ERROR, "no replica of the policy is left, or no Ray cluster to run them",
    "see that the Ray cluster runs: the replicas are then loaded again by themselves",
)  # fmt: skip
INFERENCE_STUCK: Final = Cause(
    causes.INFERENCE_STUCK, Level.ERROR, "an inference has not returned within inference_timeout_s; the server ends",
    "see that the launch file starts it again; look at the device",
)  # fmt: skip
CAUSES: Final = (
    READY, SLOW, LOADING, SWITCHING, SWITCH_FAILED, UNLOADED, NO_CAMERAS, NO_POLICY, NOT_ACTIVE, LOAD_FAILED,
    SPEC_REJECTED, REPLICAS_LOST, INFERENCE_STUCK,
)  # fmt: skip
BY_NAME: Final = {cause.name: cause for cause in CAUSES}


def diagnose(report: StatusReport, inference_latency_s: float) -> Cause:
    """The cause behind what a robot is told."""
    if report.state is PolicyState.READY and not report.cause:
        return SLOW if report.inference_p50_s > inference_latency_s else READY  # NaN before the first: not slow
    return BY_NAME[report.cause]


def entry_of(name: str, robot: str, report: StatusReport, inference_latency_s: float) -> DiagnosticStatus:
    """What is wrong for the robot in namespace `robot`."""
    values = {
        "state": report.state.name,
        "policy": report.source.path,
        "device": report.source.device,
        "inference_p50_s": f"{report.inference_p50_s:.3f}",
        "inference_p95_s": f"{report.inference_p95_s:.3f}",
        "frame_age_p50_s": f"{report.frame_age_p50_s:.3f}",
        "frame_age_p95_s": f"{report.frame_age_p95_s:.3f}",
        "replicas": report.replicas,
        "loaded": ", ".join(report.loaded) or "none",
        "answered": report.answered,
        "failed": report.failed,
    }
    cause = diagnose(report, inference_latency_s)
    return entry(f"{name}: policy for {robot or '/'}", cause, report.message, values, report.source.device)
