# SPDX-License-Identifier: Apache-2.0
"""Does what a robot expects fit what this server runs? Every mismatch is named, with both sides and the remedy."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from so101_node.protocol import PolicySpec, ReceivedSpec
from so101_node.protocol.units import UnitConverter, Units, UnitsError

from so101_policy_server.core.instruction import find_missing_task
from so101_policy_server.core.policy_choice import PolicyChoice
from so101_policy_server.core.preflight import Finding, Verdict, accept, warnings
from so101_policy_server.core.radians import Conversion, RadiansAsTheyAre
from so101_policy_server.core.request import CameraNeed
from so101_policy_server.core.unit_plausibility import check_ranges, check_units
from so101_policy_server.errors import PolicyServerError
from so101_policy_server.policy import ImageFeature, PolicyDescription, PolicySource

IMAGE_PREFIX = "observation.images."


@dataclass(frozen=True, slots=True)
class ServedSettings:
    """What the server's own parameters say about the policy, beyond its source.

    Attributes:
        joint_names: joints in the order of the policy's state and action, which checkpoints do not tell.
        units: what the policy was trained on.
        fps: rate the policy was trained at, Hz.
        actions_per_chunk: rows for robots that do not say how many.
        rename_map: observation key of the robots -> of the policy, for robots that do not rename themselves.
    """

    joint_names: tuple[str, ...]
    units: Units
    fps: float
    actions_per_chunk: int
    rename_map: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AcceptedSpec:
    """A spec that fits, and what follows from it.

    Attributes:
        received: the spec itself, as the robot announced it.
        converter: radians to the policy's units, for this robot's calibration; none for a policy in rad.
        cameras: which of the robot's cameras gives which image.
        rows: rows of each chunk.
        period_s: time between rows.
        left_out: cameras of the robot that the policy does not read.
        warnings: what is unlikely about this robot with this policy, a line each.
    """

    received: ReceivedSpec
    converter: Conversion
    cameras: tuple[CameraNeed, ...]
    rows: int
    period_s: float
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class NoCamerasYetError(PolicyServerError):
    """All fits, but the policy reads cameras and the robot has named none so far. The message is one line."""


class SpecMismatchError(PolicyServerError):
    """The spec does not fit. The message is one line naming every mismatch."""

    def __init__(self, mismatches: list[str]) -> None:
        super().__init__("; ".join(mismatches))
        self.mismatches = mismatches


def check_spec(
    received: ReceivedSpec,
    served: ServedSettings,
    source: PolicySource,
    policy: PolicyDescription,
    choice: PolicyChoice,
    default_task: str = "",
) -> AcceptedSpec:
    """Check a spec against the policy that is loaded.

    Args:
        received: what the robot expects.
        served: the server's own parameters.
        source: what is loaded.
        policy: how that describes itself.
        choice: what it could have been.
        default_task: the server's own language instruction.

    Raises:
        SpecMismatchError: naming each thing that does not fit.
        NoCamerasYetError: nothing but cameras is missing, and the robot has named none.
    """
    spec = received.spec
    cameras, mismatches = _match_cameras(spec, served, policy)
    is_blind = bool(policy.images) and not spec.cameras
    mismatches = [] if is_blind else mismatches
    mismatches = _check_policy(spec, source, policy, choice) + mismatches + _check_joints(spec, served, policy)
    mismatches += _check_fps(spec, served, policy)
    mismatches += [text for text in [find_missing_task(received.task, default_task, policy)] if text]
    converter, unfit = _conversion(spec, served, policy)
    mismatches += unfit
    found = check_ranges(policy.statistics, served.joint_names, served.units, spec.range_lower, spec.range_upper)
    findings = accept(found, source.accepted_findings)
    mismatches += [finding.line() for finding in findings if finding.verdict is Verdict.RED]
    if mismatches or converter is None:
        raise SpecMismatchError(mismatches)
    if is_blind:
        reads = ", ".join(camera_names(spec, served, policy))
        raise NoCamerasYetError(
            f"waiting for the robot's cameras: the policy reads {reads}; start its camera nodes, or name its cameras "
            "in the action queue's parameter cameras"
        )
    rows = min(spec.actions_per_chunk or served.actions_per_chunk, policy.horizon)
    used = {need.camera for need in cameras}
    left_out = tuple(camera for camera in spec.cameras if camera not in used)
    return AcceptedSpec(received, converter, cameras, rows, 1.0 / spec.fps, left_out, warnings(findings))


def camera_names(spec: PolicySpec | None, served: ServedSettings, policy: PolicyDescription) -> tuple[str, ...]:
    """Names of the cameras that the policy reads as a robot calls them, in the order of the policy's images."""
    rename = _rename_map(spec, served, policy)
    back = {after: before.removeprefix(IMAGE_PREFIX) for before, after in rename.items()}
    if spec is not None:
        back |= {need.key: need.camera for need in _match_cameras(spec, served, policy)[0]}
    return tuple(back.get(image.key, image.camera) for image in policy.images)


