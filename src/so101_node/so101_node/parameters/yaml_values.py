# SPDX-License-Identifier: Apache-2.0
"""Values of parameter files as ROS reads them, which is neither YAML 1.1 nor 1.2: `017` is 15, `1e3` a number."""

import re
from typing import Final

import yaml

TEXT: Final = "text"
_TRUTH: Final = re.compile(r"y|yes|true|on|n|no|false|off", re.IGNORECASE)
_WHOLE: Final = re.compile(r"[+-]?(0x[0-9a-f]+|\d+)", re.IGNORECASE)
_OTHER: Final = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|\.?inf|infinity|\.?nan)", re.IGNORECASE)
_OCTAL: Final = re.compile(r"[+-]?0\d+")


class Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses aliases, as ROS does."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose one node; PyYAML's."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "ROS takes no aliases (*name): write the values out", mark)
        return super().compose_node(parent, index)


def explained(error: yaml.MarkedYAMLError) -> str:
    """Return why a text cannot be read, and what to write instead where that is known."""
    if isinstance(error, yaml.composer.ComposerError) and error.problem.startswith("ROS "):
        return str(error.problem)
    remedy = ""
    if r"\t" in error.problem:
        remedy = "; write spaces, not tabs"
    elif "scanning an alias" in (error.context or ""):
        remedy = '; a name that begins with * is written in quotes, or as "/**"'
    return f"not valid YAML: {error.problem}{remedy}"


def shown(node: yaml.Node) -> str:
    """Return a value as it is written, for people and for comparison."""
    if isinstance(node, yaml.SequenceNode):
        return f"[{', '.join(shown(item) for item in node.value)}]"
    if isinstance(node, yaml.ScalarNode):
        return str(node.value) if node.style is None else f'"{node.value}"'
    return "{...}"


def fault(node: yaml.Node) -> str:
    """Return what is wrong with a value that ROS would refuse with a line of its parser, or take for another; or ""."""
    if isinstance(node, yaml.ScalarNode):
        if node.style is None and _OCTAL.fullmatch(node.value):
            plain = node.value.lstrip("+-0") or "0"
            return f'is an octal number to ROS: write {plain}, or "{node.value}" in quotes if it is text'
        return ""
    if not isinstance(node, yaml.SequenceNode):
        return ""
    kinds = list(dict.fromkeys(_kind(item) for item in node.value))
    if len(kinds) > 1:
        hint = {"whole numbers", "other numbers"} == set(kinds)
        remedy = "write 1.0 for 1" if hint else 'text that looks like something else is written in quotes, as "7"'
        return f"mixes {' and '.join(kinds)}, ROS takes one kind in a list: {remedy}"
    return next(filter(None, map(fault, node.value)), "")


def _kind(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        return "lists" if isinstance(node, yaml.SequenceNode) else "sections"
    if node.style is not None:  # in quotes
        return TEXT
    for kind, pattern in (("truth values", _TRUTH), ("whole numbers", _WHOLE), ("other numbers", _OTHER)):
        if pattern.fullmatch(node.value):
            return kind
    return TEXT
