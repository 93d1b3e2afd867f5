# SPDX-License-Identifier: Apache-2.0
"""A deployment's YAML file, section by section: what a node would refuse, in the words in which it does."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from so101_node.parameters import ParameterError, build, known_nodes, unknown
from so101_node.parameters.files import ParameterFileError, Section, read
from so101_node.parameters.node_file import nodes_called, parameters_of

from so101_doctor.check import Checks, Part

_PART = Part("config")
_CAMERAS = ("camera", "frame_gate")
"""Executables whose nodes have the names that people give them."""


def check_config(file: Path, looked_at: Collection[str]) -> Checks:
    """One line for each section that a node would refuse and for each that reaches none; one for all others together.

    Args:
        file: the parameter file.
        looked_at: nodes whose sections another part of the doctor reads; where there are any, it also says why a file
            cannot be read.
    """
    try:
        sections = read(file)
    except ParameterFileError as error:
        if not looked_at:
            yield _PART.red("file", f"--config: {error}")
        return
    names = list(dict.fromkeys(section.node_name for section in sections if section.names_a_node))
    judged: list[str] = []
    wrong: list[str] = []
    misspelt: list[str] = []
    for name in names:
        own = [section for section in sections if section.node_name == name]
        executable = name if name in known_nodes.node_names() else _camera_kind(own)
        if not executable:
            misspelt += _misspelt(own)
        elif name not in looked_at:
            judged.append(name)
            wrong += _refusals(file, executable, nodes_called(name, own))
    yield from (_PART.red("parameters", f"--config: {line}") for line in wrong)
    yield from (_PART.yellow("sections", f"--config: {line}") for line in misspelt)
    if judged and not wrong:
        yield _PART.green("parameters", f"{file}: {', '.join(judged)}")


def _camera_kind(sections: Sequence[Section]) -> str:
    """Return the executable of a node that a person named, by its keys; "" where they are no camera's."""
    keys = {key for section in sections for key in section.keys}
    declared = known_nodes.declared()
    known = {kind: len(keys & declared.get(kind, frozenset())) for kind in _CAMERAS}
    best = max(_CAMERAS, key=lambda kind: known[kind])
    return best if 2 * known[best] >= len(keys) else ""


def _refusals(file: Path, executable: str, nodes: Sequence[str]) -> Iterator[str]:
    cls = known_nodes.parameters_of(executable)
    if cls is None:
        return
    missing = _what_a_launch_gives(cls)
    for node in nodes:
        try:
            parameters_of(cls, file, node)
        except ParameterError as error:
            if not missing or not str(error).startswith(missing):
                yield str(error)


def _what_a_launch_gives(cls: type[Any]) -> str:
    """Return what a node says without any parameter: a launch file gives it a port or a folder; "" if nothing."""
    try:
        build(cls, {})
    except ParameterError as error:
        return str(error)
    return ""


def _misspelt(sections: Sequence[Section]) -> list[str]:
    """Say of sections for a node that is not known which one was probably meant; nothing where none is like it."""
    name = sections[0].node_name
    near = [known for known in sorted(known_nodes.node_names()) if unknown.is_near(name, known)]
    return unknown.lost_sections(f"/{near[0]}", (), sections, known_nodes.node_names) if near else []
