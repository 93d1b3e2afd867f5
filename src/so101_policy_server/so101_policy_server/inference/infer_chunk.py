# SPDX-License-Identifier: Apache-2.0
"""Complete requests through the policy: radians to the policy's units, inference, and back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from so101_node.protocol import ChunkStatus

from so101_policy_server.core.prepared_request import PreparedRequest
from so101_policy_server.core.radians import Conversion
from so101_policy_server.core.request import ServedChunk
from so101_policy_server.policy import (
    BatchingPolicy,
    Leftover,
    Observation,
    Policy,
    PolicyError,
    PolicyNotReadyError,
    Prediction,
)

RETRY_NOT_READY_S: Final = 0.2
# Policies overshoot the end of a range, which LeRobot clamps too, an untrained one by a whole range; beyond two it is
# another number.
_IMPLAUSIBLE_RANGES: Final = 2.0


def infer_batch(policy: BatchingPolicy, batch: Sequence[PreparedRequest]) -> list[ServedChunk]:
    """Infer the chunks of several requests in one pass, in their order.

    Raises:
        PolicyError: as the policy raises it; no request is answered then.
    """
    asked = [_Asked.of(prepared) for prepared in batch]
    predictions = policy.infer_batch([one.observation for one in asked], [one.leftover for one in asked])
    return [one.chunk(prediction) for one, prediction in zip(asked, predictions, strict=True)]


def infer_chunk(policy: Policy, prepared: PreparedRequest) -> ServedChunk:
    """Infer one chunk; a policy that cannot answer becomes an explicit POLICY_ERROR."""
    asked = _Asked.of(prepared)
    try:
        prediction = policy.infer(asked.observation, asked.leftover)
    except PolicyNotReadyError as error:
        return ask_again(prepared, str(error))
    except PolicyError as error:
        return failed_chunk(prepared, str(error))
    return asked.chunk(prediction)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request as the policy gets it, and how long it took to make that."""

    prepared: PreparedRequest
    observation: Observation
    leftover: Leftover | None
    convert_s: float

    @classmethod
    def of(cls, prepared: PreparedRequest) -> _Asked:
        began = time.monotonic()
        request, accepted = prepared.complete.request, prepared.accepted
        converter = accepted.converter
        columns = [request.joint_names.index(joint) for joint in converter.joint_names]
        observation = Observation(
            state=converter.to_policy(request.positions[:, columns]),
            images=prepared.complete.images,
            task=prepared.task,
            step=request.step,
            period_s=accepted.period_s,
            session=request.key.session.label,
        )
        leftover = None
        if len(request.leftover):
            leftover = Leftover(converter.to_policy(request.leftover[:, columns]), request.expected_delay_steps)
        return cls(prepared, observation, leftover, time.monotonic() - began)

    def chunk(self, prediction: Prediction) -> ServedChunk:
        began = time.monotonic()
        accepted = self.prepared.accepted
        converter = accepted.converter
        actions = prediction.actions[: accepted.rows]
        if refused := _implausible(converter, actions):
            return failed_chunk(self.prepared, refused)
        positions = converter.to_radians(actions).astype(np.float32)
        timing = replace(
            self.prepared.complete.timing,
            preprocess=self.convert_s + prediction.preprocess_s,
            inference=prediction.inference_s,
            postprocess=prediction.postprocess_s + time.monotonic() - began,
        )
        return ServedChunk(
            self.prepared.complete.request,
            ChunkStatus.OK,
            joint_names=converter.joint_names,
            positions=positions,
            period_s=accepted.period_s,
            timing=timing,
        )


def ask_again(prepared: PreparedRequest, message: str) -> ServedChunk:
    """A NOT_READY after which the robot asks again shortly."""
    return replace(failed_chunk(prepared, message), status=ChunkStatus.NOT_READY, retry_after_s=RETRY_NOT_READY_S)


def failed_chunk(prepared: PreparedRequest, message: str) -> ServedChunk:
    """A POLICY_ERROR that keeps the time spent so far."""
    return ServedChunk(prepared.complete.request, ChunkStatus.POLICY_ERROR, message, timing=prepared.complete.timing)


def _implausible(converter: Conversion, actions: npt.NDArray[np.floating]) -> str:
    """Why these actions, (rows, joints) in the policy's units, cannot be meant; empty where they can.

    Clamped to the range they would look like an ordinary command to the end of it.
    """
    clamped = converter.clamped(actions)
    if not clamped.size or float(clamped.max()) <= _IMPLAUSIBLE_RANGES:
        return ""
    row, joint = np.unravel_index(int(np.argmax(clamped)), clamped.shape)
    return (
        f"the policy gave {float(actions[row, joint]):.4g} for {converter.joint_names[joint]}, "
        f"{float(clamped[row, joint]):.2g} times its calibrated range beyond the end of it: check the statistics of "
        "the policy, its units and the calibration"
    )