def _rename_map(spec: PolicySpec | None, served: ServedSettings, policy: PolicyDescription) -> dict[str, str]:
    """Observation key of the robot -> of the policy; what the robot says counts most, and comes last."""
    rename = {**policy.rename_map, **served.rename_map}
    for before, after in (spec.rename_map if spec is not None else {}).items():
        rename.pop(before, None)
        rename[before] = after
    return rename


def _check_policy(spec: PolicySpec, source: PolicySource, policy: PolicyDescription, choice: PolicyChoice) -> list[str]:
    mismatches = []
    if not choice.is_met(spec.pretrained_name_or_path, source, policy.path):
        other = (
            "for another robot"
            if choice.source(spec.pretrained_name_or_path)
            else "and its allowed_policies does not admit another"
        )
        mismatches.append(f"{choice.describe(spec.pretrained_name_or_path)}: the server runs '{source.path}', {other}")
    if spec.policy_type not in ("", policy.policy_type):
        mismatches.append(f"policy_type is {spec.policy_type}: the checkpoint is {policy.policy_type}")
    if spec.policy_device not in ("", policy.device, policy.device.partition(":")[0]):  # cuda may be any cuda:N
        mismatches.append(f"policy_device is {spec.policy_device}: the server's policy is on {policy.device}")
    return mismatches


def _match_cameras(
    spec: PolicySpec, served: ServedSettings, policy: PolicyDescription
) -> tuple[tuple[CameraNeed, ...], list[str]]:
    rename = _rename_map(spec, served, policy)
    by_key = {image.key: image for image in policy.images}
    by_camera = {image.camera: image for image in policy.images}
    found: dict[str, CameraNeed] = {}
    mismatches = []
    for camera in spec.cameras:
        key = rename.get(IMAGE_PREFIX + camera)
        image = by_key.get(key) if key is not None else by_camera.get(camera)
        if image is None:
            continue  # left out: a robot may have more cameras than the policy reads
        if image.key in found:
            mismatches.append(f"cameras {found[image.key].camera} and {camera} both mean the policy's {image.camera}")
        else:
            found[image.key] = CameraNeed(
                camera, image.key, image.height, image.width, image.native, image.trained_size
            )
    missing = [image for image in policy.images if image.key not in found]
    if missing:
        mismatches.append(_lack(missing, spec, {need.camera for need in found.values()}))
    return tuple(found[image.key] for image in policy.images if image.key in found), mismatches


def _lack(missing: list[ImageFeature], spec: PolicySpec, used: Collection[str]) -> str:
    """Which cameras a robot lacks, which it has, and how one of them is given the name that the policy knows."""
    lacking = ", ".join(image.camera for image in missing)
    spare = [camera for camera in spec.cameras if camera not in used]
    stand_in = spare[0] if len(spare) == len(missing) == 1 else "NAME"
    return (
        f"the policy reads camera {lacking}: the robot has {', '.join(spec.cameras)}; start a camera of that name, or "
        f"let one of them stand for it: rename_from: [{IMAGE_PREFIX}{stand_in}] and rename_to: [{missing[0].key}] of "
        "action_queue"
    )


