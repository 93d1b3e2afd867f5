"""ruff and mypy, as tests: what they find is a failure like any other."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("ruff") is None, reason="ruff is not installed here")
def test_ruff_finds_nothing() -> None:
    run("ruff", "check", "--output-format", "concise", ".")


@pytest.mark.skipif(shutil.which("mypy") is None, reason="mypy is not installed here")
def test_mypy_finds_nothing() -> None:
    """All packages at once; the tests themselves are not typed strictly and are left to ruff."""
    packages = [str(path.parent) for path in sorted((ROOT / "src").glob("*/*/py.typed"))]
    assert len(packages) >= 7
    run("mypy", *packages, str(ROOT / "scripts" / "so101_workspace"))


def test_python_3_8_reads_the_entry_script() -> None:
    """It has to start on whatever Python a machine brings, before there is an environment."""
    import ast

    for path in [ROOT / "scripts" / "__main__.py", *(ROOT / "scripts" / "so101_workspace").glob("*.py")]:
        ast.parse(path.read_text(), str(path), feature_version=(3, 8))


def test_nodes_count_publishers_and_subscriptions_under_remapped_names() -> None:
    """rclpy's own counts ignore remapping, which once switched the alarm about a second commander off."""
    counts = re.compile(r"\.count_(publishers|subscribers)\(")
    sources = [path for path in ROOT.glob("src/*/*/**/*.py") if path.parent.name != "test"]
    assert len(sources) > 100
    offenders = [path for path in sources if path.name != "graph.py" and counts.search(path.read_text())]
    assert [str(path.relative_to(ROOT)) for path in offenders] == [], "use so101_node.graph"


def test_entries_of_diagnostics_are_made_in_one_place() -> None:
    """Where a node builds them by hand, names and causes drift apart."""
    sources = [path for path in ROOT.glob("src/*/*/**/*.py") if path.parent.name != "test"]
    offenders = [path for path in sources if re.search(r"\bDiagnosticStatus\(", path.read_text())]
    assert [str(path.relative_to(ROOT)) for path in offenders] == ["src/so101_node/so101_node/diagnostics.py"]


def test_timers_do_not_stop_with_the_clock_of_a_simulation() -> None:
    """rclpy's own timers stand still under use_sim_time while nobody publishes /clock."""
    sources = [path for path in ROOT.glob("src/*/*/**/*.py") if path.parent.name != "test"]
    offenders = [path for path in sources if re.search(r"\.create_timer\(", path.read_text())]
    assert [str(path.relative_to(ROOT)) for path in offenders] == ["src/so101_node/so101_node/timers.py"]
