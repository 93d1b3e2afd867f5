# SPDX-License-Identifier: Apache-2.0
"""Cores used by processes over a stretch of time, from the operating system's accounting."""

from collections.abc import Callable, Mapping

import psutil

CpuSeconds = Callable[[int], float | None]


def cpu_seconds(pid: int) -> float | None:
    """Return the CPU time of a process and its living and ended children, s, or None when it is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return None
    total = 0.0
    for member in family:
        try:
            times = member.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


class CpuMeter:
    """Mean cores by name between `start` and the latest `sample`; a process that ended keeps its last figure."""

    def __init__(self, pids: Mapping[str, int], read: CpuSeconds = cpu_seconds) -> None:
        self._pids = dict(pids)
        self._read = read
        self._start_ns: int | None = None
        self._first_s: dict[str, float] = {}
        self._cores: dict[str, float] = {}

    def start(self, now_ns: int) -> None:
        """Begin measuring; a second call changes nothing."""
        if self._start_ns is not None:
            return
        self._start_ns = now_ns
        for name, pid in self._pids.items():
            used_s = self._read(pid)
            if used_s is not None:
                self._first_s[name] = used_s

    def sample(self, now_ns: int) -> None:
        """Read all processes that still live."""
        if self._start_ns is None or now_ns <= self._start_ns:
            return
        for name, first_s in self._first_s.items():
            used_s = self._read(self._pids[name])
            if used_s is not None:
                self._cores[name] = (used_s - first_s) / ((now_ns - self._start_ns) * 1e-9)

    @property
    def cores(self) -> dict[str, float]:
        """Mean cores by name so far."""
        return dict(self._cores)
