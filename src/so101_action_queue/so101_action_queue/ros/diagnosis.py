# SPDX-License-Identifier: Apache-2.0
"""The queue's part of /diagnostics: every cause with its level and remedy, which one it is now, and where time goes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Final

from diagnostic_msgs.msg import DiagnosticStatus
from so101_msgs.msg import ActionChunk
from so101_node.diagnostics import Cause, Level
from so101_node.diagnostics.publishing import entry
from so101_node.metrics.latency import ChunkClock, LatencyWindow
from so101_node.protocol import QueueState

from so101_action_queue.core import causes
from so101_action_queue.core.decisions import CoreStatus
from so101_action_queue.ros.correction_diagnosis import CORRECTION_CAUSES

IDLE = Cause(causes.NOT_STARTED, Level.OK, "nothing is commanded yet", "")
RUNNING = Cause(causes.RUNNING, Level.OK, "rows are executed", "")
STOP_REQUESTED = Cause(causes.STOP_REQUESTED, Level.OK, "somebody called action_queue/stop", "")
SECOND_SERVER = Cause(
    "SECOND_SERVER",
    Level.WARN,
    "another policy server sends chunks to this robot; they are dropped",
    "stop one of them, or name the one to obey in `servers`",
)
ONE_SERVER = Cause("ONE_SERVER", Level.OK, "at most one node publishes action_chunk")
FOREIGN_CHUNKS = Cause(
    "FOREIGN_CHUNKS",
    Level.WARN,
    "several nodes publish action_chunk; chunks of a server that is not obeyed are dropped",
    "stop all but one: `ros2 topic info -v action_chunk` names them",
)
GOES_ON: Final = "; the queue resumes automatically"
START: Final = ", then call action_queue/start"
_NAMED: Final = (
    Cause(
        causes.DRIVER_RESTARTED, Level.ERROR, "the driver that the session began with is gone",
        f"look at the arm{START}",
    ),
    Cause(
        causes.DRIVER_LOST, Level.ERROR, "no driver_status for driver_lost_s",
        f"see that so101_driver runs{START}",
    ),
    Cause(
        causes.DRIVER_NOT_ENGAGED, Level.WARN, "the driver does not follow commands",
        f"see the driver's own entry{START}",
    ),
    Cause(
        causes.COMMANDS_LATE, Level.WARN, "commands reached the driver late, and it held the arm",
        f"look for `runs without precedence` in the log, and for what loads this computer{GOES_ON}",
    ),
    Cause(
        causes.ANSWERS_LATE, Level.WARN, "replies of all servos reached the driver late, and it held the arm",
        f"look for what loads this computer; where nothing does, check the arm's power supply{GOES_ON}",
    ),
    Cause(
        causes.HELD_UP, Level.ERROR, "the queue itself stood still for longer than resume_within_s",
        f"see what held this computer or process up (suspended, SIGSTOP, a debugger), look at the arm{START}",
    ),
    Cause(
        causes.LIMITS_UNUSABLE, Level.ERROR, "joint_limits are missing or contradict themselves",
        "correct the driver's calibration or limits",
    ),
    Cause(
        causes.POSE_UNKNOWN, Level.WARN, "joint_states are missing or too old to send a request with",
        "see that so101_driver runs and that its serial bus is healthy",
    ),
    Cause(
        causes.SERVER_LOST, Level.WARN, "no heartbeat of the policy server for server_lost_s",
        f"look at the network and the server{GOES_ON}",
    ),
    Cause(
        causes.SERVER_LEFT, Level.WARN, "the policy server ended",
        f"start it again{GOES_ON}",
    ),
    Cause(
        causes.NO_SERVER, Level.WARN, "no policy server was heard of",
        "start policy_server in this ROS_DOMAIN_ID and namespace",
    ),
    Cause(
        causes.SERVER_NOT_READY, Level.WARN, "the policy server is not READY for this robot",
        "wait, or see the server's own entry",
    ),
    Cause(
        causes.OBSERVATION_INCOMPLETE, Level.WARN, "a camera gave no usable frame",
        f"look at the camera that the message names{GOES_ON}",
    ),
    Cause(
        causes.SPEC_REJECTED, Level.ERROR, "this robot's policy_spec does not fit the policy",
        "correct what the message names, on the robot or the server",
    ),
    Cause(
        causes.POLICY_ERROR, Level.WARN, "the policy could not compute a chunk",
        f"see the server's log{GOES_ON}",
    ),
    Cause(
        causes.BAD_REQUEST, Level.ERROR, "the server does not understand the request",
        "install the same version of the workspace on both computers",
    ),
    Cause(
        causes.INVALID_CHUNKS, Level.ERROR, "chunks came that must not be executed",
        "the policy, its units or its joint names are wrong; the log names what",
    ),
    Cause(
        causes.CHUNK_TOO_SHORT, Level.WARN, "chunks come when their rows are past",
        "raise actions_per_chunk, or shorten the way to the server",
    ),
    Cause(
        causes.ROWS_TOO_OLD, Level.WARN, "rows of old observations were dropped",
        "look at the latency below",
    ),
    Cause(
        causes.PAUSED, Level.OK, "somebody called action_queue/pause",
        "",
    ),
)  # fmt: skip
STARVED = Cause(
    causes.STARVED, Level.WARN, "the queue ran empty while a request was outstanding; the setpoint is held",
    "raise chunk_size_threshold, or request_policy: adaptive; see the latency below",
)  # fmt: skip
WAITING = Cause(causes.WAITING, Level.OK, "started, no chunk yet; the setpoint is held", "")
REQUESTING_LATER = Cause(
    causes.WAITING_TO_ASK, Level.WARN, "the newest chunk was an error; the next request waits a moment", "wait"
)
UNNAMED = Cause(causes.UNNAMED, Level.WARN, "something else; the message says what", "read the message")
CAUSES: Final = (
    IDLE, WAITING, RUNNING, STARVED, REQUESTING_LATER, *_NAMED, SECOND_SERVER, FOREIGN_CHUNKS, ONE_SERVER,
    STOP_REQUESTED, UNNAMED, *CORRECTION_CAUSES,
)  # fmt: skip
BY_NAME: Final = {cause.name: cause for cause in CAUSES if cause not in CORRECTION_CAUSES}


def diagnose(state: QueueState, cause_name: str) -> Cause:
    """The cause of that name. It is an ERROR where it stopped the queue, unless somebody asked for that."""
    cause = BY_NAME.get(cause_name, UNNAMED)
    if state is not QueueState.STOPPED or cause is STOP_REQUESTED:
        return cause
    return replace(cause, level=Level.ERROR, remedy=cause.remedy.removesuffix(GOES_ON).removesuffix(START) + START)


class QueueLatency:
    """Where the time of the last chunks went. `chunk` and `tick` are called in the order of the core's inputs."""

    def __init__(self) -> None:
        self._clock = ChunkClock()
        self._window = LatencyWindow()

    def chunk(self, session: int, now_ns: int, step: int, round_trip_s: float, message: ActionChunk) -> None:
        """An accepted chunk; `step` is the next row to execute."""
        self._clock.chunk(session, message.request_id, now_ns, step, round_trip_s, message)

    def tick(self, session: int, now_ns: int, step: int) -> None:
        """A control tick, after which `step` is next."""
        breakdown = self._clock.tick(session, now_ns, step)
        if breakdown is not None:
            self._window.add(breakdown)

    def values(self) -> dict[str, str]:
        """Median and 95th percentile of each part, ms. Half of the network's is an estimate of one direction."""
        shown: dict[str, str] = {}
        for stage, times in self._window.percentiles().items():
            if math.isnan(times.p50):
                continue
            name = "network_both_ways" if stage == "network" else stage
            shown[f"latency_{name}_ms"] = f"p50 {times.p50 * 1e3:.1f}, p95 {times.p95 * 1e3:.1f}"
            if stage == "network":
                shown["latency_network_one_way_estimate_ms"] = f"p50 {times.p50 * 500:.1f} (half of both ways)"
        return shown


def entries(
    name: str, status: CoreStatus, rivals: Sequence[str], foreign: str, latency: Mapping[str, str]
) -> list[DiagnosticStatus]:
    """State, cause, counters and latency; and whether others than the one server that is obeyed send chunks.

    rivals: names of further live servers; foreign: who else publishes action_chunk, "" for nobody.
    """
    values = {
        "state": status.state.name,
        "session": status.session,
        "server_id": status.server_id,
        "step": status.step,
        "length": status.length,
        "round_trip_p50_s": f"{status.round_trip_p50_s:.3f}",
        "round_trip_p95_s": f"{status.round_trip_p95_s:.3f}",
        **asdict(status.counters),
        **latency,
    }
    made = [entry(f"{name}: queue", diagnose(status.state, status.cause_name), status.cause, values)]
    if rivals:
        made.append(entry(f"{name}: servers", SECOND_SERVER, f"{', '.join(rivals)} besides the one that is obeyed"))
    else:
        made.append(entry(f"{name}: servers", FOREIGN_CHUNKS if foreign else ONE_SERVER, foreign))
    return made
