# SPDX-License-Identifier: Apache-2.0
"""Cores per process over a stretch of time."""

import os
import time

import pytest
from so101_demo.observer.cpu import CpuMeter, cpu_seconds

SECOND = 1_000_000_000


def test_cores_are_cpu_time_used_since_the_start_over_time_passed():
    used = {1: 10.0, 2: 3.0}
    meter = CpuMeter({"driver": 1, "queue": 2}, used.get)
    meter.start(5 * SECOND)
    used[1], used[2] = 11.0, 3.4
    meter.sample(7 * SECOND)
    assert meter.cores == pytest.approx({"driver": 0.5, "queue": 0.2})


def test_a_process_that_ended_keeps_its_last_figure():
    used: dict[int, float | None] = {1: 0.0}
    meter = CpuMeter({"driver": 1}, used.__getitem__)
    meter.start(0)
    used[1] = 0.5
    meter.sample(SECOND)
    used[1] = None
    meter.sample(2 * SECOND)
    assert meter.cores == {"driver": 0.5}


def test_nothing_is_measured_before_the_start():
    meter = CpuMeter({"driver": 1}, {1: 1.0}.get)
    meter.sample(SECOND)
    assert meter.cores == {}


def test_the_operating_systems_figure_grows_with_work_and_is_none_of_a_process_that_does_not_exist():
    before = cpu_seconds(os.getpid())
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    after = cpu_seconds(os.getpid())
    assert before is not None and after is not None and after - before >= 0.05
    assert cpu_seconds(2**22 + 1) is None
