"""One complete request through the policy: radians to the policy's units, inference, and back."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from so101_policy_server.policy import Leftover, Observation, Policy, PolicyError
from so101_policy_server.request import Answer, Status
from so101_policy_server.server import Job


def answer_job(policy: Policy, job: Job) -> Answer:
    """Infer one chunk; a policy that cannot answer becomes an explicit POLICY_ERROR."""
    began = time.monotonic()
    request, accepted = job.complete.request, job.accepted
    converter = accepted.converter
    columns = [request.joint_names.index(joint) for joint in converter.joint_names]
    observation = Observation(converter.to_policy(request.positions[:, columns]), job.complete.images, job.task)
    leftover = None
    if len(request.leftover):
        leftover = Leftover(converter.to_policy(request.leftover[:, columns]), request.expected_delay_steps)
    converted = time.monotonic()
    try:
        prediction = policy.infer(observation, leftover)
    except PolicyError as error:
        return error_answer(job, str(error))
    predicted = time.monotonic()
    positions = converter.to_radians(prediction.actions[: accepted.rows]).astype(np.float32)
    timing = replace(
        job.complete.timing,
        preprocess=converted - began + prediction.preprocess_s,
        inference=prediction.inference_s,
        postprocess=prediction.postprocess_s + time.monotonic() - predicted,
    )
    return Answer(
        request,
        Status.OK,
        joint_names=converter.joint_names,
        positions=positions,
        period_s=accepted.period_s,
        timing=timing,
    )


def error_answer(job: Job, message: str) -> Answer:
    """A POLICY_ERROR that keeps the time spent so far."""
    return Answer(job.complete.request, Status.POLICY_ERROR, message, timing=job.complete.timing)
