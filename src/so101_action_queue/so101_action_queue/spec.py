"""The PolicySpec: what the robot expects of a policy, and the id under which both sides speak of it."""

from dataclasses import dataclass, fields
from hashlib import blake2b

from so101_action_queue.inputs import JointLimits
from so101_action_queue.settings import Settings


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """The fields of so101_msgs/PolicySpec without session, id and task; ranges in rad, in order of `joint_names`."""

    policy_type: str
    pretrained_name_or_path: str
    policy_device: str
    actions_per_chunk: int
    fps: float
    cameras: tuple[str, ...]
    joint_names: tuple[str, ...]
    units: str
    range_lower: tuple[float, ...]
    range_upper: tuple[float, ...]
    drive_mode: tuple[int, ...]
    rename_from: tuple[str, ...]
    rename_to: tuple[str, ...]

    @property
    def spec_id(self) -> int:
        """A 64-bit hash of the content, never 0.

        Equal specs share an id, so a queue that restarts finds its policy READY at once, and a replay needs no log of
        random numbers. The task is not part of it: every request carries its own, and changing the task must not make
        the server check the policy anew.
        """
        content = repr([(item.name, getattr(self, item.name)) for item in fields(self)])
        return int.from_bytes(blake2b(content.encode(), digest_size=8).digest(), "little") or 1


def policy_spec(settings: Settings, limits: JointLimits) -> PolicySpec:
    """Return the spec for these settings on the arm whose limits these are.

    Raises:
        KeyError: `limits` lacks one of the joints in `settings.joint_names`.
    """
    at = {name: index for index, name in enumerate(limits.joint_names)}
    order = [at[name] for name in settings.joint_names]
    return PolicySpec(
        policy_type=settings.policy_type,
        pretrained_name_or_path=settings.pretrained_name_or_path,
        policy_device=settings.policy_device,
        actions_per_chunk=settings.actions_per_chunk,
        fps=settings.fps,
        cameras=settings.cameras,
        joint_names=settings.joint_names,
        units=settings.units,
        range_lower=tuple(limits.range_lower[index] for index in order),
        range_upper=tuple(limits.range_upper[index] for index in order),
        drive_mode=tuple(limits.drive_mode[index] for index in order),
        rename_from=settings.rename_from,
        rename_to=settings.rename_to,
    )
