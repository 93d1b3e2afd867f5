"""Rows about the network between robot and server; they need root."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fault_rig.rows import CASES_FILE, FaultTable
from so101_tools.two_hosts.hosts import why_not

pytestmark = pytest.mark.faults

ROWS = Path(__file__).with_name("network_rows.py")


@pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
def test_a_network_that_is_cut_or_bad(table: FaultTable, tmp_path: Path) -> None:
    cases = tmp_path / "cases.json"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "faults", str(ROWS)],
        env=os.environ | {CASES_FILE: str(cases)},
        capture_output=True,
        text=True,
    )
    if cases.exists():
        table.read_cases(cases)
    assert done.returncode == 0, done.stdout + done.stderr
