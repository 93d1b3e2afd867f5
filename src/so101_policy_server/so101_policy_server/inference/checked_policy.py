# SPDX-License-Identifier: Apache-2.0
"""A policy as its library gives it, held to the protocol: whatever it breaks is one line that names both shapes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from so101_policy_server.errors import one_line
from so101_policy_server.inference.rehearsal import prepare_blank
from so101_policy_server.policy import (
    BatchingPolicy,
    Leftover,
    Observation,
    Policy,
    PolicyDescription,
    PolicyError,
    PolicyLoadError,
    Prediction,
    close_policy,
)


class BrokenContractError(PolicyError):
    """The policy gave something that is no chunk of its own size. The message is one line."""


class CheckedPolicy:
    """Passes a policy on and checks what comes out of it; `so101_policy_server.policy.BatchingPolicy`.

    Its `infer_batch` and `forget` are only for a policy whose description says `batches`.

    Args:
        policy: what the library's loader returned.
        library: its name, for messages.
        min_inference_s: an inference is made to take at least this long, s, to try out slow policies.

    Raises:
        PolicyLoadError: it lacks a part of the protocol, or its description cannot be.
    """

    def __init__(self, policy: Policy, library: str, min_inference_s: float = 0.0) -> None:
        self._name = f"policy of library '{library}'"
        self._policy = policy
        self._min_inference_s = min_inference_s
        lacking = [name for name in ("infer", "reset") if not callable(getattr(policy, name, None))]
        if not isinstance(getattr(policy, "description", None), PolicyDescription):
            lacking.insert(0, "description")
        if lacking:
            raise PolicyLoadError(
                f"{self._name}: {type(policy).__name__} has no {', no '.join(lacking)}: expected "
                "description (a PolicyDescription), infer(observation, leftover) and reset()"
            )
        described = policy.description
        if described.batches:
            lacking = [name for name in ("infer_batch", "forget") if not callable(getattr(policy, name, None))]
            if lacking:
                raise PolicyLoadError(
                    f"{self._name}: description says batches, {type(policy).__name__} has no {', no '.join(lacking)}: "
                    "expected infer_batch(observations, leftovers) and forget(session)"
                )
        if described.horizon < 1 or described.action_dim < 1 or described.n_obs_steps < 1:
            raise PolicyLoadError(
                f"{self._name}: description has horizon {described.horizon}, action_dim {described.action_dim}, "
                f"n_obs_steps {described.n_obs_steps}: expected 1 or more each"
            )

    @property
    def description(self) -> PolicyDescription:
        """What the policy reads and gives."""
        return self._policy.description

    def infer(self, observation: Observation, leftover: Leftover | None) -> Prediction:
        """Predict one chunk.

        Raises:
            PolicyError: as the policy itself raises it.
            BrokenContractError: what it gave is no chunk of its own size.
        """
        began = time.monotonic()
        prediction = self._policy.infer(observation, leftover)
        (timed,) = self._timed([prediction], time.monotonic() - began)
        return timed

    def infer_batch(
        self, observations: Sequence[Observation], leftovers: Sequence[Leftover | None]
    ) -> list[Prediction]:
        """Predict a chunk for each observation in one pass.

        Raises:
            PolicyError: as the policy itself raises it.
            BrokenContractError: what it gave are not as many chunks of its own size.
        """
        began = time.monotonic()
        predictions = cast(BatchingPolicy, self._policy).infer_batch(observations, leftovers)
        took_s = time.monotonic() - began
        if not isinstance(predictions, Sequence) or len(predictions) != len(observations):
            given = f"{len(predictions)}" if isinstance(predictions, Sequence) else f"a {type(predictions).__name__}"
            raise BrokenContractError(
                f"{self._name}: infer_batch returned {given}: expected {len(observations)} Predictions"
            )
        return self._timed(predictions, took_s)

    def _timed(self, predictions: Sequence[Prediction], took_s: float) -> list[Prediction]:
        """What came out of one pass, checked, and not before min_inference_s is over."""
        checked = []
        for prediction in predictions:
            actions = self._checked(prediction)
            # A policy that does not say where its time went spent it all on inference.
            inference_s = prediction.inference_s or took_s - prediction.preprocess_s - prediction.postprocess_s
            checked.append(replace(prediction, actions=actions, inference_s=inference_s))
        spent_s = max((prediction.inference_s for prediction in checked), default=self._min_inference_s)
        if spent_s >= self._min_inference_s:
            return checked
        time.sleep(self._min_inference_s - spent_s)
        return [replace(prediction, inference_s=self._min_inference_s) for prediction in checked]

    def rehearse(self) -> None:
        """Infer on zeros, so that a policy that breaks the contract is found before an arm waits for it.

        Once, and for two robots where it batches.
        A PolicyError of its own is none of that: zeros are no observation that a policy has to have a chunk to.

        Raises:
            PolicyLoadError: it broke the contract, or raised anything but a PolicyError.
        """
        described = self.description
        blank = Observation(
            state=np.zeros((described.n_obs_steps, described.state_dim or described.action_dim)),
            images={
                image.key: (np.zeros((image.height, image.width, 3), dtype=np.uint8),) * described.n_obs_steps
                for image in described.images
            },
            task="rehearsal",
        )
        try:
            self.infer(blank, None)
            if described.batches:
                self.infer_batch([blank, replace(blank, session="another")], [None, None])
        except BrokenContractError as error:
            raise PolicyLoadError(str(error)) from error
        except PolicyError:
            pass
        except Exception as error:  # a policy is other people's code
            raise PolicyLoadError(f"{self._name} cannot run: {type(error).__name__}: {one_line(error)}") from error
        self.reset()

    def reset(self) -> None:
        """Forget everything about earlier observations."""
        self._policy.reset()

    def forget(self, session: str) -> None:
        """Forget a session."""
        cast(BatchingPolicy, self._policy).forget(session)

    def prepare_blank(self) -> None:
        """Go through the preparation of an observation, where the policy can."""
        prepare_blank(self._policy)

    def close(self) -> None:
        """Give back what goes not with the object, where the policy has such."""
        close_policy(self._policy)

    def _checked(self, prediction: Prediction) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        columns = self._policy.description.action_dim
        if not isinstance(prediction, Prediction):
            raise BrokenContractError(
                f"{self._name}: infer returned a {type(prediction).__name__}: expected a Prediction"
            )
        try:
            actions = np.asarray(prediction.actions, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise BrokenContractError(f"{self._name}: actions are no numbers: {one_line(error)}") from error
        if actions.ndim != 2 or actions.shape[0] < 1 or actions.shape[1] != columns:
            raise BrokenContractError(f"{self._name}: actions have shape {actions.shape}: expected (rows, {columns})")
        if not np.isfinite(actions).all():
            raise BrokenContractError(f"{self._name}: actions have values that are not finite")
        return actions
