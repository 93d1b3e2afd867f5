# SPDX-License-Identifier: Apache-2.0
"""Whether a certificate is valid, for how long, and what to do about it."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from enum import StrEnum

from so101_node.diagnostics.causes import Level

WARN_BELOW_S = 30 * 86400.0


class Validity(StrEnum):
    """Where a clock stands within the time for which a certificate is valid."""

    VALID = "valid"
    EXPIRES_SOON = "expires soon"
    EXPIRED = "expired"
    NOT_YET_VALID = "not yet valid"

    @property
    def usable(self) -> bool:
        """Whether a peer with the same clock accepts the certificate."""
        return self in (Validity.VALID, Validity.EXPIRES_SOON)

    @property
    def level(self) -> Level:
        """How bad it is, for /diagnostics."""
        return {Validity.VALID: Level.OK, Validity.EXPIRES_SOON: Level.WARN}.get(self, Level.ERROR)


@dataclass(frozen=True, slots=True)
class Expiry:
    """The validity of one certificate at one time. `remedy` is empty where nothing is to be done."""

    validity: Validity
    text: str
    remedy: str = ""


def date(time_s: float) -> str:
    """The day of a unix time, UTC, as 2028-11-30."""
    return datetime.datetime.fromtimestamp(time_s, datetime.UTC).date().isoformat()


def expiry(name: str, not_before_s: float, not_after_s: float, now_s: float) -> Expiry:
    """Say whether the certificate of `name` (a robot, or `server`) is valid at `now_s`; all times are unix times, s.

    A warning begins 30 days before the end: doctor and /diagnostics both ask this function.
    """
    renew = f"where the authority is: ./so101 link keys DIR --renew {name}; then copy the folder it names"
    if now_s < not_before_s:
        text = f"the certificate of {name} is valid from {date(not_before_s)} on, but this computer's clock says "
        return Expiry(Validity.NOT_YET_VALID, f"{text}{date(now_s)}", "set this computer's clock: timedatectl")
    if now_s >= not_after_s:
        text = f"the certificate of {name} expired on {date(not_after_s)}; this computer's clock says {date(now_s)}"
        return Expiry(Validity.EXPIRED, text, f"{renew}; or set the clock, if that date is wrong")
    days = int((not_after_s - now_s) // 86400)
    text = f"the certificate of {name} expires on {date(not_after_s)}, in {days} days"
    if not_after_s - now_s < WARN_BELOW_S:
        return Expiry(Validity.EXPIRES_SOON, text, renew)
    return Expiry(Validity.VALID, text)
