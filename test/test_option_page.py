# SPDX-License-Identifier: Apache-2.0
"""The page with every verb's options is what the parsers say."""

from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "command_line.md"
RENEW = "./so101 ros python docs/generators/option_page.py > docs/reference/command_line.md"


def test_the_page_about_options_is_current() -> None:
    option_page = pytest.importorskip("option_page")
    assert option_page.document() == PAGE.read_text(encoding="utf-8"), RENEW
