# SPDX-License-Identifier: Apache-2.0
"""What a ROS_DOMAIN_ID may be."""

from typing import Final

LAST_DOMAIN: Final = 232
"""Beyond it Fast DDS has no ports, and ends the process."""


def is_domain(text: str) -> bool:
    """Whether the text is a domain: a whole number from 0 to LAST_DOMAIN."""
    return text.isdecimal() and int(text) <= LAST_DOMAIN
