# SPDX-License-Identifier: Apache-2.0
"""One check: what was looked at, how it stands, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path


class Light(StrEnum):
    """GREEN: as it should be. YELLOW: works, or could not be looked at. RED: will not work."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one check. `remedy` is empty where nothing is to be done."""

    part: str
    name: str
    state: Light
    text: str
    remedy: str = ""

    def line(self) -> str:
        """The check as one line."""
        remedy = f" -> {self.remedy}" if self.remedy else ""
        return f"{self.state.value:<6}  {self.part}: {self.name}: {self.text}{remedy}"


Checks = Iterator[Check]


@dataclass(frozen=True, slots=True)
class Part:
    """Makes the checks of one part; the shorthand keeps a check to one statement."""

    name: str

    def green(self, name: str, text: str) -> Check:
        """As it should be."""
        return Check(self.name, name, Light.GREEN, text)

    def yellow(self, name: str, text: str, remedy: str = "") -> Check:
        """Works, or could not be looked at."""
        return Check(self.name, name, Light.YELLOW, text, remedy)

    def red(self, name: str, text: str, remedy: str = "") -> Check:
        """Will not work."""
        return Check(self.name, name, Light.RED, text, remedy)


def or_missing(part: Part, remedy: str, maker: Callable[[], Checks]) -> Checks:
    """The checks of `maker`; what they need and this computer has not installed is one red check."""
    try:
        yield from maker()
    except ImportError as error:
        yield part.red("packages", str(error).strip().partition("\n")[0], remedy)


def run(makers: Iterable[Callable[[], Checks]], show: Callable[[Check], None]) -> list[Check]:
    """Run the checks in order, show each as it comes, and return all."""
    done: list[Check] = []
    for maker in makers:
        for check in maker():
            done.append(check)
            show(check)
    return done


def write_report(checks: Iterable[Check], file: Path) -> None:
    """Write `{"ok": bool, "checks": [...]}`. Raises OSError."""
    listed = [asdict(check) for check in checks]
    report = {"ok": all(check["state"] != Light.RED for check in listed), "checks": listed}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
