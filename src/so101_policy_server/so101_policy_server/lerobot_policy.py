"""The one adaptor to LeRobot and torch: loads any checkpoint and turns an observation into a chunk.

Import this on the thread that infers, and only when a policy is to be loaded: importing torch takes seconds and holds
the interpreter in bursts.
"""

from __future__ import annotations

import contextlib
import gc
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import huggingface_hub.constants
import lerobot.policies  # noqa: F401 - registers every policy type
import numpy as np
import torch
from lerobot.configs import PreTrainedConfig
from lerobot.policies import get_policy_class, make_pre_post_processors
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.policies.rtc import RTCConfig
from lerobot.policies.utils import populate_queues, prepare_observation_for_inference
from lerobot.processor import RenameObservationsProcessorStep
from lerobot.utils.constants import ACTION, OBS_IMAGES, OBS_STATE
from safetensors import safe_open

from so101_policy_server.checkpoint import WEIGHTS, Checkpoint, find_checkpoint
from so101_policy_server.policy import (
    ImageFeature,
    Leftover,
    Observation,
    PolicyDescription,
    PolicyError,
    PolicyLoadError,
    PolicySource,
    Prediction,
    Progress,
)

ROBOT_TYPE: Final = "so101_follower"
"""LeRobot's name of the arm, which some preprocessors read."""

WARM_UP_PASSES: Final = 3
"""The first pass allocates and picks kernels, the second can still be slow (CUDA graphs, lazy modules)."""


def load_policy(source: PolicySource, progress: Progress) -> LeRobotPolicy:
    """Load a checkpoint and run it until it is warm.

    Raises:
        PolicyLoadError: one line that says what is wrong and what to do.
    """
    checkpoint = find_checkpoint(source.path)
    _check_device(source.device)
    if source.torch_threads > 0:
        torch.set_num_threads(source.torch_threads)
    with _hub_access(offline=checkpoint.is_local and not source.allow_download):
        try:
            progress("reading the configuration")
            config = _load_config(checkpoint, source)
            description = _describe(checkpoint.path, config, source.device)
            progress("loading weights")
            policy = _load_weights(checkpoint, config)
            preprocessor, postprocessor = _load_processors(checkpoint, config, source.device)
        except PolicyLoadError:
            raise
        except Exception as error:  # LeRobot, transformers and hub raise dozens of types here
            raise PolicyLoadError(_explain(error, checkpoint)) from error
    progress("warming up")
    loaded = LeRobotPolicy(description, config, policy, preprocessor, postprocessor, source)
    loaded.warm_up()
    gc.collect()
    # With LeRobot loaded a full collection takes 237 ms; what loading made is never garbage.
    gc.freeze()
    return loaded


