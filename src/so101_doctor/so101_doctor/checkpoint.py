# SPDX-License-Identifier: Apache-2.0
"""A checkpoint and its deployment, looked at as the policy server does when it loads them, in the same words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from so101_node.protocol import PolicySpec, ReceivedSpec, Units
from so101_policy_server.core.aspect import find_distortion
from so101_policy_server.core.instruction import find_missing_task
from so101_policy_server.core.preflight import Finding, green, red, yellow
from so101_policy_server.core.request import CameraNeed
from so101_policy_server.core.server_config import ServerConfig
from so101_policy_server.core.spec_check import (
    SpecMismatchError,
    camera_names,
    check_deployment,
    check_spec,
    describe_against,
)
from so101_policy_server.lerobot.checkpoint import Checkpoint
from so101_policy_server.lerobot.checkpoint_parts import check_device, explain, hub_access
from so101_policy_server.lerobot.examine import RefusedError, examine
from so101_policy_server.lerobot.files import examine_weights_file
from so101_policy_server.policy import ImageFeature, PolicyDescription, PolicyLoadError

from so101_doctor.deployment import Deployment, Queue

_ANY_RANGE_RAD: Final = 4.0
"""Beyond what a joint can turn to either side: what the arm's calibration allows is not known here."""


def look_into(checkpoint: Checkpoint, deployment: Deployment, *, is_deployed: bool) -> Iterator[Finding]:
    """Load configuration and processors for real, read all weights, and hold them against the deployment.

    `is_deployed`: it is the one that the deployment names, and not one to try with it.
    """
    settings = deployment.server.config()
    try:
        check_device(settings.source.device)
    except PolicyLoadError as error:
        yield red("policy_device", str(error))
    with hub_access(offline=not deployment.server.allow_download):
        try:
            examined = examine(checkpoint, replace(settings.source, device="cpu"))
        except RefusedError as error:
            yield from error.findings
            return
        except PolicyLoadError as error:
            yield red("load", str(error))
            return
        except Exception as error:  # noqa: BLE001 - LeRobot, transformers and hub raise dozens of types here
            yield red("load", explain(error, checkpoint))
            return
    yield from examined.findings
    yield from examine_weights_file(checkpoint)
    try:
        policy = describe_against(settings.served, examined.description, settings.cameras)
    except SpecMismatchError as error:
        yield red("joints and cameras", str(error))
        return
    yield from check_deployment(settings.served, policy, settings.source.accepted_findings)
    yield from _look_at_task(deployment, policy)
    spec = None if deployment.queue is None else _spec_of(deployment.queue, deployment, is_deployed=is_deployed)
    if spec is not None:
        yield from _look_at_spec(spec, settings, policy)
    elif deployment.has_queue:
        yield yellow("action_queue", "so101_action_queue is not installed here: what is said of it was not looked at")
    yield green("observation steps", f"{policy.n_obs_steps}; cameras learn it from the request")
    for image, camera in zip(policy.images, camera_names(spec, settings.served, policy), strict=True):
        yield _look_at_camera(image, camera, deployment)


def _look_at_task(deployment: Deployment, policy: PolicyDescription) -> Iterator[Finding]:
    task = "" if deployment.queue is None else deployment.queue.task
    missing = find_missing_task(task, deployment.server.task, policy)
    if not policy.reads_task:
        yield green("task", f"a policy of type {policy.policy_type} reads none")
    elif not missing:
        yield green("task", f"{task or deployment.server.task!r}")
    elif deployment.queue is not None:
        yield red("task", missing)
    else:
        yield yellow("task", f"a policy of type {policy.policy_type} does as it says", "set task of action_queue")


def _spec_of(queue: Queue, deployment: Deployment, *, is_deployed: bool) -> PolicySpec:
    """What the robot would announce, for an arm of any calibration."""
    joints = tuple(queue.joint_names)
    return PolicySpec(
        policy_type=queue.policy_type,
        pretrained_name_or_path=queue.pretrained_name_or_path if is_deployed else "",
        policy_device=queue.policy_device,
        actions_per_chunk=queue.actions_per_chunk,
        fps=queue.fps,
        cameras=tuple(queue.cameras) or deployment.cameras,
        joint_names=joints,
        units=Units[queue.units.upper()],
        range_lower=(-_ANY_RANGE_RAD,) * len(joints),
        range_upper=(_ANY_RANGE_RAD,) * len(joints),
        drive_mode=(0,) * len(joints),
        rename_from=tuple(queue.rename_from),
        rename_to=tuple(queue.rename_to),
    )


def _look_at_spec(spec: PolicySpec, settings: ServerConfig, policy: PolicyDescription) -> Iterator[Finding]:
    """Hold the action queue of the deployment against the policy, in the words in which the server rejects a robot."""
    received = ReceivedSpec(session=0, spec_id=spec.spec_id, task="looked at above", spec=spec)
    # Where the file names no camera, those that run will be announced: none is missing yet.
    blind = policy if spec.cameras else replace(policy, images=())
    policy = replace(blind, device=settings.source.device)
    try:
        accepted = check_spec(received, settings.served, settings.source, policy, settings.choice)
    except SpecMismatchError as error:
        for line in error.mismatches:
            yield red("action_queue", line)
        return
    left_out = f"; left out: camera {', '.join(accepted.left_out)}" if accepted.left_out else ""
    yield green("action_queue", f"its spec fits the policy{left_out}")


def _look_at_camera(image: ImageFeature, camera: str, deployment: Deployment) -> Finding:
    size = deployment.sizes.get(camera)
    own = f"{image.width}x{image.height}" + (", resized by the policy itself" if image.native else "")
    if size is None:
        return green(image.key, own)
    need = CameraNeed(camera, image.key, image.height, image.width, image.native, image.trained_size)
    distortion = find_distortion(need, *size)
    if not distortion:
        return green(image.key, f"{own}; camera {camera} gives {size[1]}x{size[0]}")
    text, _, remedy = distortion.partition(": ")
    if deployment.server.aspect_mismatch == "refuse":
        return red(image.key, f"camera {camera}: {text}", remedy)
    return yellow(image.key, f"camera {camera}: {text}", remedy)
