# SPDX-License-Identifier: Apache-2.0
"""What the server needs of a policy, whatever library it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from so101_policy_server.core.image import Pixels
from so101_policy_server.errors import PolicyServerError, WrongShapeError

LEROBOT: Final = "lerobot"
"""The library whose policies are served where no other is named."""


class PolicyLoadError(PolicyServerError):
    """The policy cannot be loaded. The message is one line that names the thing and the remedy."""


class PolicyError(PolicyServerError):
    """The policy could not predict. The message is one line."""


class ReplicaLostError(PolicyServerError):
    """The process that the policy runs in is gone, or did not reply. The message is one line."""


class PolicyNotReadyError(PolicyError):
    """The policy cannot predict yet; the robot asks again. The message is one line that says what it waits for."""


@dataclass(frozen=True, slots=True)
class PolicySource:
    """Which policy to load and how.

    Attributes:
        path: checkpoint folder, run folder or hub id; for other libraries than LeRobot whatever they take, "" too.
        policy_type: LeRobot's type the checkpoint must have; "" = whatever it has.
        device: cuda, cpu or mps.
        torch_threads: CPU threads of the policy; 0 = torch's own choice.
        min_inference_s: an inference is made to take at least this long, s; the server sees to it, for every library.
        base_model_name_or_path: base policy of a PEFT adapter; "" = the one that the adapter names.
        allow_download: whether a local checkpoint may fetch parts that it names (such as a tokenizer) from the hub.
        statistics_from: which statistics to normalise with: `so100.buffer.*`, `action=KEY` or a dataset's stats.json.
        accepted_findings: keys of implausible findings that a person vouches for.
        ignored_config_fields: fields of config.json that another LeRobot wrote and that change nothing here.
        library: name of the library that loads it, see `policy_libraries`.
        optimize: "auto" = try at load what makes the policy faster and keep what holds the bound; "off" = as it is.
        optimize_bound: largest difference of a chunk's values that an option may make, in the model's normalised space.
    """

    path: str
    policy_type: str = ""
    device: str = "cpu"
    torch_threads: int = 0
    min_inference_s: float = 0.0
    allow_download: bool = False
    base_model_name_or_path: str = ""
    statistics_from: tuple[str, ...] = ()
    accepted_findings: tuple[str, ...] = ()
    ignored_config_fields: tuple[str, ...] = ()
    library: str = LEROBOT
    optimize: str = "off"
    optimize_bound: float = 1e-4

    @property
    def is_named(self) -> bool:
        """Whether this says which policy: by its path, or by a library whose policies may need none."""
        return bool(self.path) or self.library != LEROBOT

    @property
    def label(self) -> str:
        """The policy in words: its path, else its library."""
        return self.path or f"of library {self.library}"


OF_ONE_CHECKPOINT: Final = (
    "base_model_name_or_path",
    "statistics_from",
    "accepted_findings",
    "ignored_config_fields",
)
"""Fields of a PolicySource that a person says of one checkpoint: they are true of no other."""


@dataclass(frozen=True, slots=True)
class ImageFeature:
    """One image that the policy reads: LeRobot's key, the camera name within it, and the size, pixels.

    `native`: the policy itself brings a frame of any size to what its network reads, and was trained so. The size
    then only describes the feature, and frames are handed over as the camera gives them.
    `trained_size`: the size is that of the frames in training; one of another aspect ratio would be distorted.
    """

    key: str
    camera: str
    channels: int
    height: int
    width: int
    native: bool = False
    trained_size: bool = True

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width to which the server brings frames, pixels; (0, 0) = the policy gets them as captured."""
        return (0, 0) if self.native else (self.height, self.width)


