"""What the server needs of a policy, whatever library it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from so101_policy_server.image_decode import Pixels


class PolicyLoadError(RuntimeError):
    """The policy cannot be loaded. The message is one line that names the thing and the remedy."""


class PolicyError(RuntimeError):
    """The policy could not answer. The message is one line."""


@dataclass(frozen=True, slots=True)
class PolicySource:
    """Which policy to load and how.

    Attributes:
        path: checkpoint folder, run folder or hub id.
        policy_type: LeRobot's type the checkpoint must have; "" = whatever it has.
        device: cuda, cpu or mps.
        torch_threads: CPU threads of the policy; 0 = torch's own choice.
        min_inference_s: predict_action_chunk is made to take at least this long, s.
        base_model_name_or_path: base policy of a PEFT adapter; "" = the one that the adapter names.
        allow_download: whether a local checkpoint may fetch parts that it names (such as a tokenizer) from the hub.
        statistics_from: which statistics to normalise with: `so100.buffer.*`, `action=KEY` or a dataset's stats.json.
        accepted_findings: keys of implausible findings that a person vouches for.
        ignored_config_fields: fields of config.json that another LeRobot wrote and that change nothing here.
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

    `native`: the policy itself brings a picture of any size to what its network reads, and was trained so. The size
    then only describes the feature, and pictures are handed over as the camera gives them.
    `trained_size`: the size is that of the pictures in training; one of another aspect ratio would be distorted.
    """

    key: str
    camera: str
    channels: int
    height: int
    width: int
    native: bool = False
    trained_size: bool = True


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


@dataclass(frozen=True, slots=True)
class Observation:
    """One observation in the policy's units.

    Attributes:
        state: (n_obs_steps, joints) float64, newest last.
        images: image key -> n_obs_steps pictures, (H, W, 3) uint8 RGB, newest last.
        task: language instruction.
    """

    state: npt.NDArray[np.float64]
    images: Mapping[str, tuple[Pixels, ...]]
    task: str


@dataclass(frozen=True, slots=True)
class Leftover:
    """Rows that are still to be executed, for real-time chunking.

    Attributes:
        rows: (rows, joints) float64 in the policy's units, at least one row.
        expected_delay_steps: control steps expected to run before the answer arrives.
    """

    rows: npt.NDArray[np.float64]
    expected_delay_steps: int


@dataclass(frozen=True, slots=True)
class Prediction:
    """A chunk in the policy's units, (rows, joints) float32, and where the time went, s."""

    actions: npt.NDArray[np.float32]
    preprocess_s: float
    inference_s: float
    postprocess_s: float


class Policy(Protocol):
    """A loaded policy. Called from one thread only."""

    @property
    def description(self) -> PolicyDescription:
        """What the policy reads and gives."""
        ...

    def infer(self, observation: Observation, leftover: Leftover | None) -> Prediction:
        """Predict one chunk.

        Raises:
            PolicyError: the policy raised, ran out of memory or gave values that are not finite.
        """
        ...

    def reset(self) -> None:
        """Forget everything about earlier observations."""
        ...


Progress = Callable[[str], None]
"""Told in a few words what loading does now."""

Loader = Callable[[PolicySource, Progress], Policy]
"""Loads and warms up a policy; raises PolicyLoadError."""
