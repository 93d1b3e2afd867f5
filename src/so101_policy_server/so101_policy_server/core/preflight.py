# SPDX-License-Identifier: Apache-2.0
"""What a look at a checkpoint and its deployment finds before anything moves: values, free of LeRobot and ROS.

Red refuses to serve. Yellow serves with a warning. The policy server says the words of both when it loads a policy,
`./so101 doctor server --checkpoint` says the same words beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

REFUSAL_LENGTH: Final = 900
"""Characters of a refusal: PolicyStatus.message holds 1024, with the words before it."""


class Verdict(StrEnum):
    """GREEN: as it should be. YELLOW: unlikely to be meant. RED: wrong numbers, or none at all."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        verdict: how it stands.
        key: what it is about, such as `statistics.action`; a person may name it in `accepted_findings`.
        text: what is known and what was expected, one line.
        remedy: what to type, one line; "" where nothing is to be done.
        acceptable: red because of numbers that a person may know better: `accepted_findings` makes it yellow.
    """

    verdict: Verdict
    key: str
    text: str
    remedy: str = ""
    acceptable: bool = False

    def line(self) -> str:
        """The finding as one line, without its colour."""
        return f"{self.key}: {self.text}" + (f" -> {self.remedy}" if self.remedy else "")


def green(key: str, text: str) -> Finding:
    """As it should be."""
    return Finding(Verdict.GREEN, key, text)


def yellow(key: str, text: str, remedy: str = "") -> Finding:
    """Served, with a warning."""
    return Finding(Verdict.YELLOW, key, text, remedy)


def red(key: str, text: str, remedy: str = "") -> Finding:
    """Not served."""
    return Finding(Verdict.RED, key, text, remedy)


def implausible(key: str, text: str, remedy: str) -> Finding:
    """Not served unless a person accepts it by its key."""
    meant = f'if that is meant: accepted_findings: ["{key}"]'
    return Finding(Verdict.RED, key, text, f"{remedy}; {meant}", acceptable=True)


def accept(findings: Iterable[Finding], accepted: Sequence[str]) -> tuple[Finding, ...]:
    """The findings with those made yellow that a person accepts by key."""
    return tuple(
        replace(finding, verdict=Verdict.YELLOW, remedy="accepted by accepted_findings")
        if finding.acceptable and finding.verdict is Verdict.RED and finding.key in accepted
        else finding
        for finding in findings
    )


def refusal(findings: Iterable[Finding]) -> str:
    """All that is red, in one line of at most REFUSAL_LENGTH characters; "" where nothing is."""
    lines = [finding.line() for finding in findings if finding.verdict is Verdict.RED]
    if not lines:
        return ""
    kept, length = [lines[0]], len(lines[0])
    for line in lines[1:]:
        length += len(line) + 2
        if length > REFUSAL_LENGTH:
            break
        kept.append(line)
    more = len(lines) - len(kept)
    text = "; ".join(kept)
    return f"{text}; {more} more: ./so101 doctor server --checkpoint lists all" if more else text


def warnings(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Each yellow finding as a line."""
    return tuple(finding.line() for finding in findings if finding.verdict is Verdict.YELLOW)
