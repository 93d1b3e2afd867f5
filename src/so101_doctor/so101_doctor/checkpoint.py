# SPDX-License-Identifier: Apache-2.0
"""A checkpoint and its deployment, looked at as the policy server does when it loads them, in the same words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from so101_policy_server.core.aspect import find_distortion
from so101_policy_server.core.instruction import find_missing_task
from so101_policy_server.core.preflight import Finding, green, red, yellow
from so101_policy_server.core.request import CameraNeed
from so101_policy_server.core.spec_check import SpecMismatchError, check_deployment, describe_against
from so101_policy_server.lerobot.checkpoint import Checkpoint
from so101_policy_server.lerobot.checkpoint_parts import check_device, explain, hub_access
from so101_policy_server.lerobot.examine import RefusedError, examine
from so101_policy_server.lerobot.files import examine_weights_file
from so101_policy_server.policy import ImageFeature, PolicyDescription, PolicyLoadError

from so101_doctor.deployment import Deployment


def look_into(checkpoint: Checkpoint, deployment: Deployment) -> Iterator[Finding]:
    """Load configuration and processors for real, read all weights, and hold them against the deployment."""
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
    yield from _look_at_queue(deployment, policy)
    yield green("observation steps", f"{policy.n_obs_steps}; cameras learn it from the request")
    for image in policy.images:
        yield _look_at_camera(image, deployment)


def _look_at_queue(deployment: Deployment, policy: PolicyDescription) -> Iterator[Finding]:
    queue, server = deployment.queue, deployment.server
    units = queue.get("units")
    if units is not None and units != server.units:
        yield red("units", f"units of action_queue is {units}, of policy_server {server.units}", "give both the same")
    missing = find_missing_task(str(queue.get("task", "")), server.task, policy)
    if not policy.reads_task:
        yield green("task", f"a policy of type {policy.policy_type} reads none")
    elif not missing:
        yield green("task", f"{str(queue.get('task') or server.task)!r}")
    elif queue:
        yield red("task", missing)
    else:
        yield yellow("task", f"a policy of type {policy.policy_type} does as it says", "set task of action_queue")


def _look_at_camera(image: ImageFeature, deployment: Deployment) -> Finding:
    size = deployment.cameras.get(image.camera)
    own = f"{image.width}x{image.height}" + (", resized by the policy itself" if image.native else "")
    if size is None:
        return green(image.key, own)
    need = CameraNeed(image.camera, image.key, image.height, image.width, image.native, image.trained_size)
    distortion = find_distortion(need, *size)
    if not distortion:
        return green(image.key, f"{own}; camera {image.camera} gives {size[1]}x{size[0]}")
    text, _, remedy = distortion.partition(": ")
    if deployment.server.aspect_mismatch == "refuse":
        return red(image.key, f"camera {image.camera}: {text}", remedy)
    return yellow(image.key, f"camera {image.camera}: {text}", remedy)