@dataclass(frozen=True, slots=True)
class PolicyDescription:
    """What a loaded policy reads and gives.

    Attributes:
        policy_type: LeRobot's type, such as "act".
        path: the checkpoint in use, resolved.
        device: where it runs.
        horizon: rows it predicts at most.
        images: images in the order of the policy's features.
        state_dim: length of the state; 0 = reads none.
        action_dim: length of one action row.
        supports_rtc: whether it can continue a leftover.
        n_obs_steps: observation steps that it reads.
        rename_map: observation keys that the checkpoint's own preprocessor renames, from -> to.
        action_names: names of the action's columns where the checkpoint has them, else empty.
        warnings: what is unlikely to be meant about the checkpoint, a line each.
        reads_task: whether it does as the language instruction says.
        statistics: of state and action where they are joint positions, by feature key and name of the statistic.
        trained_in_degrees: LeRobot's use_degrees where the training tells it.
        in_radians: whether state and action are rad, as on the topics; then neither `units` nor the robot's calibration
            matters to it.
        any_fps: whether it predicts rows for any rate, see `Observation.period_s`; else the parameter fps must fit.
        batches: whether it is a `BatchingPolicy`: answers several robots in one pass, and keeps their sessions apart.
        remembers: whether a chunk may depend on earlier observations of its session beyond those in its own request; a
            session then stays with the replica that served it.
        fingerprint: of its configuration and weights, 64 hex digits, see `so101_node.fingerprint`; "" = none known.
        optimization: what was tried to make it faster: what came of it in one line, then a line for each thing tried;
            empty = nothing was tried.
        memory_bytes: what it takes of its device's memory while it is loaded, bytes; 0 = not known.
    """

    policy_type: str
    path: str
    device: str
    horizon: int
    images: tuple[ImageFeature, ...]
    state_dim: int
    action_dim: int
    supports_rtc: bool = False
    n_obs_steps: int = 1
    rename_map: Mapping[str, str] = field(default_factory=dict)
    action_names: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    reads_task: bool = False
    statistics: Mapping[str, Mapping[str, npt.NDArray[np.float64]]] = field(default_factory=dict, compare=False)
    trained_in_degrees: bool | None = None
    in_radians: bool = False
    any_fps: bool = False
    fingerprint: str = ""
    batches: bool = False
    remembers: bool = True
    optimization: tuple[str, ...] = ()
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Observation:
    """One observation in the policy's units.

    Attributes:
        state: (n_obs_steps, joints) float64, newest last.
        images: image key -> n_obs_steps frames, (H, W, 3) uint8 RGB, newest last.
        task: language instruction.
        step: control step of the session that row 0 of the chunk is meant for.
        period_s: time from row to row that the robot expects, s.
        session: name of the session that asks: one run of one robot's queue.

    Raises:
        WrongShapeError: the state has other dimensions.
    """

    state: npt.NDArray[np.float64]
    images: Mapping[str, tuple[Pixels, ...]]
    task: str
    step: int = 0
    period_s: float = 1 / 30
    session: str = ""

    def __post_init__(self) -> None:
        if np.ndim(self.state) != 2:
            raise WrongShapeError(f"state has shape {np.shape(self.state)}: expected (n_obs_steps, joints)")


@dataclass(frozen=True, slots=True)
class Leftover:
    """Rows that are still to be executed, for real-time chunking.

    Attributes:
        rows: (rows, joints) float64 in the policy's units, at least one row.
        expected_delay_steps: control steps expected to run before the chunk arrives.

    Raises:
        WrongShapeError: the rows have other dimensions, or there are none.
    """

    rows: npt.NDArray[np.float64]
    expected_delay_steps: int

    def __post_init__(self) -> None:
        if np.ndim(self.rows) != 2 or not len(self.rows):
            raise WrongShapeError(f"leftover has shape {np.shape(self.rows)}: expected (1 or more rows, joints)")


@dataclass(frozen=True, slots=True)
class Prediction:
    """A chunk in the policy's units, and where the time went.

    Attributes:
        actions: (rows, joints) float32, row 0 for `Observation.step`; rows beyond what the robot asked for are dropped.
        preprocess_s: normalisation and batching, s.
        inference_s: the policy's own time, s; 0 = all that `infer` took and the other two do not name.
        postprocess_s: denormalisation, s.
    """

    actions: npt.NDArray[np.float32]
    preprocess_s: float = 0.0
    inference_s: float = 0.0
    postprocess_s: float = 0.0


class Policy(Protocol):
    """A loaded policy. Called from one thread only.

    One that holds memory which does not go with the object may have a method `close()`, called when it is unloaded. One
    that prepares its observations may have `prepare_blank()`: it does so with a blank one, and throws the result away,
    a moment before a request is due; the caches are warm then. Nothing that it gives afterwards may depend on it.
    """

    @property
    def description(self) -> PolicyDescription:
        """What the policy reads and gives."""
        ...

    def infer(self, observation: Observation, leftover: Leftover | None) -> Prediction:
        """Predict one chunk.

        Raises:
            PolicyError: the policy raised, ran out of memory or gave values that are not finite.
            PolicyNotReadyError: not yet; the robot asks again shortly.
        """
        ...

    def reset(self) -> None:
        """Forget everything about earlier observations; called whenever another session asks than the one before."""
        ...


def close_policy(policy: Policy) -> None:
    """Let a policy that is unloaded give back the memory that does not go with its object, where it has such."""
    close = getattr(policy, "close", None)
    if callable(close):
        close()


class BatchingPolicy(Policy, Protocol):
    """A policy whose description says `batches`: many robots share it. Called from one thread only.

    What it remembers of earlier observations, if anything, it keeps by `Observation.session`; `reset` is called when it
    has been loaded, and not between sessions.
    """

    def infer_batch(
        self, observations: Sequence[Observation], leftovers: Sequence[Leftover | None]
    ) -> Sequence[Prediction]:
        """Predict a chunk for each observation, in their order, each of another session.

        Each chunk is what `infer` gives for its observation alone, within float error.

        Raises:
            PolicyError: one of them failed; the server then asks for each alone.
        """
        ...

    def forget(self, session: str) -> None:
        """Forget a session, which is over or has not asked for long; it may never have been seen."""
        ...


Progress = Callable[[str], None]
"""Told in a few words what loading does now."""

Loader = Callable[[PolicySource, Progress], Policy]
"""Loads and warms up a policy; raises PolicyLoadError."""
