# SPDX-License-Identifier: Apache-2.0
"""The rules: each has a test, and the reference page lists them as they are."""

import ast
from pathlib import Path

import pytest
import so101_driver_conformance.rules as rules_module
from so101_driver_conformance.rules import RULES, broken

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "driver_contract.md"
SUITE = Path(rules_module.__file__).with_name("contract_suite.py")


def test_every_rule_has_one_test_by_its_name() -> None:
    functions = [node.name for node in ast.parse(SUITE.read_text()).body if isinstance(node, ast.FunctionDef)]
    tested = [name.removeprefix("test_").upper().replace("_", "-") for name in functions if name.startswith("test_")]
    assert sorted(tested) == sorted(RULES)
    assert tested[-1] == "ENDS-QUIETLY"  # after it there is no driver


@pytest.mark.skipif(not PAGE.exists(), reason="installed without the docs")
def test_the_reference_page_lists_the_rules() -> None:
    table = "| Rule | What a driver does |\n|---|---|\n" + "".join(
        f"| `{name}` | {text} |\n" for name, text in RULES.items()
    )
    assert table in PAGE.read_text(encoding="utf-8"), table


def test_a_broken_rule_is_one_line_that_begins_with_its_name() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"^NO-JUMP: far$"):
        broken("NO-JUMP", "far")
