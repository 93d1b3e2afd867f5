"""The one adaptor to LeRobot and torch: loads any checkpoint and turns an observation into a chunk.

Import this on the thread that infers, and only when a policy is to be loaded: importing torch takes seconds and holds
the interpreter in bursts.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from lerobot.policies.rtc import RTCConfig
from lerobot.policies.utils import populate_queues, prepare_observation_for_inference
from lerobot.processor import RenameObservationsProcessorStep
from lerobot.utils.constants import ACTION, OBS_IMAGES, OBS_STATE

from so101_policy_server.checkpoint import find_checkpoint
from so101_policy_server.image_decode import Pixels, resize_image
from so101_policy_server.lerobot_adapter import fetch_adapter, one_line
from so101_policy_server.lerobot_checkpoint import (
    check_device,
    explain,
    hub_access,
    load_weights,
)
from so101_policy_server.lerobot_files import examine_weights
from so101_policy_server.lerobot_preflight import examine, refuse_what_is_red
from so101_policy_server.policy import (
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

SOFT_ROWS: Final = 10
"""LeRobot's RTCConfig.execution_horizon: rows after the frozen ones over which the leftover's pull fades out."""


def load_policy(source: PolicySource, progress: Progress) -> LeRobotPolicy:
    """Load a checkpoint and run it until it is warm.

    Raises:
        PolicyLoadError: one line that says what is wrong and what to do.
    """
    checkpoint = find_checkpoint(source.path, source.base_model_name_or_path)
    check_device(source.device)
    if source.torch_threads > 0:
        torch.set_num_threads(source.torch_threads)
    with hub_access(offline=checkpoint.is_local and not source.allow_download):
        try:
            progress("reading the configuration")
            checkpoint = fetch_adapter(checkpoint, source.base_model_name_or_path)
            examined = examine(checkpoint, source)
            refuse_what_is_red(checkpoint, examined.findings)
            progress("loading weights")
            policy = load_weights(checkpoint, examined.config)
            refuse_what_is_red(checkpoint, examine_weights((*policy.named_parameters(), *policy.named_buffers())))
        except PolicyLoadError:
            raise
        except Exception as error:  # LeRobot, transformers and hub raise dozens of types here
            raise PolicyLoadError(explain(error, checkpoint)) from error
    progress("warming up")
    loaded = LeRobotPolicy(
        examined.description, examined.config, policy, examined.preprocessor, examined.postprocessor, source
    )
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
            policy.config.rtc_config = RTCConfig(enabled=False, execution_horizon=SOFT_ROWS)
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
        images = self._stackable(observation.images)
        for step in range(steps):
            frame: dict[str, Any] = {key: pictures[step] for key, pictures in images.items()}
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
        if self._reads_its_own_queues():
            self._fill_history(batches)
        return newest, None if leftover is None or prefix is None else prefix[0]

    def _stackable(self, images: Mapping[str, tuple[Pixels, ...]]) -> Mapping[str, tuple[Pixels, ...]]:
        """Pictures of one size for policies that stack their cameras before they resize them: diffusion's kind."""
        sizes = {picture.shape for pictures in images.values() for picture in pictures}
        features = {image.key: image for image in self._description.images}
        stacks = any(image.native and image.trained_size for image in features.values())
        if len(sizes) < 2 or not stacks:
            return images
        return {
            key: tuple(resize_image(picture, features[key].height, features[key].width) for picture in pictures)
            for key, pictures in images.items()
        }

    def _reads_its_own_queues(self) -> bool:
        """Whether the policy takes its observations from queues: diffusion, VQ-BeT and multi-task DiT, one step too."""
        return any(key in (getattr(self._policy, "_queues", None) or {}) for key in (OBS_STATE, OBS_IMAGES))

    def _fill_history(self, batches: list[dict[str, Any]]) -> None:
        """Give policies that read several steps their history the way their own `select_action` does."""
        self._policy.reset()
        for batch in batches:
            if self._description.images:
                batch[OBS_IMAGES] = torch.stack([batch[image.key] for image in self._description.images], dim=-4)
            batch.pop(ACTION, None)
            self._policy._queues = populate_queues(self._policy._queues, batch)

    def _predict(self, batch: dict[str, Any], prefix: Any, leftover: Leftover | None) -> Any:
        if not self._supports_rtc:
            chunk = self._policy.predict_action_chunk(batch)
        elif leftover is None or prefix is None:
            self._policy.config.rtc_config.enabled = False
            chunk = self._policy.predict_action_chunk(batch)
        else:
            self._policy.config.rtc_config.enabled = True
            prefix = self._continued_rows(prefix)
            # No more rows than there are: beyond them LeRobot pads with zeros, which would pull the chunk to the mean.
            delay = min(leftover.expected_delay_steps, len(prefix))
            # LeRobot's horizon counts the frozen rows in: left at 10, a delay of 20 steps would freeze only ten.
            horizon = min(delay + SOFT_ROWS, len(prefix))
            self._policy.config.rtc_config.execution_horizon = horizon  # groot reads it here, the others below
            chunk = self._policy.predict_action_chunk(
                batch, inference_delay=delay, prev_chunk_left_over=prefix, execution_horizon=horizon
            )
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return chunk

    def _continued_rows(self, prefix: Any) -> Any:
        """The leftover as far as a new chunk reaches; LeRobot takes no longer one."""
        return prefix[: self._description.horizon] if self._description.horizon else prefix

    def _precision(self) -> Any:
        if self._config.use_amp and self._device.type == "cuda":
            return torch.autocast(device_type="cuda")
        return contextlib.nullcontext()
