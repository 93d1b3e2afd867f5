# SPDX-License-Identifier: Apache-2.0
"""Parameters that a node was given and does not have, and sections of parameter files that no node takes.

ROS drops both without a word: a mistyped speed limit is then no limit.
"""

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from so101_node.parameters import lerobot_names
from so101_node.parameters.files import Section

_ALMOST = 0.6  # difflib's ratio from which on two parameter names are probably the same word
_SAME_NODE = 0.75  # and two names of nodes, which are shorter
OF_ROS = {"use_sim_time", "start_type_description_service"}
"""Parameters that every node has."""
_GONE = {"observation_steps": "nothing to set any more, cameras keep the frames that the policy needs: leave it out"}
_RENAMED = {"nice": "niceness"}
_ROS_PREFIX = "qos_overrides."  # rclpy's own; not every topic declares them


class Nodes(Protocol):
    """What the other nodes declare (so101_node.parameters.known_nodes)."""

    def node_names(self) -> Collection[str]:
        """Return the usual names of all nodes."""

    def declared(self) -> Mapping[str, Collection[str]]:
        """Return the parameter names of each."""

    def declarers(self, key: str) -> Sequence[str]:
        """Return the nodes that declare a parameter of that name."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong with the parameters of one node: `errors` end it, `foreign` are keys that are for other nodes."""

    errors: tuple[str, ...]
    foreign: tuple[str, ...]


def look(
    full_name: str, given: Iterable[str], known: Collection[str], sections: Sequence[Section], nodes: Nodes
) -> Findings:
    """Judge the parameter names that node `full_name` was given against the `known` ones that it declares.

    A key of a section for any node (`/**:`) may be for another node of ours. One in the node's own section may not.
    """
    mine = [section for section in sections if section.reaches(full_name)]
    errors, foreign = [], []
    for key in given:
        if key in known or key.startswith(_ROS_PREFIX):
            continue
        places = [section for section in mine if key in section.keys]
        shared = bool(places) and all(section.file and not section.names_a_node for section in places)
        if shared and nodes.declarers(key):
            foreign.append(key)
            continue
        place = f" ({places[-1].place(key)})" if places else ""
        errors.append(f"unknown parameter {key}{place}: {_advice(key, full_name, known, nodes)}")
    return Findings(tuple(errors), tuple(foreign))


def _advice(key: str, full_name: str, known: Collection[str], nodes: Nodes) -> str:
    """Say where the parameter that was meant is: LeRobot's name, another node's, or the nearest one."""
    name = full_name.rpartition("/")[2]
    if key in _GONE:
        return _GONE[key]
    if _RENAMED.get(key) in known:
        return f"its name is {_RENAMED[key]} now"
    here = lerobot_names.where(key)
    if here:
        return f"LeRobot's name; here: {here}"
    owners = nodes.declarers(key)
    if owners:
        return f"{name} has none of that name, {_and(owners)} has: put it there"
    parent = key.partition(".")[0]
    if parent in known and parent != key:
        return f"{parent} takes one value or list, no keys below it"
    near = nearest(key, known)
    if near:
        return f"did you mean {near}?"
    for owner, names in nodes.declared().items():
        near = nearest(key, names)
        if near:
            return f"{name} has nothing like it; did you mean {near} of {owner}?"
    return f"{name} has nothing like it; its parameters: {', '.join(sorted({*known} - OF_ROS))}"


def nearest(key: str, names: Iterable[str]) -> str:
    """Return the most similar name, or "" where none is similar; nesting, dashes and capitals do not count."""
    plain = {_plain(name): name for name in names if name not in OF_ROS}
    for word in (_plain(key), _plain(key.rpartition(".")[2])):
        matches = difflib.get_close_matches(word, plain, n=1, cutoff=_ALMOST)
        if matches:
            return plain[matches[0]]
    return ""


def _plain(name: str) -> str:
    return name.lower().replace(".", "_").replace("-", "_")


def lost_sections(
    full_name: str, declared: Collection[str], sections: Sequence[Section], node_names: Callable[[], Collection[str]]
) -> list[str]:
    """Say of each section that was probably meant for node `full_name` and does not reach it why.

    Only where no section reaches the node by its name: files of several nodes have sections for the others.
    """
    if any(section.names_a_node and section.reaches(full_name) for section in sections):
        return []
    name = full_name.rpartition("/")[2]
    lines, others = [], []
    for section in sections:
        if not section.names_a_node or section.reaches(full_name):
            continue
        where = f"section {section.pattern} of {section.file}" if section.file else f"-p {section.node_name}:..."
        if section.node_name == name:
            lines.append(f"{where} does not reach {full_name}, whose namespace is another: write /**/{name}")
        elif section.node_name in node_names():
            continue
        elif is_near(section.node_name, name):
            lines.append(f"{where} does not reach {full_name}: did you mean /**/{name}?")
        elif set(section.keys) & set(declared):
            others.append(where)
    if lines or not others:
        return lines
    if name in node_names():
        return [f"{where} is not for {full_name}, which has none: did you mean /**/{name}?" for where in others]
    # A node that the user names, a camera: these may well be for its sisters.
    return [f"{full_name} has no section /**/{name} in its parameter files, only: {', '.join(others)}"]


def is_near(first: str, second: str) -> bool:
    """Whether two names of nodes are probably the same one, one of them mistyped."""
    return difflib.SequenceMatcher(None, first, second).ratio() >= _SAME_NODE


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
