# SPDX-License-Identifier: Apache-2.0
"""The page about diagnostics is what the code says."""

from pathlib import Path

from diagnostics_table import document

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "diagnostics.md"
RENEW = "./so101 ros python docs/generators/diagnostics_table.py > docs/reference/diagnostics.md"


def test_the_page_about_diagnostics_is_current() -> None:
    said = document()
    assert said == PAGE.read_text(encoding="utf-8"), RENEW
