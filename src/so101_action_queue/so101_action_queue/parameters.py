"""The node's parameters: `Settings` with descriptions and ranges, and what only the node needs."""

from dataclasses import dataclass, fields
from typing import Any

from so101_node.parameters import ParameterError, parameter

from so101_action_queue.aggregation import AGGREGATIONS
from so101_action_queue.asking import ASK_RULES
from so101_action_queue.settings import Settings
from so101_node import precedence

_DEFAULT = Settings()


@dataclass(frozen=True, slots=True)
class QueueParameters:
    """Parameters of the action_queue node. Those that are not read-only may change while the arm moves."""

    joint_names: list[str] = parameter(
        list(_DEFAULT.joint_names), "joints, in the order of the policy's state and action"
    )
    cameras: list[str] = parameter(
        list(_DEFAULT.cameras),
        "the robot's cameras, of which the policy gets those it reads; empty = all that publish <camera>/observation",
    )
    units: str = parameter(
        _DEFAULT.units, "units of the policy's joint values (LeRobot's use_degrees)", choices=("degrees", "normalized")
    )
    task: str = parameter(_DEFAULT.task, "language instruction; a change asks at once", read_only=False)
    policy_type: str = parameter(_DEFAULT.policy_type, "LeRobot policy type; empty = as the checkpoint says")
    pretrained_name_or_path: str = parameter(
        _DEFAULT.pretrained_name_or_path, "checkpoint folder, run folder or hub id; empty = the server's own"
    )
    policy_device: str = parameter(
        _DEFAULT.policy_device, "device of the policy; empty = the server's own", choices=("", "cuda", "cpu", "mps")
    )
    actions_per_chunk: int = parameter(
        _DEFAULT.actions_per_chunk, "rows wanted in each chunk; at most the policy's horizon", lower=10, upper=100
    )
    fps: float = parameter(_DEFAULT.fps, "control rate, Hz", lower=10.0, upper=60.0)
    rename_from: list[str] = parameter([], "observation keys as the robot calls them (LeRobot's rename_map)")
    rename_to: list[str] = parameter([], "observation keys as the policy calls them, one for each in rename_from")
    servers: list[str] = parameter([], "names of the policy servers to obey; empty = any")
    connect_timeout_s: float = parameter(
        _DEFAULT.connect_timeout_s, "give up when no policy server is heard for this long, s; 0 = never", lower=0.0
    )
    server_lost_s: float = parameter(
        _DEFAULT.server_lost_s,
        "a server without heartbeat (5 Hz) for this long is lost, s",
        lower=0.3,
        upper=10.0,
        read_only=False,
    )
    on_server_lost: str = parameter(
        _DEFAULT.on_server_lost,
        "hold: play out, hold, go on by itself; stop: clear at once and wait for start",
        choices=("hold", "stop"),
        read_only=False,
    )
    request_policy: str = parameter(
        _DEFAULT.request_policy, "rule that says when to ask", choices=tuple(ASK_RULES), read_only=False
    )
    chunk_size_threshold: float = parameter(
        _DEFAULT.chunk_size_threshold,
        "threshold: ask when at most this share of a chunk is left",
        lower=0.0,
        upper=1.0,
        read_only=False,
    )
    margin_steps: int = parameter(
        _DEFAULT.margin_steps, "adaptive: rows left when the answer comes at p95", lower=0, upper=50, read_only=False
    )
    min_replan_steps: int = parameter(
        _DEFAULT.min_replan_steps, "adaptive: fewest steps between two questions", lower=1, upper=100, read_only=False
    )
    request_timeout_s: float = parameter(
        _DEFAULT.request_timeout_s,
        "ask again after this long, or 2 x p95 of the round trip; sooner while nothing was heard of a question yet, s",
        lower=0.05,
        upper=60.0,
        read_only=False,
    )
    busy_timeout_s: float = parameter(
        _DEFAULT.busy_timeout_s,
        "ask again after this long though the server says it is busy with ours, s",
        lower=1.0,
        upper=600.0,
        read_only=False,
    )
    max_pose_age_s: float = parameter(
        _DEFAULT.max_pose_age_s,
        "do not ask with joint_states older than this, s",
        lower=0.01,
        upper=1.0,
        read_only=False,
    )
    alignment: str = parameter(
        _DEFAULT.alignment,
        "which rows of an answer are past: executed_steps counts rows executed since asking, elapsed_time all ticks; "
        "none executes late rows as they come and is for comparison only",
        choices=("executed_steps", "elapsed_time", "none"),
        read_only=False,
    )
    aggregate_fn_name: str = parameter(
        _DEFAULT.aggregate_fn_name,
        "how a new chunk is combined with the rows ahead",
        choices=tuple(AGGREGATIONS),
        read_only=False,
    )
    temporal_ensemble_coeff: float = parameter(
        _DEFAULT.temporal_ensemble_coeff,
        "temporal_ensemble: the i-th oldest chunk weighs exp(-this x i)",
        lower=-1.0,
        upper=1.0,
        read_only=False,
    )
    seam_ramp: str = parameter(
        _DEFAULT.seam_ramp,
        "which seams are bounded: always, or after_hold (only those of a resting arm, as LeRobot leaves the others)",
        choices=("after_hold", "always"),
        read_only=False,
    )
    max_seam_rad: float = parameter(
        _DEFAULT.max_seam_rad,
        "largest seam per joint where seams are ramped, rad per tick",
        lower=0.001,
        upper=3.2,
        read_only=False,
    )
    max_action_age_s: float = parameter(
        _DEFAULT.max_action_age_s,
        "rows whose observation is older than this are dropped, s",
        lower=0.2,
        upper=60.0,
        read_only=False,
    )
    implausible_rad: float = parameter(
        _DEFAULT.implausible_rad,
        "a value beyond its limits by more than this drops the chunk, rad",
        lower=0.0,
        upper=10.0,
        read_only=False,
    )
    engage_timeout_s: float = parameter(
        _DEFAULT.engage_timeout_s, "the driver must engage within this long after start, s", lower=0.1, upper=10.0
    )
    driver_lost_s: float = parameter(
        _DEFAULT.driver_lost_s,
        "a driver without driver_status (10 Hz) for this long stops the queue, s",
        lower=0.3,
        upper=10.0,
    )
    resume_within_s: float = parameter(
        _DEFAULT.resume_within_s,
        "commands that came late, or a queue that was held up, for at most this long: hold and go on by itself, s;"
        " longer: `start` needed; 0 = always",
        lower=0.0,
        upper=10.0,
        read_only=False,
    )
    start_on_activate: bool = parameter(False, "start by itself as soon as server and driver allow it, once")
    tick_priority: int = precedence.tick_priority()
    thread_priority: int = precedence.thread_priority()
    niceness: int = precedence.niceness(-10)

    def validate(self) -> None:
        """Check the rules across parameters."""
        if not self.joint_names or len(set(self.joint_names)) != len(self.joint_names):
            raise ParameterError(f"parameter joint_names = {self.joint_names}: must name each joint once")
        if len(self.joint_names) > 32:
            raise ParameterError(f"parameter joint_names: {len(self.joint_names)} joints, at most 32 fit a message")
        if len(set(self.cameras)) != len(self.cameras) or len(self.cameras) > 16:
            raise ParameterError(f"parameter cameras = {self.cameras}: must name each camera once, at most 16")
        if len(self.rename_from) != len(self.rename_to):
            raise ParameterError(
                f"parameter rename_to = {self.rename_to}: must have one key for each of rename_from {self.rename_from}"
            )
        if len(self.task) > 1024:
            raise ParameterError(f"parameter task: {len(self.task)} characters, at most 1024 fit a message")

    def settings(self) -> Settings:
        """Return the part that the core works with."""
        values: dict[str, Any] = {}
        for item in fields(Settings):
            value = getattr(self, item.name)
            values[item.name] = tuple(value) if isinstance(value, list) else value
        return Settings(**values)
