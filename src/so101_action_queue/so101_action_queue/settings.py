"""What the core must know beforehand: one frozen value with every parameter and its default."""

from dataclasses import dataclass

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")


@dataclass(frozen=True, slots=True)
class Settings:
    """Parameters of the action queue; `parameters.QueueParameters` describes each one and bounds it."""

    # what the policy is told (PolicySpec)
    joint_names: tuple[str, ...] = JOINTS
    cameras: tuple[str, ...] = ()
    units: str = "degrees"
    task: str = ""
    policy_type: str = ""
    pretrained_name_or_path: str = ""
    policy_device: str = ""
    actions_per_chunk: int = 50
    fps: float = 30.0
    rename_from: tuple[str, ...] = ()
    rename_to: tuple[str, ...] = ()
    # which server
    servers: tuple[str, ...] = ()
    connect_timeout_s: float = 10.0
    server_lost_s: float = 0.9
    on_server_lost: str = "hold"
    # when to ask
    request_policy: str = "threshold"
    chunk_size_threshold: float = 0.5
    margin_steps: int = 3
    min_replan_steps: int = 15
    request_timeout_s: float = 1.0
    busy_timeout_s: float = 30.0
    max_pose_age_s: float = 0.1
    # what to do with an answer
    alignment: str = "executed_steps"
    aggregate_fn_name: str = "weighted_average"
    temporal_ensemble_coeff: float = 0.01
    seam_ramp: str = "always"
    max_seam_rad: float = 0.05
    max_action_age_s: float = 5.0
    implausible_rad: float = 1.0
    # the driver
    engage_timeout_s: float = 1.0
    driver_lost_s: float = 1.0
    resume_within_s: float = 2.0

    @property
    def period_ns(self) -> int:
        """Time between control ticks, ns."""
        return round(1e9 / self.fps)