def _check_fps(spec: PolicySpec, served: ServedSettings, policy: PolicyDescription) -> list[str]:
    if policy.any_fps and math.isfinite(spec.fps) and spec.fps > 0:
        return []
    if math.isfinite(spec.fps) and abs(spec.fps - served.fps) <= 0.01 * served.fps:
        return []
    return [f"fps is {spec.fps:g}: the server's policy runs at fps {served.fps:g}"]


def _conversion(
    spec: PolicySpec, served: ServedSettings, policy: PolicyDescription
) -> tuple[Conversion | None, list[str]]:
    """From rad to the policy's own numbers, and what of the robot's units or calibration does not fit them."""
    if policy.in_radians:
        return RadiansAsTheyAre(spec.joint_names), []
    mismatches = []
    if spec.units != served.units:
        said = Units(spec.units).name if spec.units in list(Units) else str(spec.units)
        mismatches.append(f"units is {said}: the server's parameter units is {served.units.name}")
    try:
        return (
            UnitConverter(spec.joint_names, served.units, spec.range_lower, spec.range_upper, spec.drive_mode),
            mismatches,
        )
    except UnitsError as error:
        return None, [*mismatches, str(error)]


def _check_joints(spec: PolicySpec, served: ServedSettings, policy: PolicyDescription) -> list[str]:
    if spec.joint_names == served.joint_names:
        return []
    if len(spec.joint_names) != policy.action_dim:
        return [f"joint_names has {len(spec.joint_names)} joints: the policy has {policy.action_dim}"]
    return [
        f"joint_names is {', '.join(spec.joint_names)}: the server's parameter joint_names is "
        f"{', '.join(served.joint_names)}, in this order"
    ]


def describe_against(served: ServedSettings, policy: PolicyDescription, cameras: tuple[str, ...]) -> PolicyDescription:
    """The description with the server's own camera names, checked against the parameters.

    Args:
        served: the server's parameters.
        policy: as the checkpoint describes itself.
        cameras: camera name for each image in order; empty = names from the checkpoint's own keys.

    Raises:
        SpecMismatchError: the parameters do not fit the checkpoint.
    """
    mismatches = []
    joints = len(served.joint_names)
    if policy.action_dim != joints or policy.state_dim not in (0, joints):
        mismatches.append(
            f"joint_names has {joints} joints: the policy's state has {policy.state_dim}, action {policy.action_dim}"
        )
    plain = tuple(name.removesuffix(".pos") for name in policy.action_names)
    if plain and not mismatches and plain != served.joint_names:
        mismatches.append(
            f"joint_names is {', '.join(served.joint_names)}: the checkpoint says {', '.join(plain)}, in this order"
        )
    if cameras and len(cameras) != len(policy.images):
        keys = ", ".join(image.key for image in policy.images) or "no images"
        mismatches.append(f"cameras has {len(cameras)} names: the policy reads {len(policy.images)} ({keys})")
    if mismatches:
        raise SpecMismatchError(mismatches)
    read = {image.key for image in policy.images}
    policy = replace(
        policy,
        warnings=(
            *policy.warnings,
            *(
                f"rename_to has {after}: the policy reads {', '.join(sorted(read)) or 'no images'}; "
                f"{before} is left out"
                for before, after in served.rename_map.items()
                if after.startswith(IMAGE_PREFIX) and after not in read
            ),
        ),
    )
    if not cameras:
        return policy
    images = tuple(replace(image, camera=camera) for image, camera in zip(policy.images, cameras, strict=True))
    return replace(policy, images=images)


def check_deployment(
    served: ServedSettings, policy: PolicyDescription, accepted_findings: Sequence[str] = ()
) -> tuple[Finding, ...]:
    """What the checkpoint's statistics say about the server's parameters."""
    found = check_units(policy.statistics, served.joint_names, served.units, policy.trained_in_degrees)
    return accept(found, accepted_findings)
