# SPDX-License-Identifier: Apache-2.0
"""What a node gets from a parameter file, for programs that need the same values without being that node."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from so101_node.parameters import known_nodes, unknown
from so101_node.parameters.fields import ParameterError
from so101_node.parameters.files import KEYWORD, Section, absolute, read
from so101_node.parameters.given import from_file


def parameters_of[T](cls: type[T], path: Path, node: str) -> T:
    """Return the parameters that the node of that full name gets from the file, defaults for the rest.

    Raises:
        ParameterFileError: the file cannot be used.
        ParameterError: a value is not accepted, or a key is none of the node's; as the node itself says it.
    """
    given = values_for(path, node)
    sections = [section for section, _ in given]
    keys = dict.fromkeys(key for section in sections for key in section.keys)
    names = {*get_type_hints(cls), *unknown.OF_ROS}
    found = unknown.look(node, keys, names, sections, known_nodes)
    if found.errors:
        raise ParameterError("; ".join(found.errors))
    return from_file(cls, given)


def nodes_called(name: str, sections: Iterable[Section]) -> list[str]:
    """Return the full names of the nodes of that name that sections are for; wildcards stand for no namespace."""
    patterns = (section.pattern for section in sections if section.node_name == name)
    return list(dict.fromkeys(absolute("/".join(p for p in one.split("/") if "*" not in p)) for one in patterns))


def values_for(path: Path, node: str) -> list[tuple[Section, dict[str, Any]]]:
    """Return the sections of the file that reach the node, each with its values, in order: later ones win.

    Raises ParameterFileError.
    """
    reaching = {section.pattern: section for section in read(path) if section.reaches(node)}
    return [(reaching[pattern], values) for pattern, values in _values(path) if pattern in reaching]


def _values(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(pattern, values) of each section, in the file's order."""

    def walk(pattern: str, tree: dict[Any, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        for key, value in tree.items():
            if key == KEYWORD:
                yield absolute(pattern), value
            else:
                yield from walk(f"{pattern}/{str(key).strip('/')}", value)

    yield from walk("", yaml.safe_load(path.read_text(encoding="utf-8")))
