"""The queue's part of /diagnostics: every cause with its level and remedy, which one it is now, and where time goes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from diagnostic_msgs.msg import DiagnosticStatus
from so101_msgs.msg import ActionChunk
from so101_node.diagnostics import Cause, Level, entry
from so101_node.latency_breakdown import ChunkClock, LatencyWindow

from so101_action_queue.decisions import QueueState, Status

IDLE = Cause("NOT_STARTED", Level.OK, "nothing is commanded yet", "")
RUNNING = Cause("RUNNING", Level.OK, "rows are executed", "")
STOP_REQUESTED = Cause("STOP_REQUESTED", Level.OK, "somebody called action_queue/stop", "")
SECOND_SERVER = Cause(
    "SECOND_SERVER",
    Level.WARN,
    "another policy server answers this robot; its chunks are dropped",
    "stop one of them, or name the one to obey in `servers`",
)
ONE_SERVER = Cause("ONE_SERVER", Level.OK, "at most one node publishes action_chunk")
FOREIGN_CHUNKS = Cause(
    "FOREIGN_CHUNKS",
    Level.WARN,
    "several nodes publish action_chunk; chunks of a server that is not obeyed are dropped",
    "stop all but one: `ros2 topic info -v action_chunk` names them",
)
_NAMED: Final = (
    Cause(
        "DRIVER_RESTARTED", Level.ERROR, "the driver that the session began with is gone",
        "look at the arm, then call action_queue/start",
    ),
    Cause(
        "DRIVER_LOST", Level.ERROR, "no driver_status for driver_lost_s",
        "is so101_driver running? then call action_queue/start",
    ),
    Cause(
        "DRIVER_NOT_ENGAGED", Level.WARN, "the driver does not follow commands",
        "see the driver's own entry, then call action_queue/start",
    ),
    Cause(
        "LIMITS_UNUSABLE", Level.ERROR, "joint_limits are missing or contradict themselves",
        "correct the driver's calibration or limits",
    ),
    Cause(
        "POSE_UNKNOWN", Level.WARN, "joint_states are missing or too old to ask with",
        "is so101_driver running, and its bus sound?",
    ),
    Cause(
        "SERVER_LOST", Level.WARN, "no heartbeat of the policy server for server_lost_s",
        "look at the network and the server; the queue goes on by itself",
    ),
    Cause(
        "SERVER_LEFT", Level.WARN, "the policy server ended",
        "start it again; the queue goes on by itself",
    ),
    Cause(
        "NO_SERVER", Level.WARN, "no policy server was heard of",
        "start policy_server in this ROS_DOMAIN_ID and namespace",
    ),
    Cause(
        "SERVER_NOT_READY", Level.WARN, "the policy server is not READY for this robot",
        "wait, or see the server's own entry",
    ),
    Cause(
        "OBSERVATION_INCOMPLETE", Level.WARN, "a camera gave no usable frame",
        "look at the camera that the message names; the queue goes on by itself",
    ),
    Cause(
        "SPEC_REJECTED", Level.ERROR, "this robot's policy_spec does not fit the policy",
        "correct what the message names, on the robot or the server",
    ),
    Cause(
        "POLICY_ERROR", Level.WARN, "the policy could not answer",
        "see the server's log; the queue goes on by itself",
    ),
    Cause(
        "BAD_REQUEST", Level.ERROR, "the server does not understand the question",
        "the same version of the workspace on both computers?",
    ),
    Cause(
        "INVALID_CHUNKS", Level.ERROR, "chunks came that must not be executed",
        "the policy, its units or its joint names are wrong; the log names what",
    ),
    Cause(
        "CHUNK_TOO_SHORT", Level.WARN, "answers come when their rows are past",
        "raise actions_per_chunk, or shorten the way to the server",
    ),
    Cause(
        "ROWS_TOO_OLD", Level.WARN, "rows of old observations were dropped",
        "look at the latency below",
    ),
    Cause(
        "PAUSED", Level.OK, "somebody called action_queue/pause",
        "",
    ),
)  # fmt: skip
_WORDS: Final = (  # the first that is found in the queue's words counts
    ("driver was restarted", "DRIVER_RESTARTED"),
    ("driver lost", "DRIVER_LOST"),
    ("no driver_status", "DRIVER_LOST"),
    ("waiting for the driver", "DRIVER_NOT_ENGAGED"),
    ("driver", "DRIVER_NOT_ENGAGED"),
    ("joint_limits", "LIMITS_UNUSABLE"),
    ("joint_states", "POSE_UNKNOWN"),
    ("server lost", "SERVER_LOST"),
    ("said goodbye", "SERVER_LEFT"),
    ("no policy server heard", "NO_SERVER"),
    ("has not taken up our policy_spec", "SERVER_NOT_READY"),
    ("OBSERVATION_INCOMPLETE", "OBSERVATION_INCOMPLETE"),
    ("SPEC_REJECTED", "SPEC_REJECTED"),
    ("spec rejected", "SPEC_REJECTED"),
    ("POLICY_ERROR", "POLICY_ERROR"),
    ("BAD_REQUEST", "BAD_REQUEST"),
    ("cannot continue a chunk", "SPEC_REJECTED"),
    ("server ", "SERVER_NOT_READY"),
    ("NOT_READY", "SERVER_NOT_READY"),
    ("invalid chunks in a row", "INVALID_CHUNKS"),
    ("REJECTED", "INVALID_CHUNKS"),
    ("chunk shorter than round trip", "CHUNK_TOO_SHORT"),
    ("max_action_age_s", "ROWS_TOO_OLD"),
    ("paused", "PAUSED"),
)
STARVED = Cause(
    "STARVED", Level.WARN, "the queue ran empty while an answer was outstanding; the setpoint is held",
    "raise chunk_size_threshold, or request_policy: adaptive; see the latency below",
)  # fmt: skip
WAITING = Cause("WAITING", Level.OK, "started, no chunk yet; the setpoint is held", "")
ASKING_LATER = Cause("WAITING_TO_ASK", Level.WARN, "an error answer; the next question waits a moment", "wait")
UNNAMED = Cause("UNNAMED", Level.WARN, "something else; the message says what", "read the message")
CAUSES: Final = (
    IDLE, WAITING, RUNNING, STARVED, ASKING_LATER, *_NAMED, SECOND_SERVER, FOREIGN_CHUNKS, ONE_SERVER, STOP_REQUESTED,
    UNNAMED,
)  # fmt: skip
_BY_NAME: Final = {cause.name: cause for cause in CAUSES}


def diagnose(state: QueueState, words: str) -> Cause:
    """The named cause behind a state and the words that QueueStatus has for it."""
    if state is QueueState.IDLE:
        return IDLE
    if words == "stop requested":
        return STOP_REQUESTED
    if words in ("", "waiting for an answer", "waiting for the first answer"):
        return {QueueState.RUNNING: RUNNING, QueueState.WAITING: WAITING}.get(state, STARVED)
    if words == "waiting to ask again":
        return ASKING_LATER
    return next((_BY_NAME[name] for part, name in _WORDS if part in words), UNNAMED)


class Latency:
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
    name: str, status: Status, rivals: Sequence[str], foreign: str, latency: Mapping[str, str]
) -> list[DiagnosticStatus]:
    """State, cause, counters and latency; and whether others answer than the one server that is obeyed.

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
    cause = diagnose(status.state, status.cause.removesuffix("; `start` needed"))
    if status.state is QueueState.STOPPED and cause is not STOP_REQUESTED:
        cause = Cause(cause.name, Level.ERROR, cause.meaning, cause.remedy)
    made = [entry(f"{name}: queue", cause, status.cause, values)]
    if rivals:
        made.append(entry(f"{name}: servers", SECOND_SERVER, f"{', '.join(rivals)} besides the one that is obeyed"))
    else:
        made.append(entry(f"{name}: servers", FOREIGN_CHUNKS if foreign else ONE_SERVER, foreign))
    return made
