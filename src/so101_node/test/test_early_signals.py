# SPDX-License-Identifier: Apache-2.0
"""A node that is told to leave while it is still being imported."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SLOW = """
print("importing", flush=True)
import time
time.sleep(600)
def main(): pass
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_imports_ends_the_process_at_once_and_without_a_word(tmp_path: Path, number: int) -> None:
    (tmp_path / "slow_node.py").write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, "-c", "from so101_node.early_signals import start; start('slow_node')"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
    )
    assert process.stdout is not None and process.stdout.readline() == "importing\n"
    begin = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert time.monotonic() - begin < 10
