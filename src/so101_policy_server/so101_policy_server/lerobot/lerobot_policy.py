# SPDX-License-Identifier: Apache-2.0
"""The one adaptor to LeRobot and torch: loads any checkpoint and turns an observation into a chunk.

Import this on the thread that infers, and only when a policy is to be loaded: importing torch takes seconds and holds
the interpreter in bursts.

One module because loading, warming up and predicting share one state: the policy with its two processors.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from lerobot.policies.rtc import RTCConfig
from lerobot.policies.utils import populate_queues, prepare_observation_for_inference
from lerobot.processor import RenameObservationsProcessorStep
from lerobot.utils.constants import ACTION, OBS_IMAGE, OBS_IMAGES, OBS_STATE

from so101_policy_server.errors import one_line
from so101_policy_server.lerobot.adapter import fetch_adapter
from so101_policy_server.lerobot.beside_others import a_pass, loading
from so101_policy_server.lerobot.checkpoint import find_checkpoint
from so101_policy_server.lerobot.checkpoint_parts import (
    check_device,
    explain,
    fingerprint_of,
    hub_access,
    load_weights,
)
from so101_policy_server.lerobot.examine import examine, refuse_what_is_red
from so101_policy_server.lerobot.files import examine_weights
from so101_policy_server.lerobot.kinds import BATCHES, played
from so101_policy_server.lerobot.loaded_weights import weights_left_over
from so101_policy_server.lerobot.optimize.options import optimize_policy
from so101_policy_server.lerobot.optimize.rehearsal import PolicyRehearsal
from so101_policy_server.lerobot.optimize.trials import Chunk, Optimization
from so101_policy_server.lerobot.stacking import alike, of_one_size, planar, stacked
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
    with loading(), hub_access(offline=checkpoint.is_local and not source.allow_download):
        try:
            progress("reading the configuration")
            checkpoint = fetch_adapter(checkpoint, source.base_model_name_or_path)
            examined = examine(checkpoint, source)
            refuse_what_is_red(checkpoint, examined.findings)
            progress("loading weights")
            policy = load_weights(checkpoint, examined.config)
            description = replace(
                examined.description,
                warnings=(*examined.description.warnings, *weights_left_over(checkpoint, policy)),
                fingerprint=fingerprint_of(checkpoint, source.statistics_from),
            )
            refuse_what_is_red(checkpoint, examine_weights((*policy.named_parameters(), *policy.named_buffers())))
            progress("warming up")  # in here as well: some load parts that they name when they first run
            loaded = LeRobotPolicy(
                description, examined.config, policy, examined.preprocessor, examined.postprocessor, source
            )
            loaded.warm_up()
            if source.optimize == "auto":
                loaded.optimize(progress)
        except PolicyLoadError:
            raise
        except Exception as error:  # LeRobot, transformers and hub raise dozens of types here
            raise PolicyLoadError(explain(error, checkpoint)) from error
    gc.collect()
    # With LeRobot loaded a full collection takes 237 ms; what loading made is never garbage.
    gc.freeze()
    return loaded


def _weights_bytes(policy: Any) -> int:
    """What parameters and buffers take, those that share memory once."""
    storages = {
        value.untyped_storage().data_ptr(): value.untyped_storage().nbytes()
        for value in (*policy.parameters(), *policy.buffers())
    }
    return sum(storages.values())


def _memory_in_use(device: Any, peak: bool = False) -> int:
    """What torch has of a GPU's memory now, or had at most since this was asked last, bytes; 0 on other devices."""
    if device.type != "cuda":
        return 0
    if peak:
        return int(torch.cuda.max_memory_allocated(device))
    torch.cuda.reset_peak_memory_stats(device)
    return int(torch.cuda.memory_allocated(device))


class _NoRoomError(PolicyError):
    """The GPU's memory does not hold that many observations."""


