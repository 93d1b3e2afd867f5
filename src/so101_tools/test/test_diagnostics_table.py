"""The page about diagnostics is what the code says."""

from pathlib import Path

import pytest
from so101_tools.diagnostics_table import document

PAGE = Path(__file__).parents[3] / "docs" / "diagnostics.md"


@pytest.mark.skipif(not PAGE.exists(), reason="installed without the docs")
def test_the_page_about_diagnostics_is_current() -> None:
    said = document()
    assert said == PAGE.read_text(encoding="utf-8"), "python -m so101_tools.diagnostics_table > docs/diagnostics.md"
