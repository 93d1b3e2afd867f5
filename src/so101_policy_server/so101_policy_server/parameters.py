# SPDX-License-Identifier: Apache-2.0
"""Parameters of the policy server; those that LeRobot has too keep its names, defaults and ranges."""

from __future__ import annotations

import re
from dataclasses import dataclass

from so101_node.parameters import ParameterError, parameter, pick, precedence, shown
from so101_node.protocol import JOINT_NAMES, Units

from so101_policy_server.core.server_config import ServerConfig
from so101_policy_server.core.spec_check import ServedSettings
from so101_policy_server.policy import LEROBOT, OF_ONE_CHECKPOINT, PolicySource


@dataclass(frozen=True, slots=True)
class ServerParameters:
    """See the descriptions; `config` is what the core makes of them."""

    pretrained_name_or_path: str = parameter(
        "",
        "checkpoint folder, run folder or hub id; empty = a robot names one; what another policy_library takes is told "
        "by its package",
        longest=1024,
    )
    policy_library: str = parameter(
        LEROBOT,
        "library that loads the policy: lerobot, or the name of an installed entry point of the group so101.policies",
    )
    policy_type: str = parameter(
        "", "LeRobot policy type the checkpoint must have; empty = whatever it has", longest=64
    )
    policy_device: str = parameter("cpu", "where the policy runs: cpu, cuda, cuda:N or mps")
    actions_per_chunk: int = parameter(
        50, "rows of a chunk for robots that do not say; at most the policy's horizon", lower=10, upper=100
    )
    fps: float = parameter(30.0, "rate the policy was trained at, Hz; robots must run at it", lower=10.0, upper=60.0)
    task: str = parameter("", "language instruction for requests that bring none", longest=1024)
    inference_latency: float = parameter(
        0.033,
        "target for the policy's own time, s; warned about when exceeded, never slept; at most inference_timeout_s",
        lower=0.0,
        upper=10.0,
    )
    obs_queue_timeout: float = parameter(
        1.0, "how long a request waits for its camera frames, s", lower=0.05, upper=10.0
    )
    observation_source: str = parameter(
        "on_request",
        "on_request: cameras send frames on request; topics: newest of plain image and joint_states topics by arrival",
        choices=("on_request", "topics"),
    )
    image_transport: str = parameter(
        "compressed",
        "topics: <camera>/image_raw/compressed (CompressedImage) or <camera>/image_raw (Image)",
        choices=("compressed", "raw"),
    )
    max_frame_age_s: float = parameter(
        0.2, "oldest camera frame that is used, s; one repeated for longer is frozen", lower=0.01, upper=10.0
    )
    aspect_mismatch: str = parameter(
        "refuse",
        "frames of another aspect ratio than those that trained the policy, of a policy that does not pad them: "
        "refuse, or squash them with a warning",
        choices=("refuse", "warn"),
    )
    allowed_policies: tuple[str, ...] = parameter(
        (), "shell patterns of policies that a robot's PolicySpec may make this server load; empty = none but its own"
    )
    max_policies_mb: int = parameter(
        0,
        "memory that loaded policies may take together, MB, so that a robot gets another policy while the present ones "
        "go on; 0 = one policy at a time",
        lower=0,
        upper=10_000_000,
    )
    unload_after_s: float = parameter(
        600.0,
        "how long a policy stays loaded when the last robot that it serves has left or changed to another, s; before "
        "the first robot has come it stays",
        lower=0.0,
        upper=1e7,
    )
    allow_download: bool = parameter(
        False, "whether a local checkpoint may fetch parts that it names, such as a tokenizer, from the hub"
    )
    base_model_name_or_path: str = parameter(
        "", "base policy of a PEFT (LoRA) adapter, folder or hub id; empty = the one that its adapter_config.json names"
    )
    statistics_from: tuple[str, ...] = parameter(
        (),
        "which statistics the policy is normalised with, where the checkpoint keeps several or others: so100.buffer.* "
        "(* is the feature's name), action=KEY, or the path of a dataset's meta/stats.json; the first that fits wins",
    )
    accepted_findings: tuple[str, ...] = parameter(
        (), "keys of findings about the checkpoint that are implausible but meant, such as units.action"
    )
    ignored_config_fields: tuple[str, ...] = parameter(
        (), "fields of the checkpoint's config.json that another LeRobot wrote and that change nothing at inference"
    )
    server_name: str = parameter("policy_server", "name that robots bind to")
    robots: tuple[str, ...] = parameter((), "namespaces of the robots to serve; empty = the node's own")
    units: str = parameter(
        "degrees", "what the policy was trained on (LeRobot's use_degrees)", choices=("degrees", "normalized")
    )
    joint_names: tuple[str, ...] = parameter(
        JOINT_NAMES,
        "joints in the order of the policy's state and action, which checkpoints do not tell",
        longest=64,
        most=32,
    )
    cameras: tuple[str, ...] = parameter(
        (), "camera names for the policy's images, in order; empty = the names in the checkpoint", longest=64, most=16
    )
    rename_from: tuple[str, ...] = parameter(
        (), "observation keys as the robots call them, such as observation.images.front"
    )
    rename_to: tuple[str, ...] = parameter((), "the same keys as the policy calls them")
    torch_threads: int = parameter(0, "CPU threads of the policy; 0 = torch's own choice", lower=0, upper=256)
    min_inference_s: float = parameter(
        0.0,
        "predict_action_chunk is made to take at least this long, s, to try out slow policies",
        lower=0.0,
        upper=60.0,
    )
    replicas: int = parameter(
        0,
        "replicas of the policy, each in a process of a Ray cluster, with its own GPU where policy_device is cuda; 0 = "
        "no Ray: the policy runs in the server's own process",
        lower=0,
        upper=64,
    )
    ray_address: str = parameter(
        "127.0.0.1:6379", "host:port of the Ray cluster that runs the replicas; this computer must be a part of it"
    )
    max_batch: int = parameter(
        8,
        "most robots that are served in one forward pass, where the policy allows it; 1 = one by one",
        lower=1,
        upper=64,
    )
    batch_window_s: float = parameter(
        0.01,
        "how long a forward pass waits at most for robots that are about to ask, s; one robot alone never waits",
        lower=0.0,
        upper=0.1,
    )
    rehearse: bool = parameter(
        True,
        "whether the server decodes the last frame again and prepares blank ones for the policy, and throws both away, "
        "25 ms before the next request of a robot is due and 12 ms before the frames that cameras wait for, so that "
        "these find the caches warm: 3 to 10 ms of a core for each request",
    )
    optimize: str = parameter(
        "off",
        "auto: at load try what makes a LeRobot policy faster on this device, which multiplies its loading time, and "
        "keep what leaves its chunks within optimize_bound (robots are then served one by one); off: the policy as "
        "LeRobot runs it, to the bit",
        choices=("auto", "off"),
    )
    optimize_bound: float = parameter(
        1e-4,
        "largest difference that optimize may make to a value of a chunk, in the policy's normalised space (1 = one "
        "standard deviation); 0.01 lets bfloat16 in",
        lower=0.0,
        upper=0.1,
    )
    inference_timeout_s: float = parameter(
        10.0, "an inference that takes longer ends the server, for its respawn, s", lower=0.5, upper=600.0
    )
    niceness: int = precedence.niceness(0)

    def validate(self) -> None:
        """Cross-field rules."""
        if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", self.policy_device):
            raise ParameterError(f"policy_device = {self.policy_device!r}: must be cpu, cuda, cuda:N or mps")
        if self.replicas and self.policy_device not in ("cpu", "cuda"):
            raise ParameterError(
                f"policy_device = {self.policy_device!r}: must be cpu or cuda where replicas is above 0: Ray gives "
                "each its own GPU"
            )
        if self.replicas and not re.fullmatch(r"[^:\s]+:\d{1,5}", self.ray_address):
            raise ParameterError(f"ray_address = {self.ray_address!r}: must be host:port, such as 127.0.0.1:6379")
        for name in ("replicas", "optimize"):
            if self.max_policies_mb and getattr(self, name) not in (0, "off"):
                raise ParameterError(
                    f"max_policies_mb = {self.max_policies_mb}: must be 0 where {name} is {getattr(self, name)}"
                )
        if len(self.rename_from) != len(self.rename_to):
            raise ParameterError(
                f"rename_from = {shown(self.rename_from)}: must have as many keys as rename_to ({len(self.rename_to)})"
            )
        for name in ("joint_names", "cameras", "robots", "rename_from", "rename_to"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ParameterError(f"{name} = {shown(values)}: must not have a name twice")
        for name in OF_ONE_CHECKPOINT:
            value = getattr(self, name)
            if value and not self.pretrained_name_or_path:
                raise ParameterError(
                    f"{name} = {shown(value)!r}: is of the server's own policy: set pretrained_name_or_path too"
                )
        if not self.joint_names:
            raise ParameterError("joint_names = []: must name the policy's joints")
        if not 0 < len(self.server_name) <= 64:
            raise ParameterError(f"server_name = {self.server_name!r}: must have 1 to 64 characters")
        if self.min_inference_s >= self.inference_timeout_s:
            raise ParameterError(
                f"min_inference_s = {self.min_inference_s:g}: must be below inference_timeout_s "
                f"({self.inference_timeout_s:g})"
            )
        if self.inference_latency > self.inference_timeout_s:
            raise ParameterError(
                f"inference_latency = {self.inference_latency:g}: must be at most inference_timeout_s "
                f"({self.inference_timeout_s:g}), after which the server ends"
            )

    @property
    def serves_nothing(self) -> bool:
        """Whether neither this server nor a robot names a policy; another library may need no path."""
        return self.policy_library == LEROBOT and not self.pretrained_name_or_path and not self.allowed_policies

    def config(self) -> ServerConfig:
        """The core's configuration."""
        return pick(
            ServerConfig,
            self,
            source=pick(
                PolicySource,
                self,
                path=self.pretrained_name_or_path,
                device=self.policy_device,
                library=self.policy_library,
            ),
            served=pick(
                ServedSettings,
                self,
                units=Units[self.units.upper()],
                rename_map=dict(zip(self.rename_from, self.rename_to, strict=True)),
            ),
            obs_queue_timeout_s=self.obs_queue_timeout,
            inference_latency_s=self.inference_latency,
            refuses_distortion=self.aspect_mismatch == "refuse",
            from_topics=self.observation_source == "topics",
        )
