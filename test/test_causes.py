# SPDX-License-Identifier: Apache-2.0
"""Causes of all nodes: one table each, names once, and a remedy that is written nowhere else."""

import ast
import importlib
from pathlib import Path

import pytest
from diagnostics_table import NODES
from so101_node.diagnostics import Cause, Level

ROOT = Path(__file__).parents[1]
LONG = 40
"""Letters of a remedy that nobody writes twice by chance; shorter ones are words such as "wait"."""

# A spec that does not fit is told by the server that refuses it and by the queue that asked.
SHARED = {"correct what the message names, on the robot or the server"}


def causes_of(module: str) -> tuple[Cause, ...]:
    return importlib.import_module(module).CAUSES


@pytest.mark.parametrize(("node", "module"), NODES)
def test_every_cause_has_a_name_of_its_own_a_meaning_and_where_something_is_wrong_a_remedy(
    node: str, module: str
) -> None:
    causes = causes_of(module)
    assert len({cause.name for cause in causes}) == len(causes) >= 5
    for cause in causes:
        assert cause.name == cause.name.upper() and cause.name.isidentifier(), cause.name
        assert cause.meaning, cause.name
        assert cause.level is Level.OK or cause.remedy, cause.name


def test_a_remedy_is_written_once() -> None:
    remedies = {cause.remedy for _, module in NODES for cause in causes_of(module) if len(cause.remedy) > LONG}
    assert len(remedies) > 30
    written: dict[str, list[str]] = {}
    for path in ROOT.glob("src/*/so101_*/**/*.py"):
        text = path.read_text()
        if "Cause(" not in text and not any(remedy in text for remedy in remedies):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in remedies:
                written.setdefault(node.value, []).append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert {remedy: places for remedy, places in written.items() if len(places) > 1 and remedy not in SHARED} == {}
