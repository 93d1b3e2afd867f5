# SPDX-License-Identifier: Apache-2.0
"""What a cut of the network does to a link, watched for a while afterwards."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
from link_rig import LinkProcess

if TYPE_CHECKING:
    from so101_bench.two_hosts.hosts import TwoHosts
    from test_link_faults import Echo


@dataclass(frozen=True)
class CutResult:
    """Seconds; `missed`: requests of the time watched that no chunk came for; `grown_kb`: of either end's memory."""

    cut_s: float
    flowing_after_s: float
    missed: int
    longest_publish_s: float
    grown_kb: tuple[int, ...]


def cut_and_watch(hosts: TwoHosts, robot: Echo, ends: Sequence[LinkProcess], cut_s: float, watch_s: float) -> CutResult:
    before_kb = _memory_kb(ends)
    hosts.cut()
    time.sleep(cut_s)
    hosts.heal()
    healed_s = time.monotonic()
    flowing_after_s = robot.first_asked_after(healed_s, 30.0)
    time.sleep(max(0.0, healed_s + watch_s - time.monotonic()))
    since = [chunk for chunk in tuple(robot.chunks) if chunk["asked_s"] > healed_s + flowing_after_s]
    asked = int(since[-1]["request"] - since[0]["request"]) + 1
    grown_kb = tuple(after - before for after, before in zip(_memory_kb(ends), before_kb, strict=True))
    return CutResult(
        cut_s, flowing_after_s, asked - len(since), max(chunk["longest_publish_s"] for chunk in since), grown_kb
    )


def _memory_kb(ends: Sequence[LinkProcess]) -> list[int]:
    return [psutil.Process(end.process.pid).memory_info().rss >> 10 for end in ends]
