# SPDX-License-Identifier: Apache-2.0
"""The page about policies is what LeRobot and the code say."""

from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "policies.md"
RENEW = "./so101 ros python docs/generators/policy_table.py > docs/reference/policies.md"


def test_the_page_about_policies_is_current() -> None:
    pytest.importorskip("lerobot", reason="LeRobot is not installed")
    policy_table = pytest.importorskip("policy_table")
    assert policy_table.document() == PAGE.read_text(encoding="utf-8"), RENEW
