# SPDX-License-Identifier: Apache-2.0
"""The cores are covered by tests that need neither ROS nor a process; pyproject.toml has the floor."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OF_A_CORE = re.compile(r"^(?:from|import) so101_\w+\.core", re.MULTILINE)
MORE_THAN_A_CORE = re.compile(
    r"rclpy|so101_msgs|\.ros\.|subprocess|Popen|\bpty\b|torch|lerobot|pytest\.importorskip"
    r"|lockstep_arm|build_model|running_virtual_arm|policy correction"  # the simulator, or training
)


def core_tests() -> list[Path]:
    texts = {path: path.read_text() for path in sorted(ROOT.glob("src/*/test/**/test_*.py"))}
    return [path for path, text in texts.items() if OF_A_CORE.search(text) and not MORE_THAN_A_CORE.search(text)]


@pytest.mark.long
def test_the_cores_are_covered_by_tests_of_their_own(tmp_path: Path) -> None:
    options = ["-q", "-p", "no:cacheprovider", "-n", "2", "--cov", "--cov-report=term"]
    command = [sys.executable, "-m", "pytest", *options, *map(str, core_tests())]
    where = dict(os.environ, COVERAGE_FILE=str(tmp_path / "coverage"))
    done = subprocess.run(command, cwd=ROOT, env=where, capture_output=True, text=True, check=False)
    measured = re.search(r"^TOTAL .*?(\d+)%$", done.stdout, re.MULTILINE)
    assert measured and done.returncode == 0, done.stdout[-6000:] + done.stderr
