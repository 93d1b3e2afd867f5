"""ruff and mypy, as tests: what they find is a failure like any other."""

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
