# SPDX-License-Identifier: Apache-2.0
"""The policy spec: what a robot expects of a policy, and the id under which both sides speak of it.

A new field is written in three places: PolicySpec.msg, the class below, and where its value comes from (a parameter of
the action queue of the same name is taken by itself).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import blake2b

from so101_node.protocol.units import Units


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """The fields of so101_msgs/PolicySpec but session, id and task.

    Ranges are rad, in order of `joint_names`. `units` is a Units, or an unknown number that another version sent.
    """

    policy_type: str
    pretrained_name_or_path: str
    policy_device: str
    actions_per_chunk: int
    fps: float
    cameras: tuple[str, ...]
    joint_names: tuple[str, ...]
    units: int
    range_lower: tuple[float, ...]
    range_upper: tuple[float, ...]
    drive_mode: tuple[int, ...]
    rename_from: tuple[str, ...]
    rename_to: tuple[str, ...]

    @property
    def rename_map(self) -> Mapping[str, str]:
        """Observation key as the robot calls it -> as the policy does; LeRobot's rename_map."""
        return dict(zip(self.rename_from, self.rename_to, strict=False))

    @property
    def spec_id(self) -> int:
        """A 64-bit hash of the content, never 0.

        Equal specs share an id, so a queue that restarts finds its policy READY at once, and a replay needs no log of
        random numbers. The task is not part of it: every request carries its own, and changing the task must not make
        the server check the policy again.
        """
        content = repr([(item.name, self._hashed(item.name)) for item in fields(self)])
        return int.from_bytes(blake2b(content.encode(), digest_size=8).digest(), "little") or 1

    def _hashed(self, name: str) -> object:
        """The value as it enters the hash; recorded bags hold ids in which the units are words."""
        value = getattr(self, name)
        return Units(value).name.lower() if name == "units" and value in list(Units) else value


@dataclass(frozen=True, slots=True)
class ReceivedSpec:
    """A spec as a robot announced it: the queue's session, the id it is called by, and the language instruction."""

    session: int
    spec_id: int
    task: str
    spec: PolicySpec
