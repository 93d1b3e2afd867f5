# SPDX-License-Identifier: Apache-2.0
"""Rows of the fault table: what was injected, what was seen, how long it took, and that it is not seen otherwise."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from fault_rig.system import NotInTimeError, System

CONTROL_S = 1.0
CASES_FILE = "SO101_FAULT_CASES"
"""Environment variable: where a process that runs single rows for another leaves its cases."""

Seen = Callable[[int], int | None]
"""(since, ns) -> when the reaction showed, ns, on the monotonic clock; None if it did not since then."""


@dataclass(slots=True)
class Case:
    """One injected fault. time_s and bound_s may be of what the row bounds, where that is no reaction time."""

    row: int
    fault: str
    reaction: str = ""
    time_s: float = float("nan")
    bound_s: float = float("nan")
    control: str = ""
    ok: bool = False

    def measured(self, reaction: str, time_s: float, bound_s: float, control: str) -> None:
        """Note a measurement and judge it."""
        self.reaction, self.time_s, self.bound_s, self.control = reaction, time_s, bound_s, control
        assert time_s <= bound_s, f"row {self.row}, {self.fault}: {reaction} took {time_s:.3f} s, bound {bound_s:.3f} s"

    def run(
        self,
        system: System,
        inject: Callable[[], int | None],
        seen: Seen,
        reaction: str,
        bound_s: float,
        *,
        counted_from: Callable[[int, int], int] | None = None,
        control_s: float = CONTROL_S,
        patience_s: float = 15.0,
    ) -> int:
        """Look for the reaction without the fault, which must fail; inject; look again. Returns when it showed, ns.

        `inject` may return when the fault began, ns; otherwise it began before the call. Where the bound counts from
        something else, `counted_from` says when that was, given when the fault began and when the reaction showed.
        """
        since_ns = time.monotonic_ns()
        time.sleep(control_s)
        assert seen(since_ns) is None, f"row {self.row}: '{reaction}' is seen without the fault '{self.fault}'"
        began_ns = time.monotonic_ns()
        injected_ns = inject() or began_ns
        try:
            at_ns = system.wait(lambda: seen(injected_ns), reaction, patience_s)
        except NotInTimeError:
            self.reaction, self.bound_s = f"not seen: {reaction}", bound_s
            raise
        from_ns = counted_from(injected_ns, at_ns) if counted_from else injected_ns
        self.measured(
            reaction, max(0, at_ns - from_ns) / 1e9, bound_s, f"not seen in {control_s:g} s without the fault"
        )
        return at_ns


class FaultTable:
    """All cases of a run."""

    def __init__(self) -> None:
        self.cases: list[Case] = []

    @contextlib.contextmanager
    def case(self, row: int, fault: str) -> Iterator[Case]:
        """A case that is good when its block ends without an error and something was measured."""
        case = Case(row, fault)
        self.cases.append(case)
        yield case
        case.ok = case.time_s <= case.bound_s and bool(case.control)
        assert case.ok, f"row {row}: nothing was measured"

    def rows(self) -> list[Case]:
        """One case per row of the table; of several, the one that came nearest to its bound speaks for all."""
        rows = []
        for number in sorted({case.row for case in self.cases}):
            cases = [case for case in self.cases if case.row == number]
            worst = max(cases, key=lambda case: (not case.ok, case.time_s / case.bound_s))
            fault = "; ".join(dict.fromkeys(case.fault for case in cases))
            rows.append(
                Case(
                    number, fault, worst.reaction, worst.time_s, worst.bound_s, worst.control, all(c.ok for c in cases)
                )
            )
        return rows

    def lines(self) -> list[str]:
        """The table for people: every case."""
        head = f"{'row':>3}  {'fault':<58} {'reaction':<66} {'measured':>9} {'bound':>9}"
        lines = [head, "-" * len(head)]
        for case in sorted(self.cases, key=lambda case: case.row):
            times = f"{case.time_s:>7.3f} s {case.bound_s:>7.3f} s" + ("" if case.ok else "  FAILED")
            lines.append(f"{case.row:>3}  {case.fault:<58} {case.reaction:<66} {times}")
        return lines

    def write_cases(self, path: Path) -> None:
        """Write every case, for `read_cases` of another process."""
        path.write_text(json.dumps([asdict(case) for case in self.cases]))

    def read_cases(self, path: Path) -> None:
        """Take over the cases of another process."""
        self.cases += [Case(**case) for case in json.loads(path.read_text())]

    def write(self, path: Path) -> None:
        """Write the report."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [{key: None if value != value else value for key, value in asdict(case).items()} for case in self.rows()]
        path.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
