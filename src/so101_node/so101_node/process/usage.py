# SPDX-License-Identifier: Apache-2.0
"""What a node's executable answers to --help, and to words that it does not know."""

import dataclasses
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import get_type_hints

from rclpy.node import Node

from so101_node import exit_codes
from so101_node.parameters import known_nodes, lerobot_names
from so101_node.parameters.files import ros_words

_HELP = ("-h", "--help")


def reply_to_help(factory: Callable[[], Node], arguments: Sequence[str]) -> int | None:
    """Answer --help, or a word that is no ROS argument, on the terminal.

    Args:
        factory: makes the node.
        arguments: the command line, the program first.

    Returns:
        the exit code to end with, or None where the node may start.
    """
    words = ros_words(arguments)[1][1:]  # rclpy's own function opens the parameter files, and raises
    if not words:
        return None
    name = _executable(arguments[0])
    if any(word in _HELP for word in words):
        print(text(name, factory.__doc__ or ""))
        return 0
    print(f"[{name}] error: {refusal(words[0], known_nodes.declared().get(name, ()))}", file=sys.stderr, flush=True)
    return exit_codes.CONFIGURATION


def refusal(word: str, declared: Collection[str]) -> str:
    """Return one line about a word that no node takes; `declared`: the parameters that this one has."""
    key, _, value = word.lstrip("-").partition("=")
    key = key.removesuffix(":")
    here = lerobot_names.where(key)
    if here and key not in declared:
        return f"unknown argument {word}: LeRobot's option; here: {here}, given as --ros-args -p NAME:=VALUE"
    meant = f"--ros-args -p {key}:={value}" if value else "--ros-args -p NAME:=VALUE or --ros-args --params-file FILE"
    return f"unknown argument {word}: parameters are given as {meant}; --help lists them"


def text(name: str, about: str) -> str:
    """Return the usage of executable `name`, with its parameters; `about`: the docstring of its node."""
    options = "[-p NAME:=VALUE ...] [--params-file FILE ...] [-r __node:=NAME] [-r __ns:=/NAMESPACE]"
    lines = [f"usage: {name} [--ros-args {options}]"]
    if about.strip():
        lines += ["", about.strip().splitlines()[0]]
    cls = known_nodes.parameters_of(name)
    if cls is not None:
        lines += ["", "parameters:"]
        hints = get_type_hints(cls)
        for field in dataclasses.fields(cls):
            rule = field.metadata["rule"]
            default = field.default_factory() if callable(field.default_factory) else field.default
            kind = getattr(hints[field.name], "__name__", "") if not hasattr(hints[field.name], "__args__") else "list"
            accepted = rule.accepted()
            bounds = "" if accepted.startswith("any value") or accepted in rule.description else f" ({accepted})"
            lines.append(f"  {field.name} ({kind}, {_shown(default)}): {rule.description}{bounds}")
    return "\n".join(lines)


def _shown(value: object) -> str:
    value = list(value) if isinstance(value, tuple) else value
    return str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, str) else str(value)


def _executable(program: str) -> str:
    """The executable's name, also where the module was started with `python -m`."""
    names = (Path(program).name, Path(program).stem.removesuffix("_node"))
    return next((name for name in names if name in known_nodes.node_names()), names[0])