class LeRobotPolicy:
    """A loaded LeRobot policy with its processors; `so101_policy_server.policy.Policy`."""

    def __init__(
        self,
        description: PolicyDescription,
        config: Any,
        policy: Any,
        preprocessor: Any,
        postprocessor: Any,
        source: PolicySource,
    ) -> None:
        self._config = config
        self._policy = policy
        self._preprocessor = preprocessor
        self._postprocessor = postprocessor
        self._device = torch.device(source.device)
        self._min_inference_s = source.min_inference_s
        self._supports_rtc = bool(policy.supports_rtc())
        if self._supports_rtc:
            policy.config.rtc_config = RTCConfig(enabled=False)
            policy.init_rtc_processor()
        rename = next((step for step in preprocessor.steps if isinstance(step, RenameObservationsProcessorStep)), None)
        self._description = replace(
            description,
            supports_rtc=self._supports_rtc,
            rename_map=dict(rename.rename_map) if rename is not None else {},
        )

    @property
    def description(self) -> PolicyDescription:
        """What the policy reads and gives."""
        return self._description

    def warm_up(self) -> None:
        """Run on zeros until it is warm, and learn the horizon from what comes out.

        Raises:
            PolicyLoadError: the policy cannot run on the observation it describes.
        """
        described = self._description
        blank = Observation(
            state=np.zeros((described.n_obs_steps, described.state_dim)),
            images={
                image.key: (np.zeros((image.height, image.width, 3), dtype=np.uint8),) * described.n_obs_steps
                for image in described.images
            },
            task="warm-up",
        )
        wanted, self._min_inference_s = self._min_inference_s, 0.0
        try:
            for _ in range(WARM_UP_PASSES):
                prediction = self.infer(blank, None)
        except PolicyError as error:
            raise PolicyLoadError(f"{described.path} ({described.policy_type}) cannot run: {error}") from error
        finally:
            self._min_inference_s = wanted
        rows, columns = prediction.actions.shape
        if columns != described.action_dim:
            raise PolicyLoadError(
                f"{described.path}: chunks have {columns} columns, the configuration says {described.action_dim}"
            )
        self._description = replace(described, horizon=rows)
        self.reset()

    def infer(self, observation: Observation, leftover: Leftover | None) -> Prediction:
        """Predict one chunk; see `Policy.infer`."""
        began = time.monotonic()
        try:
            batch, prefix = self._preprocess(observation, leftover)
            prepared = time.monotonic()
            with torch.no_grad(), self._precision():
                chunk = self._predict(batch, prefix, leftover)
            remaining = self._min_inference_s - (time.monotonic() - prepared)
            if remaining > 0:
                time.sleep(remaining)
            inferred = time.monotonic()
            # The whole chunk at once: bit-equal to row by row and 20 times faster.
            actions = self._postprocessor(chunk)[0].to("cpu", torch.float32).numpy()
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise PolicyError(f"out of GPU memory: {one_line(error)}") from error
        except Exception as error:  # policies are other people's code: whatever they raise is one explicit answer
            raise PolicyError(f"{type(error).__name__}: {one_line(error)}") from error
        if not np.isfinite(actions).all():
            raise PolicyError("the policy gave values that are not finite")
        return Prediction(actions, prepared - began, inferred - prepared, time.monotonic() - inferred)

    def reset(self) -> None:
        """Forget everything about earlier observations."""
        self._policy.reset()
        self._preprocessor.reset()
        self._postprocessor.reset()

    def _preprocess(self, observation: Observation, leftover: Leftover | None) -> tuple[dict[str, Any], Any]:
        """Model-ready batch of the newest step, and the leftover in model space: (rows, joints) or None."""
        steps = self._description.n_obs_steps
        batches = []
        for step in range(steps):
            frame: dict[str, Any] = {key: pictures[step] for key, pictures in observation.images.items()}
            if self._description.state_dim:
                frame[OBS_STATE] = observation.state[step].astype(np.float32)
            batch = prepare_observation_for_inference(frame, self._device, observation.task, ROBOT_TYPE)
            if leftover is not None and step == steps - 1:
                # As the action of a training batch: normalised, and relative to this state where the policy wants it.
                rows = torch.from_numpy(leftover.rows.astype(np.float32))
                batch[ACTION] = rows.unsqueeze(0).to(self._device)
            batches.append(self._preprocessor(batch))
        newest = batches[-1]
        prefix = newest.pop(ACTION, None)
        if steps > 1:
            self._fill_history(batches)
        return newest, None if leftover is None or prefix is None else prefix[0]

    def _fill_history(self, batches: list[dict[str, Any]]) -> None:
        """Give policies that read several steps their history the way their own `select_action` does."""
        self._policy.reset()
        for batch in batches:
            if self._config.image_features:
                batch[OBS_IMAGES] = torch.stack([batch[key] for key in self._config.image_features], dim=-4)
            batch.pop(ACTION, None)
            self._policy._queues = populate_queues(self._policy._queues, batch)

    def _predict(self, batch: dict[str, Any], prefix: Any, leftover: Leftover | None) -> Any:
        if not self._supports_rtc:
            chunk = self._policy.predict_action_chunk(batch)
        else:
            self._policy.config.rtc_config.enabled = prefix is not None
            delay = leftover.expected_delay_steps if leftover is not None else 0
            chunk = self._policy.predict_action_chunk(batch, inference_delay=delay, prev_chunk_left_over=prefix)
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return chunk

    def _precision(self) -> Any:
        if self._config.use_amp and self._device.type == "cuda":
            return torch.autocast(device_type="cuda")
        return contextlib.nullcontext()


