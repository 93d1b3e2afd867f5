# SPDX-License-Identifier: Apache-2.0
"""Variables of the shell with which no ROS process would start, refused before one is started."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .failure import Failure

_LAST_DOMAIN = 232  # Fast DDS has no ports for more


def refuse_missing_middleware(env: Mapping[str, str]) -> None:
    """Every ROS process would end with a line of rcl's, and a launched one would be started again without end."""
    named = env.get("RMW_IMPLEMENTATION", "")
    folders = [Path(part) / "share/ament_index/resource_index" for part in env.get("AMENT_PREFIX_PATH", "").split(":")]
    if named and not any((folder / "rmw_typesupport" / named).exists() for folder in folders):
        raise Failure(f"RMW_IMPLEMENTATION={named}: not installed here, no node would start: unset RMW_IMPLEMENTATION")


def refuse_odd_domain(env: Mapping[str, str]) -> None:
    """With one that is no number ROS ends with a line of rcl's, beyond the last one Fast DDS ends the process."""
    domain = env.get("ROS_DOMAIN_ID", "")
    if domain and not (domain.isdecimal() and int(domain) <= _LAST_DOMAIN):
        raise Failure(
            f"ROS_DOMAIN_ID={domain}: is no whole number from 0 to {_LAST_DOMAIN}: export ROS_DOMAIN_ID=0, or what the "
            "other computer has; or unset it on both"
        )
