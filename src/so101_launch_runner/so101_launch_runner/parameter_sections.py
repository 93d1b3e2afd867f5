# SPDX-License-Identifier: Apache-2.0
"""Sections of a launch file's parameter files that none of its nodes takes: mistyped, or without a namespace."""

from collections.abc import Sequence
from pathlib import Path

from so101_node.parameters import known_nodes
from so101_node.parameters.files import ParameterFileError, Section, read
from so101_node.parameters.unknown import is_near

from so101_launch_runner.process_spec import ProcessSpec

_CAMERAS = ("camera", "frame_gate")  # executables whose nodes are named by the user


def lost_sections(processes: Sequence[ProcessSpec]) -> list[str]:
    """Return one line for each section that reaches none of `processes` and is for no other node that is known.

    A file may serve two computers or more than one launch file: sections of known nodes, and of cameras where each of
    this launch has its own, are left alone. Files that cannot be read are left to the nodes, which refuse them.
    """
    takers: dict[Path, list[ProcessSpec]] = {}
    for process in processes:
        for source in process.parameters:
            if isinstance(source, Path):
                takers.setdefault(source, []).append(process)
    lines = []
    for file, nodes in takers.items():
        try:
            sections = [section for section in read(file) if section.names_a_node]
        except ParameterFileError:
            continue
        lines += _lost(file, sections, nodes)
    return lines


def _lost(file: Path, sections: Sequence[Section], nodes: Sequence[ProcessSpec]) -> list[str]:
    names = [node.full_name or f"/{node.label}" for node in nodes]
    without = {
        name: node for name, node in zip(names, nodes, strict=True) if not any(part.reaches(name) for part in sections)
    }
    lines = []
    for section in sections:
        if any(section.reaches(name) for name in names):
            continue
        same = [name for name in without if name.rpartition("/")[2] == section.node_name]
        near = [name for name in without if is_near(name.rpartition("/")[2], section.node_name)]
        where = f"{file}: section {section.pattern} reaches no node of this launch"
        if same:
            lines.append(f"{where}: {same[0]} is in a namespace; write /**/{section.node_name}")
        elif section.node_name in known_nodes.node_names() or (
            _is_of_a_camera(section) and not any(node.executable in _CAMERAS for node in without.values())
        ):
            continue
        elif near:
            lines.append(f"{where}; did you mean /**/{near[0].rpartition('/')[2]}?")
        else:
            lines.append(f"{where}; its nodes that read this file: {', '.join(names)}")
    return lines


def _is_of_a_camera(section: Section) -> bool:
    declared = known_nodes.declared()
    return any(set(section.keys) <= declared.get(executable, frozenset()) for executable in _CAMERAS)