def one_line(error: BaseException) -> str:
    """The error's text on one line of at most 400 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 400 else text[:397] + "..."


def _load_config(checkpoint: Checkpoint, source: PolicySource) -> Any:
    known = PreTrainedConfig.get_known_choices()
    if checkpoint.is_local and checkpoint.policy_type not in known:
        raise PolicyLoadError(
            f"policy type '{checkpoint.policy_type}' of {checkpoint.path} is not one that LeRobot knows: "
            f"{', '.join(sorted(known))}"
        )
    config = PreTrainedConfig.from_pretrained(checkpoint.path)
    if source.policy_type not in ("", config.type):
        raise PolicyLoadError(f"policy_type = {source.policy_type}: {checkpoint.path} is of type {config.type}")
    if getattr(config, "use_peft", False):
        raise PolicyLoadError(f"{checkpoint.path} is a PEFT adapter: merge it into its base policy and save that")
    config.device = source.device
    config.pretrained_path = checkpoint.path
    if hasattr(config, "pretrained_backbone_weights"):
        # Otherwise torchvision downloads ImageNet weights, only for the checkpoint to overwrite them.
        config.pretrained_backbone_weights = None
    return config


def _load_weights(checkpoint: Checkpoint, config: Any) -> Any:
    policy = get_policy_class(config.type).from_pretrained(checkpoint.path, config=config)
    if checkpoint.is_local:
        _check_weights(checkpoint, policy)
    return policy.to(config.device).eval()


def _check_weights(checkpoint: Checkpoint, policy: Any) -> None:
    """LeRobot only logs weights that a file lacks; an arm must not be moved by a half random network."""
    loads_in_its_own_way = any(
        getattr(type(policy), name).__func__ is not getattr(PreTrainedPolicy, name).__func__
        for name in ("from_pretrained", "_load_as_safetensor")
    )
    if loads_in_its_own_way:
        return
    with safe_open(Path(checkpoint.path) / WEIGHTS, framework="pt") as file:
        stored = set(file.keys())
    weights = policy.state_dict()
    # Weights that share memory are stored once.
    filled = {weights[name].data_ptr() for name in stored & weights.keys()}
    missing = [
        name
        for name, value in weights.items()
        if name not in stored and value.numel() and value.data_ptr() not in filled
    ]
    if missing:
        raise PolicyLoadError(
            f"{checkpoint.path}: {WEIGHTS} lacks {len(missing)} of {len(weights)} weights (first: {missing[0]}); "
            "it is damaged or belongs to another configuration"
        )


def _load_processors(checkpoint: Checkpoint, config: Any, device: str) -> tuple[Any, Any]:
    overrides: dict[str, Any] = {"device_processor": {"device": device}}
    try:
        return make_pre_post_processors(  # type: ignore[no-any-return]
            config, pretrained_path=checkpoint.path, preprocessor_overrides=overrides
        )
    except KeyError:  # a pipeline without that step; batches are put on the device before it anyway
        return make_pre_post_processors(config, pretrained_path=checkpoint.path)  # type: ignore[no-any-return]


def _describe(path: str, config: Any, device: str) -> PolicyDescription:
    """What the configuration says, refused where a robot with cameras and joints cannot give it."""
    images = []
    for key, feature in config.image_features.items():
        channels, height, width = feature.shape
        if channels != 3:
            raise PolicyLoadError(f"{path}: image {key} has {channels} channels, cameras give 3")
        images.append(ImageFeature(key, key.rsplit(".", 1)[-1], channels, height, width))
    known = {image.key for image in images} | {OBS_STATE}
    foreign = [key for key in config.input_features if key not in known]
    if foreign:
        raise PolicyLoadError(f"{path} reads {', '.join(foreign)}, which no robot here gives")
    if config.action_feature is None:
        raise PolicyLoadError(f"{path} has no action feature")
    state = config.robot_state_feature
    return PolicyDescription(
        policy_type=config.type,
        path=path,
        device=device,
        horizon=0,
        images=tuple(images),
        state_dim=state.shape[0] if state is not None else 0,
        action_dim=config.action_feature.shape[0],
        n_obs_steps=config.n_obs_steps,
        action_names=tuple(getattr(config, "action_feature_names", None) or ()),
    )


def _check_device(device: str) -> None:
    kind = device.split(":")[0]
    if kind == "cuda" and not torch.cuda.is_available():
        raise PolicyLoadError(
            f"policy_device = {device}: no usable CUDA device on this machine; check nvidia-smi or set cpu"
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise PolicyLoadError(f"policy_device = {device}: no Apple GPU on this machine; set cpu")


@contextlib.contextmanager
def _hub_access(*, offline: bool) -> Iterator[None]:
    """Keep LeRobot and transformers off the network while a local folder is loaded: no delay, no surprise download."""
    before = huggingface_hub.constants.HF_HUB_OFFLINE
    huggingface_hub.constants.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE = before


def _explain(error: Exception, checkpoint: Checkpoint) -> str:
    text = one_line(error)
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return f"{checkpoint.path}: out of GPU memory: {text}"
    if isinstance(error, ImportError):
        return f"{checkpoint.path} needs a package that is not installed: {text}"
    if isinstance(error, json.JSONDecodeError):
        return f"{checkpoint.path}: damaged JSON file: {text}"
    if not checkpoint.is_local:
        return f"{checkpoint.path} is no folder here and could not be had from the hub: {text}"
    if "offline" in text.lower() or "outgoing traffic" in text.lower() or "cached" in text.lower():
        return f"{checkpoint.path} names parts that are not on this machine; set allow_download once: {text}"
    return f"{checkpoint.path}: {type(error).__name__}: {text}"
