# SPDX-License-Identifier: Apache-2.0
"""A deployment's YAML file, section by section: what a node would refuse, in the words in which it does."""

from __future__ import annotations

import dataclasses
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


def check_config(file: Path, looked_at: Collection[str], first_looked_at: Collection[str] = ()) -> Checks:
    """One line for each section that a node would refuse and for each that reaches none; one for all others together.

    Args:
        file: the parameter file.
        looked_at: nodes whose sections another part of the doctor reads, in every namespace.
        first_looked_at: nodes of which another part reads the first that the file has. Where there are any of either
            kind, that part also says why a file cannot be read.
    """
    try:
        sections = read(file)
    except ParameterFileError as error:
        if not looked_at and not first_looked_at:
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
            continue
        nodes = nodes_called(name, own)[name in first_looked_at :]
        cls = known_nodes.parameters_of(executable)
        if name not in looked_at and nodes and cls is not None:
            judged.append(name)
            wrong += _refusals(file, cls, nodes)
    yield from (_PART.red("parameters", f"--config: {line}") for line in wrong)
    yield from (_PART.yellow("sections", f"--config: {line}") for line in misspelt)
    if judged and not wrong:
        yield _PART.green("parameters", f"{file}: {', '.join(judged)}")


def _camera_kind(sections: Sequence[Section]) -> str:
    """Return the executable of a node that a person named, by its keys; "" where they are no camera's."""
    keys = {key for section in sections for key in section.keys}
    known = {kind: len(keys & _keys_of(kind)) for kind in _CAMERAS}
    best = max(_CAMERAS, key=lambda kind: known[kind])
    return best if known[best] and 2 * known[best] >= len(keys) else ""


def _keys_of(executable: str) -> frozenset[str]:
    cls = known_nodes.parameters_of(executable)
    return frozenset() if cls is None else frozenset(field.name for field in dataclasses.fields(cls))


def _refusals(file: Path, cls: type[Any], nodes: Sequence[str]) -> Iterator[str]:
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
