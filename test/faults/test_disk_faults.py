# SPDX-License-Identifier: Apache-2.0
"""Row about a disk that fills up while a recorder writes to it."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_rig.rows import FaultTable
from fault_rig.system import System

pytestmark = pytest.mark.faults

FLUSH_S = 0.5  # flush_period_s of the recorder: the next write
LEAVING_S = 1.0
TICK_ERROR_S = 0.005


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a disk that is small enough to be filled needs root: mount -t tmpfs")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no small disk: {made.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_ends_the_recording_and_not_the_motion(system: System, table: FaultTable, small_disk: Path) -> None:
    for left in small_disk.iterdir():  # of an attempt before
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    recorder = system.make_recorder(small_disk / "bag")
    with table.case(18, "disk full while recording") as case:
        recorder.start()
        system.wait(lambda: "recording /" in recorder.said, "the recorder records")
        began_ns = time.monotonic_ns()

        def fill() -> None:
            with (small_disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
                while True:  # the recorder writes too: what is free now is not free then
                    filler.write(bytes(4096))

        case.run(
            system,
            fill,
            lambda since: time.monotonic_ns() if not recorder.is_running else None,
            "the recorder ends with an error, control goes on",
            FLUSH_S + LEAVING_S,
            control_s=2.0,
        )
        assert recorder.exit_code == 1
        errors = [line for line in recorder.said.splitlines() if "error" in line]
        assert "recording stopped" in errors[0]
        assert "Traceback" not in recorder.said
        time.sleep(1.0)
        ticks, starved = system.starved_since(began_ns)
        assert ticks > 60
        assert starved == 0
        assert system.tick_error_s(began_ns) < TICK_ERROR_S
        assert system.motion.violations(system.bounds(), began_ns) == []
