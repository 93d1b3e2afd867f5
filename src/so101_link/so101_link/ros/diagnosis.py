# SPDX-License-Identifier: Apache-2.0
"""Causes that both nodes of the link have, and what both say of their keys and of the traffic."""

from __future__ import annotations

import time
from typing import Final

from so101_node.diagnostics import Cause, Level

from so101_link.core import causes
from so101_link.core.traffic import TrafficNumbers
from so101_link.keys.expiry import Validity, expiry
from so101_link.keys.folder import KeyFolder

CONNECTED: Final = Cause(causes.CONNECTED, Level.OK, "robot and server are joined")
SAME_DOMAIN: Final = Cause(
    causes.SAME_DOMAIN, Level.ERROR, "what comes over the link is published here by another node too; the link holds",
    "dds_profile loopback on both computers; on one computer another ROS_DOMAIN_ID for either end",
)  # fmt: skip
TOO_SLOW: Final = Cause(
    causes.TOO_SLOW, Level.WARN, "the connection carries less than is offered; frames of older requests are dropped",
    "fewer or smaller camera frames (jpeg_quality, width, height), larger chunks, or a faster connection",
)  # fmt: skip
CLOCK_WRONG: Final = Cause(
    causes.CLOCK_WRONG, Level.ERROR, "a certificate is not valid yet: the clock of one of the computers is wrong",
    "set the clock: timedatectl set-ntp true; the link then connects without help",
)  # fmt: skip
CERTIFICATE_EXPIRES: Final = Cause(
    causes.CERTIFICATE_EXPIRES, Level.WARN, "the certificate of this computer expires soon",
    "renew it where the authority is, and copy the folder that ./so101 link keys names",
)  # fmt: skip
CERTIFICATE_REFUSED: Final = Cause(
    causes.CERTIFICATE_REFUSED, Level.ERROR, "a certificate does not stand, on this computer or the other",
    "copy the folders of keys from one run of ./so101 link keys to both computers",
)  # fmt: skip


def keys_cause(keys: KeyFolder) -> tuple[Cause, str] | None:
    """What is wrong with the keys by this computer's clock, or will be soon; None where nothing is."""
    state = expiry(keys.name, keys.not_before_s, keys.not_after_s, time.time())
    chosen = {
        Validity.NOT_YET_VALID: CLOCK_WRONG,
        Validity.EXPIRED: CERTIFICATE_REFUSED,
        Validity.EXPIRES_SOON: CERTIFICATE_EXPIRES,
    }.get(state.validity)
    return None if chosen is None else (chosen, state.text)


def slow_words(numbers: TrafficNumbers) -> str:
    """Say in numbers what the connection did not carry; "" where it carried all."""
    if not numbers.frames_dropped:
        return ""
    return (
        f"{numbers.offered_mbit:.1f} Mbit/s offered, {numbers.sent_mbit:.1f} sent, "
        f"{numbers.frames_dropped} frames dropped in 5 s"
    )


def traffic_values(numbers: TrafficNumbers) -> dict[str, object]:
    """The traffic of the last 5 s as values of an entry."""
    return {
        "offered_mbit": f"{numbers.offered_mbit:.2f}",
        "sent_mbit": f"{numbers.sent_mbit:.2f}",
        "frames_dropped": numbers.dropped_ever,
    }
