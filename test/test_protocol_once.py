# SPDX-License-Identifier: Apache-2.0
"""What travels between nodes is written once, in so101_node.protocol; a second copy drifts."""

import ast
import re
from dataclasses import fields
from pathlib import Path

from so101_action_queue.ros.parameters import QueueParameters
from so101_node.parameters import rules

from so101_node import protocol

ROOT = Path(__file__).parents[1]
PROTOCOL = ROOT / "src/so101_node/so101_node/protocol"
SOURCES = {path: path.read_text() for path in ROOT.glob("src/so101_*/so101_*/**/*.py")}


def beside_the_protocol(word: str) -> list[tuple[Path, ast.AST]]:
    """All nodes of the sources in which `word` stands; parsing every source takes seconds."""
    found = (path for path, text in SOURCES.items() if path.parent != PROTOCOL and word in text)
    return [(path, node) for path in found for node in ast.walk(ast.parse(SOURCES[path]))]


def places(found: list[tuple[Path, ast.AST]]) -> list[str]:
    return [f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}" for path, node in found]


def test_the_sources_are_there() -> None:
    assert len(SOURCES) > 300
    assert any(path.parent == PROTOCOL for path in SOURCES)


def test_the_names_of_the_joints_are_written_once() -> None:
    def lists_them(node: ast.AST) -> bool:
        if not isinstance(node, (ast.Tuple, ast.List)):
            return False
        words = {item.value for item in node.elts if isinstance(item, ast.Constant)}
        return words >= set(protocol.JOINT_NAMES)

    assert places([(path, node) for path, node in beside_the_protocol("shoulder_lift") if lists_them(node)]) == []


def test_the_home_positions_are_written_once() -> None:
    numbers = r"[\[(]\s*0\.0,\s*-1\.2,\s*1\.1,\s*1\.0,\s*0\.0,\s*-0\.585\s*,?\s*[\])]"
    assert re.search(numbers, SOURCES[PROTOCOL / "joints.py"])
    copies = [path for path, text in SOURCES.items() if path.parent != PROTOCOL and re.search(numbers, text)]
    assert [str(path.relative_to(ROOT)) for path in copies] == []


def test_the_types_of_arrays_are_defined_once() -> None:
    names = {name for name in protocol.__all__ if name.endswith("Array")}
    assert len(names) == 4

    def defines_one(node: ast.AST) -> bool:
        return isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id in names for t in node.targets)

    assert places([(path, node) for path, node in beside_the_protocol("Array") if defines_one(node)]) == []


def test_the_enums_of_messages_are_defined_once() -> None:
    enums = [protocol.QueueState, protocol.DriverState, protocol.PolicyState, protocol.ChunkStatus, protocol.Units]
    enums += [protocol.ChunkVerdict, protocol.DecisionInput]
    members = [set(kind.__members__) for kind in enums]

    def repeats_one(node: ast.AST) -> bool:
        if not isinstance(node, ast.ClassDef):
            return False
        assigned = (line for line in node.body if isinstance(line, ast.Assign))
        names = {target.id for line in assigned for target in line.targets if isinstance(target, ast.Name)}
        return names in members

    assert places([(path, node) for path, node in beside_the_protocol("Enum") if repeats_one(node)]) == []


def test_a_field_of_the_policy_spec_is_a_parameter_of_the_queue_or_comes_from_the_limits() -> None:
    """So a new one is written in three places: PolicySpec.msg, the class of the protocol, and a parameter or limit."""
    from_limits = {"range_lower", "range_upper", "drive_mode"}
    assert {field.name for field in fields(protocol.PolicySpec)} - from_limits <= set(rules(QueueParameters))
