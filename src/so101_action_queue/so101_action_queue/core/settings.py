# SPDX-License-Identifier: Apache-2.0
"""What the core must know beforehand: one frozen value with every parameter, its default, range and description.

Each parameter is written here and nowhere else; `ros.parameters` adds what only the node needs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from so101_node.parameters import ParameterError, parameter
from so101_node.protocol import JOINT_NAMES

from so101_action_queue.core.aggregation import AGGREGATIONS

REQUEST_POLICIES = ("threshold", "adaptive")
"""Names of the rules in `request_rules`, which reads these settings."""


FRAME_SIZES = ("camera", "policy")
"""Whose size the frames of a request have; `camera_choice.frame_sizes` reads it."""


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """Parameters of the action queue. Those that are not read-only may change while the arm moves."""

    # what the policy is told (PolicySpec)
    joint_names: tuple[str, ...] = parameter(
        JOINT_NAMES, "joints, in the order of the policy's state and action", longest=64, most=32
    )
    cameras: tuple[str, ...] = parameter(
        (),
        "the robot's cameras, of which the policy gets those it reads; empty = all that publish <camera>/observation",
        longest=64,
        most=16,
    )
    units: str = parameter(
        "degrees", "units of the policy's joint values (LeRobot's use_degrees)", choices=("degrees", "normalized")
    )
    task: str = parameter("", "language instruction; a change requests a chunk at once", read_only=False, longest=1024)
    policy_type: str = parameter("", "LeRobot policy type; empty = as the checkpoint says", longest=64)
    pretrained_name_or_path: str = parameter(
        "",
        "checkpoint folder, run folder or hub id; empty = the server's own. A server with max_policies_mb goes on with "
        "the present policy until another one is ready; else the arm holds while that is loaded",
        read_only=False,
        longest=1024,
    )
    policy_device: str = parameter(
        "", "device of the policy; empty = the server's own", choices=("", "cuda", "cpu", "mps")
    )
    actions_per_chunk: int = parameter(
        50, "rows wanted in each chunk; at most the policy's horizon", lower=10, upper=100
    )
    fps: float = parameter(30.0, "control rate, Hz", lower=10.0, upper=60.0)
    rename_from: tuple[str, ...] = parameter(
        (), "observation keys as the robot calls them (LeRobot's rename_map)", longest=128, most=32
    )
    rename_to: tuple[str, ...] = parameter(
        (), "observation keys as the policy calls them, one for each in rename_from", longest=128, most=32
    )
    # which server
    servers: tuple[str, ...] = parameter(
        (), "names of the policy servers to obey, the preferred first; empty = any", longest=64
    )
    hedge: bool = parameter(
        False,
        "where no chunk came within the p95 of the round trips, the next ready server that serves the same policy gets "
        "a request too; false: only when the first server is lost",
        read_only=False,
    )
    connect_timeout_s: float = parameter(
        10.0, "give up when no policy server is heard for this long, s; 0 = never", lower=0.0
    )
    server_lost_s: float = parameter(
        0.9,
        "a server without heartbeat (5 Hz) for this long is lost, s",
        lower=0.3,
        upper=10.0,
        read_only=False,
    )
    on_server_lost: str = parameter(
        "hold",
        "hold: execute the rows ahead, hold, resume automatically; stop: clear at once and wait for start",
        choices=("hold", "stop"),
        read_only=False,
    )
    frame_size: str = parameter(
        "camera",
        "size at which the cameras send their frames: camera, as captured; policy, that to which the server resizes "
        "them anyway, for policies that do not resize themselves: fewer bytes on a slow network, some ms more at the "
        "camera. Recorded <camera>/observation has that size too",
        choices=FRAME_SIZES,
        read_only=False,
    )
    # when to request
    request_policy: str = parameter(
        "threshold", "rule that decides when the next chunk is requested", choices=REQUEST_POLICIES, read_only=False
    )
    chunk_size_threshold: float = parameter(
        0.5,
        "threshold: request when at most this ratio of a chunk is left",
        lower=0.0,
        upper=1.0,
        read_only=False,
    )
    margin_steps: int = parameter(
        3, "adaptive: rows left when the chunk comes at p95", lower=0, upper=50, read_only=False
    )
    min_replan_steps: int = parameter(
        15, "adaptive: fewest steps between two requests", lower=1, upper=100, read_only=False
    )
    max_requests_in_flight: int = parameter(
        1,
        "requests that may be under way at once; 1: the next is sent by request_policy, after the chunk; more: one "
        "every request_spacing_steps, for round trips longer than half a chunk",
        lower=1,
        upper=8,
        read_only=False,
    )
    request_spacing_steps: int = parameter(
        5,
        "max_requests_in_flight above 1: a request every so many steps, and ticks without a row, while fewer are under "
        "way; below actions_per_chunk",
        lower=1,
        upper=100,
        read_only=False,
    )
    request_timeout_s: float = parameter(
        1.0,
        "a request is repeated after max(this, 2 x p95 of the round trip), s; "
        "from 0.2 s on, backing off, until the server has acknowledged one",
        lower=0.05,
        upper=60.0,
        read_only=False,
    )
    busy_timeout_s: float = parameter(
        30.0,
        "a request is repeated after this long though the server says that it works on it, s; at least "
        "request_timeout_s",
        lower=1.0,
        upper=600.0,
        read_only=False,
    )
    max_pose_age_s: float = parameter(
        0.1,
        "no request is sent with joint_states older than this, s",
        lower=0.01,
        upper=1.0,
        read_only=False,
    )
    # what to do with a chunk
    alignment: str = parameter(
        "executed_steps",
        "which rows of a chunk are past: executed_steps counts rows executed since the request, elapsed_time all "
        "ticks; none executes late rows as they come and is for comparison only",
        choices=("executed_steps", "elapsed_time", "none"),
        read_only=False,
    )
    aggregate_fn_name: str = parameter(
        "weighted_average",
        "how a new chunk is combined with the rows ahead",
        choices=tuple(AGGREGATIONS),
        read_only=False,
    )
    temporal_ensemble_coeff: float = parameter(
        0.01,
        "temporal_ensemble: the i-th oldest chunk weighs exp(-this x i)",
        lower=-1.0,
        upper=1.0,
        read_only=False,
    )
    seam_ramp: str = parameter(
        "always",
        "which seams are bounded: always, or after_hold (only those of a resting arm, as LeRobot leaves the others)",
        choices=("after_hold", "always"),
        read_only=False,
    )
    max_seam_rad: float = parameter(
        0.05,
        "largest seam per joint where seams are ramped, rad per tick",
        lower=0.001,
        upper=3.2,
        read_only=False,
    )
    max_action_age_s: float = parameter(
        5.0,
        "rows whose observation is older than this are dropped, s",
        lower=0.2,
        upper=60.0,
        read_only=False,
    )
    implausible_rad: float = parameter(
        1.0,
        "a value beyond its limits by more than this drops the chunk, rad",
        lower=0.0,
        upper=10.0,
        read_only=False,
    )
    # the driver
    engage_timeout_s: float = parameter(
        1.0, "the driver must engage within this long after start, s", lower=0.1, upper=10.0
    )
    driver_lost_s: float = parameter(
        1.0,
        "a driver without driver_status (10 Hz) for this long stops the queue, s",
        lower=0.3,
        upper=10.0,
    )
    resume_within_s: float = parameter(
        2.0,
        "commands that came late, or a queue that was held up, for at most this long: hold and resume automatically, "
        "s; longer: `start` needed; 0 = always",
        lower=0.0,
        upper=10.0,
        read_only=False,
    )

    @property
    def rename_map(self) -> Mapping[str, str]:
        """Observation key as the robot calls it -> as the policy does; LeRobot's rename_map."""
        return dict(zip(self.rename_from, self.rename_to, strict=False))

    @property
    def period_ns(self) -> int:
        """Time between control ticks, ns."""
        return round(1e9 / self.fps)

    def validate(self) -> None:
        """Check the rules across parameters.

        Raises:
            ParameterError: one is broken; the message names the parameter.
        """
        joints, cameras = list(self.joint_names), list(self.cameras)
        if not joints or len(set(joints)) != len(joints):
            raise ParameterError(f"parameter joint_names = {joints}: must name each joint once")
        if len(set(cameras)) != len(cameras):
            raise ParameterError(f"parameter cameras = {cameras}: must name each camera once")
        if len(self.rename_from) != len(self.rename_to):
            raise ParameterError(
                f"parameter rename_to = {list(self.rename_to)}: must have one key for each of rename_from "
                f"{list(self.rename_from)}"
            )
        for name in ("rename_from", "rename_to"):
            keys = list(getattr(self, name))
            if len(set(keys)) != len(keys):
                raise ParameterError(f"parameter {name} = {keys}: must have each key once, the last would win")
        self._check_repetition()
        self._check_spacing()

    def _check_repetition(self) -> None:
        if self.busy_timeout_s < self.request_timeout_s:
            raise ParameterError(
                f"parameter busy_timeout_s = {self.busy_timeout_s:g}: must be at least request_timeout_s "
                f"({self.request_timeout_s:g}): a server at work would get less time than a silent one"
            )

    def _check_spacing(self) -> None:
        """A chunk has at most `actions_per_chunk` rows; the plan would run dry before each request."""
        if self.max_requests_in_flight > 1 and self.request_spacing_steps >= self.actions_per_chunk:
            raise ParameterError(
                f"parameter request_spacing_steps = {self.request_spacing_steps}: must be below actions_per_chunk "
                f"({self.actions_per_chunk}) where max_requests_in_flight is above 1"
            )
