# SPDX-License-Identifier: Apache-2.0
"""link_server's part of /diagnostics: every cause with its level and remedy."""

from __future__ import annotations

from typing import Final

from so101_node.diagnostics import Cause, Level

from so101_link.core import causes
from so101_link.ros.diagnosis import (
    CERTIFICATE_EXPIRES,
    CERTIFICATE_REFUSED,
    CLOCK_WRONG,
    CONNECTED,
    SAME_DOMAIN,
    TOO_SLOW,
)

LISTENING: Final = Cause(causes.LISTENING, Level.OK, "robots can connect")
ROBOT_GONE: Final = Cause(
    causes.ROBOT_GONE, Level.WARN, "the robot is not connected", "start it, or look at its own /diagnostics"
)
NO_POLICY_SERVER: Final = Cause(
    causes.NO_POLICY_SERVER, Level.ERROR, "no policy server here listens to this robot's namespace",
    "start policy_server with the same ROS_DOMAIN_ID and dds_profile, and name the robot in its parameter robots",
)  # fmt: skip
CAUSES: Final = (
    LISTENING, CONNECTED, ROBOT_GONE, NO_POLICY_SERVER, CERTIFICATE_REFUSED, CLOCK_WRONG, CERTIFICATE_EXPIRES, TOO_SLOW,
    SAME_DOMAIN,
)  # fmt: skip
