"""The server's part of /diagnostics: every cause with its level and remedy, and which one it is now."""

from __future__ import annotations

from typing import Final

from diagnostic_msgs.msg import DiagnosticStatus
from so101_node.diagnostics import Cause, Level, entry

from so101_policy_server.status_report import State, StatusReport

READY: Final = Cause("READY", Level.OK, "the policy answers")
SLOW: Final = Cause(
    "SLOW", Level.WARN, "the median inference takes longer than inference_latency",
    "a faster device, fewer torch_threads on a busy computer, or raise inference_latency",
)  # fmt: skip
LOADING: Final = Cause("LOADING", Level.WARN, "the policy is being loaded", "wait")
NO_CAMERAS: Final = Cause(
    "NO_CAMERAS", Level.WARN, "the policy reads cameras, and the robot has named none yet",
    "start the robot's camera nodes, or name its cameras in the action queue's parameter cameras",
)  # fmt: skip
NO_POLICY: Final = Cause(
    "NO_POLICY", Level.WARN, "no policy is loaded, or the node is not active",
    "set pretrained_name_or_path, or activate the node",
)  # fmt: skip
LOAD_FAILED: Final = Cause(
    "LOAD_FAILED", Level.ERROR, "the policy could not be loaded", "correct what the message names, then start again"
)
SPEC_REJECTED: Final = Cause(
    "SPEC_REJECTED", Level.ERROR, "a robot's policy_spec does not fit the policy",
    "correct what the message names, on the robot or the server",
)  # fmt: skip
INFERENCE_STUCK: Final = Cause(
    "INFERENCE_STUCK", Level.ERROR, "an inference has not returned within inference_timeout_s; the server ends",
    "see that the launch file starts it again; look at the device",
)  # fmt: skip
CAUSES: Final = (READY, SLOW, LOADING, NO_CAMERAS, NO_POLICY, LOAD_FAILED, SPEC_REJECTED, INFERENCE_STUCK)


def diagnose(report: StatusReport, inference_latency_s: float) -> Cause:
    """The cause behind what a robot is told."""
    if report.state is State.READY:
        return SLOW if report.inference_p50_s > inference_latency_s else READY  # NaN before the first: not slow
    if report.state is State.ERROR:
        if report.message.startswith("spec rejected"):
            return SPEC_REJECTED
        return INFERENCE_STUCK if "inference_timeout_s" in report.message else LOAD_FAILED
    if report.state is State.LOADING:
        return NO_CAMERAS if report.message.startswith("the policy reads camera") else LOADING
    return NO_POLICY


def entry_of(name: str, robot: str, report: StatusReport, inference_latency_s: float) -> DiagnosticStatus:
    """What is the matter for the robot in namespace `robot`."""
    values = {
        "state": report.state.name,
        "policy": report.source.path,
        "device": report.source.device,
        "inference_p50_s": f"{report.inference_p50_s:.3f}",
        "inference_p95_s": f"{report.inference_p95_s:.3f}",
        "frame_age_p50_s": f"{report.frame_age_p50_s:.3f}",
        "frame_age_p95_s": f"{report.frame_age_p95_s:.3f}",
        "answered": report.answered,
        "failed": report.failed,
    }
    cause = diagnose(report, inference_latency_s)
    return entry(f"{name}: policy for {robot or '/'}", cause, report.message, values, report.source.device)
