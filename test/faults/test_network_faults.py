# SPDX-License-Identifier: Apache-2.0
"""Rows about the network between robot and server, and about their clocks; they need root."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fault_rig.rows import CASES_FILE, FaultTable
from so101_bench.two_hosts.hosts import why_not

pytestmark = pytest.mark.faults

OWN_SHARED_MEMORY = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /dev/shm && exec "$@"', "sh"]
needs_two_hosts = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


def run_rows(file: str, table: FaultTable, tmp_path: Path) -> None:
    """Run the rows with a /dev/shm of their own.

    What processes with wrong clocks leave there would make Fast DDS drop messages of later ones on the same ports.
    """
    cases = tmp_path / "cases.json"
    rows = str(Path(__file__).with_name(file))
    done = subprocess.run(
        [*OWN_SHARED_MEMORY, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "faults", rows],
        env=os.environ | {CASES_FILE: str(cases)},
        capture_output=True,
        text=True,
    )
    if cases.exists():
        table.read_cases(cases)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_two_hosts
def test_a_network_that_is_cut_or_bad(table: FaultTable, tmp_path: Path) -> None:
    run_rows("network_rows.py", table, tmp_path)


@needs_two_hosts
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler (cc) for the clocks that are wrong")
def test_clocks_that_are_apart_or_stepped(table: FaultTable, tmp_path: Path) -> None:
    run_rows("clock_rows.py", table, tmp_path)
