# SPDX-License-Identifier: Apache-2.0
"""The PolicySpec of this robot: from the settings and the limits of its joints."""

from so101_node.parameters import pick
from so101_node.protocol import PolicySpec, Units

from so101_action_queue.core.inputs import Bounds, JointLimits
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.errors import LimitsError


def policy_spec(settings: QueueSettings, limits: JointLimits) -> PolicySpec:
    """Return the spec for these settings on the arm whose limits these are.

    Raises:
        KeyError: `limits` lacks one of the joints in `settings.joint_names`.
    """
    at = {name: index for index, name in enumerate(limits.joint_names)}
    order = [at[name] for name in settings.joint_names]
    return pick(
        PolicySpec,
        settings,  # a field of the spec with a parameter's name is that parameter
        units=Units[settings.units.upper()],
        range_lower=tuple(limits.range_lower[index] for index in order),
        range_upper=tuple(limits.range_upper[index] for index in order),
        drive_mode=tuple(limits.drive_mode[index] for index in order),
    )


class RobotSpec:
    """The policy spec in force, and the bounds that come from the same limits; kept while the settings change."""

    def __init__(self) -> None:
        self.spec: PolicySpec | None = None
        self.spec_id = 0  # 0 before the first
        self.bounds: Bounds | None = None
        self.fault = "no joint_limits yet: is so101_driver running?"  # "" when the limits can be used
        self._limits: JointLimits | None = None

    def take_limits(self, limits: JointLimits) -> None:
        """Keep the limits; they count from the next `make` on."""
        self._limits = limits

    def make(self, settings: QueueSettings) -> str:
        """Make spec and bounds for these settings; return in one line why the limits cannot be used, or ""."""
        if self._limits is None:
            return ""
        try:
            self.bounds = self._limits.bounds(settings.joint_names)
        except LimitsError as error:
            self.fault = str(error)
            return self.fault
        self.fault = ""
        self.spec = policy_spec(settings, self._limits)
        self.spec_id = self.spec.spec_id
        return ""
