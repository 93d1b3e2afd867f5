"""docs/field.md promises a test for each symptom: the test is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = [
    line.split("|")[-2].strip()
    for line in (ROOT / "docs" / "field.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| Symptom"))
]
FILES = {path.name: path for folder in ("src", "test") for path in (ROOT / folder).rglob("test_*.py")}


def test_there_are_rows() -> None:
    assert len(ROWS) > 60


@pytest.mark.parametrize("cell", sorted(set(ROWS)))
def test_the_test_that_a_row_names_is_there(cell: str) -> None:
    named = re.findall(r"`([^`]+)`", cell)
    assert named, cell
    file = ""
    for word in named:
        name, _, function = word.rpartition("::")
        if word.endswith(".py"):
            name, function = word, ""
        file = name or file  # `test_x.py::test_a...`, `test_b...`: both of one file
        assert file in FILES, word
        if function:
            assert f"def {function.removesuffix('...')}" in FILES[file].read_text(encoding="utf-8"), word