class LeRobotPolicy:
    """A loaded LeRobot policy with its processors; `so101_policy_server.policy.BatchingPolicy`."""

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
        self._source = source
        self._device = torch.device(source.device)
        self._supports_rtc = bool(policy.supports_rtc())
        if self._supports_rtc:
            policy.config.rtc_config = RTCConfig(enabled=False, execution_horizon=SOFT_ROWS)
            if hasattr(policy, "init_rtc_processor"):  # groot continues a leftover within its own sampler
                policy.init_rtc_processor()
        rename = next((step for step in preprocessor.steps if isinstance(step, RenameObservationsProcessorStep)), None)
        self._description = replace(
            description,
            supports_rtc=self._supports_rtc,
            rename_map=dict(rename.rename_map) if rename is not None else {},
            batches=config.type in BATCHES,
            # LeRobot's own read nothing but the observation and the leftover; a plugin may.
            remembers=not type(config).__module__.startswith("lerobot."),
        )
        self._largest_pass = sys.maxsize  # lowered where memory does not suffice

    @property
    def description(self) -> PolicyDescription:
        """What the policy reads and gives."""
        return self._description

    @property
    def lerobot_policy(self) -> Any:
        """LeRobot's own object, for those who measure it."""
        return self._policy

    def warm_up(self) -> None:
        """Run on zeros until it is warm, and learn the horizon from what comes out.

        Raises:
            PolicyLoadError: the policy cannot run on the observation it describes.
        """
        described = self._description
        blank = self._blank()
        rests = _memory_in_use(self._device)
        try:
            for _ in range(WARM_UP_PASSES):
                prediction = self.infer(blank, None)
            if described.batches:
                self.infer_batch([blank, blank], [None, None])
        except PolicyError as error:
            raise PolicyLoadError(f"{described.path} ({described.policy_type}) cannot run: {error}") from error
        rows, columns = prediction.actions.shape
        if columns != described.action_dim:
            raise PolicyLoadError(
                f"{described.path}: chunks have {columns} columns, the configuration says {described.action_dim}"
            )
        memory_bytes = _weights_bytes(self._policy) + _memory_in_use(self._device, peak=True) - rests
        self._description = replace(described, horizon=rows, memory_bytes=memory_bytes)
        self.reset()

    def _blank(self) -> Observation:
        """An observation of the right sizes that shows nothing."""
        described = self._description
        return Observation(
            state=np.zeros((described.n_obs_steps, described.state_dim)),
            images={
                image.key: (np.zeros((image.height, image.width, 3), dtype=np.uint8),) * described.n_obs_steps
                for image in described.images
            },
            task="warm-up",
        )

    def prepare_blank(self) -> None:
        """Prepare an observation that shows nothing, for warm caches; see `Policy`."""
        self._preprocess([self._blank()], [None])

    def infer(self, observation: Observation, leftover: Leftover | None) -> Prediction:
        """Predict one chunk; see `Policy.infer`."""
        return self._pass([observation], [leftover])[0]

    def infer_batch(
        self, observations: Sequence[Observation], leftovers: Sequence[Leftover | None]
    ) -> list[Prediction]:
        """Predict a chunk for each observation; see `BatchingPolicy.infer_batch`.

        In one pass where pictures have the same sizes, and leftovers the same rows and delay, which one pass shares.
        """
        found: dict[int, Prediction] = {}
        for members in alike(observations, leftovers):
            while members:
                part = members[: self._largest_pass]
                try:
                    chunks = self._pass([observations[i] for i in part], [leftovers[i] for i in part])
                except _NoRoomError:
                    if len(part) == 1:
                        raise
                    self._largest_pass = len(part) // 2
                    continue
                found.update(zip(part, chunks, strict=True))
                members = members[len(part) :]
        return [found[index] for index in range(len(observations))]

    def forget(self, session: str) -> None:
        """Nothing is remembered: an observation brings its history and its leftover."""

    def close(self) -> None:
        """Give the memory back, the GPU's to its driver."""
        self._policy = self._preprocessor = self._postprocessor = None
        gc.unfreeze()  # its cycles were frozen when it had been loaded
        gc.collect()
        gc.freeze()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _pass(self, observations: Sequence[Observation], leftovers: Sequence[Leftover | None]) -> list[Prediction]:
        """One forward pass; the leftovers are all None or all alike in rows and delay."""
        with a_pass():
            return self._undisturbed_pass(observations, leftovers)

    def _undisturbed_pass(
        self, observations: Sequence[Observation], leftovers: Sequence[Leftover | None]
    ) -> list[Prediction]:
        began = time.monotonic()
        try:
            batch, prefix = self._preprocess(observations, leftovers)
            prepared = time.monotonic()
            with torch.no_grad(), self._precision():
                chunks = self._predict(batch, prefix, leftovers[0])
            inferred = time.monotonic()
            # The whole chunk at once: bit-equal to row by row and 20 times faster.
            actions = self._postprocessor(chunks).to("cpu", torch.float32).numpy()
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise _NoRoomError(f"out of GPU memory: {one_line(error)}") from error
        except Exception as error:  # policies are other people's code: whatever they raise is one explicit answer
            raise PolicyError(f"{type(error).__name__}: {one_line(error)}") from error
        if len(actions) < len(observations):
            raise PolicyError(f"the policy gave {len(actions)} chunks for {len(observations)} observations")
        if not np.isfinite(actions[: len(observations)]).all():
            raise PolicyError("the policy gave values that are not finite")
        spent = (prepared - began, inferred - prepared, time.monotonic() - inferred)
        return [Prediction(actions[index], *spent) for index in range(len(observations))]

    def optimize(self, progress: Progress) -> Optimization:
        """Try what makes it faster, keep what leaves its chunks as they are, and say so in the description."""
        rehearsal = PolicyRehearsal(self._description, self.predict_in_model_space, self.reset)
        done = optimize_policy(self._policy, self._source, rehearsal, progress)
        changed = any(trial.kept for trial in done.trials)
        # The rehearsal is of one observation at a time: nothing is known of several in one pass.
        batches = self._description.batches and not changed
        self._description = replace(self._description, optimization=done.lines(), batches=batches)
        return done

    def predict_in_model_space(self, observation: Observation, leftover: Leftover | None) -> Chunk:
        """One chunk before it is denormalised, (rows, joints) float32; raises what the policy raises."""
        batch, prefix = self._preprocess([observation], [leftover])
        with torch.no_grad(), self._precision():
            chunk = self._predict(batch, prefix, leftover)
        return chunk[0].to("cpu", torch.float32).numpy()  # type: ignore[no-any-return]

    def reset(self) -> None:
        """Forget everything about earlier observations."""
        self._policy.reset()
        self._preprocessor.reset()
        self._postprocessor.reset()

    def _preprocess(
        self, observations: Sequence[Observation], leftovers: Sequence[Leftover | None]
    ) -> tuple[dict[str, Any], Any]:
        """Model-ready batch of the newest step, and the leftovers in model space or None.

        Leftovers are (rows, joints) for one observation and (observations, rows, joints) for several. The processors
        get the whole batch at once: some keep its states until they have its actions.
        """
        steps = self._description.n_obs_steps
        batches = []
        images = [of_one_size(observation.images, self._description) for observation in observations]
        for step in range(steps):
            frames = []
            for observation, pictured in zip(observations, images, strict=True):
                frame: dict[str, Any] = {key: planar(pictures[step]) for key, pictures in pictured.items()}
                if self._description.state_dim:
                    frame[OBS_STATE] = observation.state[step].astype(np.float32)
                frames.append(prepare_observation_for_inference(frame, self._device, observation.task, ROBOT_TYPE))
            batch = stacked(frames)
            if step == steps - 1 and (rows := [leftover.rows for leftover in leftovers if leftover is not None]):
                # As the actions of a training batch: normalised, and relative to the states where the policy wants it.
                batch[ACTION] = torch.from_numpy(np.stack(rows).astype(np.float32)).to(self._device)
            batches.append(self._preprocessor(batch))
        newest = batches[-1]
        prefix = newest.pop(ACTION, None)
        # A chunk is of its own request: nothing that an earlier one, perhaps another robot's, left in the policy.
        self._policy.reset()
        if self._reads_its_own_queues():
            self._fill_history(batches)
        if leftovers[0] is None or prefix is None:
            return newest, None
        return newest, prefix if len(observations) > 1 else prefix[0]

    def _reads_its_own_queues(self) -> bool:
        """Whether the policy takes its observations from queues: diffusion, VQ-BeT and multi-task DiT, one step too."""
        return any(key in (getattr(self._policy, "_queues", None) or {}) for key in (OBS_STATE, OBS_IMAGES))

    def _fill_history(self, batches: list[dict[str, Any]]) -> None:
        """Give policies that read several steps their history the way their own `select_action` does."""
        for batch in batches:
            if OBS_IMAGE in self._policy._queues:  # TD-MPC's one picture
                batch[OBS_IMAGE] = batch[self._description.images[0].key]
            elif self._description.images:
                batch[OBS_IMAGES] = torch.stack([batch[image.key] for image in self._description.images], dim=-4)
            batch.pop(ACTION, None)
            self._policy._queues = populate_queues(self._policy._queues, batch)

    def _predict(self, batch: dict[str, Any], prefix: Any, leftover: Leftover | None) -> Any:
        if not self._supports_rtc:
            chunk = played(self._config, self._policy.predict_action_chunk(batch))
        elif leftover is None or prefix is None:
            self._policy.config.rtc_config.enabled = False
            chunk = self._policy.predict_action_chunk(batch)
        else:
            self._policy.config.rtc_config.enabled = True
            prefix = self._continued_rows(prefix)
            # No more rows than there are: beyond them LeRobot pads with zeros, which would pull the chunk to the mean.
            rows = prefix.shape[-2]
            delay = min(leftover.expected_delay_steps, rows)
            # LeRobot's horizon counts the frozen rows in: left at 10, a delay of 20 steps would freeze only ten.
            horizon = min(delay + SOFT_ROWS, rows)
            self._policy.config.rtc_config.execution_horizon = horizon  # groot reads it here, the others below
            chunk = self._policy.predict_action_chunk(
                batch, inference_delay=delay, prev_chunk_left_over=prefix, execution_horizon=horizon
            )
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return chunk

    def _continued_rows(self, prefix: Any) -> Any:
        """The leftover as far as a new chunk reaches; LeRobot takes no longer one."""
        return prefix[..., : self._description.horizon, :] if self._description.horizon else prefix

    def _precision(self) -> Any:
        if self._config.use_amp and self._device.type == "cuda":
            return torch.autocast(device_type="cuda")
        return contextlib.nullcontext()
