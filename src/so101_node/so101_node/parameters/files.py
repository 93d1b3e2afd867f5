# SPDX-License-Identifier: Apache-2.0
"""What a command line says about parameters: which file and section, or which `-p`, a value comes from.

ROS reads the same files itself and keeps only the values. This second reading is for the messages: a key that no node
declares is told with its file and line, and a section that reaches no node is told at all. A file that ROS would refuse
with a line of its parser, or take for an empty one, is refused here with one for people.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import yaml

from so101_node.errors import So101NodeError
from so101_node.parameters import yaml_values

KEYWORD = "ros__parameters"
_NO_NAME = re.compile(r"[^A-Za-z0-9_/*~]")
_EXAMPLE = f"/**/NODE: {{{KEYWORD}: {{KEY: VALUE}}}}"


class ParameterFileError(So101NodeError, ValueError):
    """A parameter file cannot be used. The message is one line for people."""


@dataclass(frozen=True, slots=True)
class Section:
    """Parameters for the nodes that `pattern` names: a section of `file`, or a `-p` (no file).

    `keys` maps each key, nested ones joined by dots, to its line in the file, `values` to what is written there.
    """

    pattern: str
    file: str
    keys: dict[str, int]
    values: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def node_name(self) -> str:
        """Return the last part of the pattern: a node's name, or a wildcard."""
        return self.pattern.rpartition("/")[2]

    @property
    def names_a_node(self) -> bool:
        """Whether the section is for nodes of one name, and not for all of them."""
        return "*" not in self.node_name

    def reaches(self, full_name: str) -> bool:
        """Whether the node of that name, `/namespace/name`, gets these parameters; as rcl matches."""
        wildcards = {"**": r"(/\w+)*", "*": r"/\w+"}
        parts = [wildcards.get(part, f"/{re.escape(part)}") for part in self.pattern.split("/") if part]
        return re.fullmatch("".join(parts), full_name) is not None

    def place(self, key: str) -> str:
        """Return where `key` is written, for people."""
        if not self.file:
            return f"-p {key}"
        return f"{self.file}:{self.keys[key]}, section {self.pattern}"


type _Entry = tuple[str, int, str]
"""A key, its line, and its value as it is written."""

_in_force: list[Section] = []


def ros_words(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words between --ros-args and --, and all others."""
    ros: list[str] = []
    others: list[str] = []
    inside = False
    for word in arguments:
        if word == "--ros-args" or (inside and word == "--"):
            inside = word == "--ros-args"
        else:
            (ros if inside else others).append(word)
    return ros, others


def use(arguments: Sequence[str]) -> None:
    """Make `arguments` the command line of this process, for `in_force`. Raises as `sections`."""
    _in_force[:] = sections(arguments)


def in_force() -> Sequence[Section]:
    """Return what the command line of this process says about parameters; nothing where no node process runs."""
    return tuple(_in_force)


def source(full_name: str, key: str) -> Section | None:
    """Return the section, or `-p`, that the value in force of a node's parameter comes from: the last one wins."""
    given = (section for section in reversed(_in_force) if key in section.keys and section.reaches(full_name))
    return next(given, None)


def sections(arguments: Sequence[str]) -> list[Section]:
    """Return what the ROS arguments of a command line say about parameters, in their order: later ones win.

    Raises:
        ParameterFileError: a file is missing, is no YAML, or has no parameters where ROS looks for them.
    """
    found: list[Section] = []
    for option, value in _ros_options(arguments):
        if option == "--params-file":
            found += read(Path(value))
        else:
            found += _assignment(value)
    return found


def read(path: Path) -> list[Section]:
    """Return the sections of a parameter file.

    Raises:
        ParameterFileError: as `sections`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "is not UTF-8 text"
        raise ParameterFileError(f"parameter file {path}: {reason}") from error
    try:
        root = yaml.compose(text, Loader=yaml_values.Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        problem = yaml_values.explained(error)
        raise ParameterFileError(f"parameter file {path}:{line}: {problem}") from error
    except yaml.YAMLError as error:
        raise ParameterFileError(f"parameter file {path}: not valid YAML: {' '.join(str(error).split())}") from error
    if root is None:
        raise ParameterFileError(f"parameter file {path}: has nothing in it; expected sections such as {_EXAMPLE}")
    written: dict[tuple[str, str], tuple[int, str]] = {}
    found = []
    for pattern, entries in _sections_of(path, "", root):
        for key, line, value in entries:
            earlier_line, earlier = written.setdefault((pattern, key), (line, value))
            if earlier != value:  # YAML and ROS take the last one without a word
                both = f"{earlier} in line {earlier_line} and {value} in line {line}"
                raise ParameterFileError(
                    f"parameter file {path}: section {pattern} gives {key} twice, {both}: delete one"
                )
        lines, values = ({key: line for key, line, _ in entries}, {key: value for key, _, value in entries})
        found.append(Section(pattern, str(path), lines, values))
    return found


def _sections_of(path: Path, pattern: str, node: yaml.Node) -> Iterator[tuple[str, list[_Entry]]]:
    if not isinstance(node, yaml.MappingNode):
        where = f"{path}:{node.start_mark.line + 1}"
        what = f"section {pattern} has no parameters" if pattern else "no section"
        raise ParameterFileError(f"parameter file {where}: {what}; expected {_EXAMPLE}")
    keyword_line = 0
    for key, value in node.value:
        name, line = _word(path, key), key.start_mark.line + 1
        if name == KEYWORD and pattern:
            if keyword_line:
                both = f"lines {keyword_line} and {line}"
                raise ParameterFileError(
                    f"parameter file {path}: section {pattern} has {KEYWORD} twice, {both}: make it one"
                )
            keyword_line = line
            yield absolute(pattern), list(_keys_of(path, pattern, "", line, value))
        elif not isinstance(value, yaml.MappingNode):
            raise ParameterFileError(f"parameter file {path}:{line}: {_without_keyword(pattern, name, value)}")
        elif odd := _NO_NAME.search(name):
            meant = _NO_NAME.sub("_", name)
            raise ParameterFileError(
                f"parameter file {path}:{line}: section {name} has {odd[0]!r}, names of nodes have letters, digits and "
                f"_ alone: write {meant}"
            )
        else:
            yield from _sections_of(path, f"{pattern}/{name}" if pattern else name, value)


def _word(path: Path, key: yaml.Node) -> str:
    """A key as text. Raises ParameterFileError: it is none, as in a template that nobody has filled in."""
    if isinstance(key, yaml.ScalarNode):
        return str(key.value)
    where = f"{path}:{key.start_mark.line + 1}"
    raise ParameterFileError(
        f"parameter file {where}: a key is no word: is this a template with {{{{ ... }}}} to fill in?"
    )


def _without_keyword(pattern: str, name: str, value: yaml.Node) -> str:
    """Say why `name` is no parameter: a section is empty, or its keyword is missing or mistyped."""
    if isinstance(value, yaml.ScalarNode) and value.tag == "tag:yaml.org,2002:null" and not pattern:
        return f"section {name} has no {KEYWORD} and no keys; delete it, or write it as {_EXAMPLE}"
    written = pattern.rpartition("/")[2]
    if written == KEYWORD:
        return f"{KEYWORD} stands alone; a line with the node it is for is above it, as in {_EXAMPLE}"
    if written.startswith("ros_"):
        return f"{written} is written {KEYWORD}, with two underscores; expected {_EXAMPLE}"
    return f"{pattern or 'the file'} has {name!r}, but no {KEYWORD} above it; expected {_EXAMPLE}"


def _keys_of(path: Path, pattern: str, prefix: str, line: int, node: yaml.Node) -> Iterator[_Entry]:
    if not isinstance(node, yaml.MappingNode):
        what = f"section {pattern} has no parameters; delete it, or write keys below, as {_EXAMPLE}"
        if isinstance(node, yaml.ScalarNode) and ":" in node.value:
            what = f"{node.value!r} in section {pattern} is no key with a value; write a space after the colon"
        raise ParameterFileError(f"parameter file {path}:{line}: {what}")
    for key, value in node.value:
        name, line = f"{prefix}{_word(path, key)}", key.start_mark.line + 1
        if isinstance(value, yaml.MappingNode):
            yield from _keys_of(path, pattern, f"{name}.", line, value)
        elif isinstance(value, yaml.ScalarNode) and value.tag == "tag:yaml.org,2002:null":
            raise ParameterFileError(f"parameter file {path}:{line}: {name} has no value; leave it out for its default")
        elif wrong := yaml_values.fault(value):
            raise ParameterFileError(f"parameter file {path}:{line}: {name} = {yaml_values.shown(value)} {wrong}")
        else:
            yield name, line, yaml_values.shown(value)


def absolute(pattern: str) -> str:
    """Return a pattern as `Section` has it: one slash before each part."""
    return "/" + "/".join(part for part in pattern.split("/") if part)


def _ros_options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(option, value) of each --params-file and -p."""
    for option, value in pairwise(ros_words(arguments)[0]):
        if option in ("--params-file", "-p", "--param"):
            yield ("-p" if option == "--param" else option), value


def _assignment(text: str) -> Iterator[Section]:
    """`name:=value` for every node of the process, or `node:name:=value` for one."""
    left, separator, value = text.partition(":=")
    if separator:
        node, _, key = left.rpartition(":")
        yield Section(absolute(f"**/{node}" if node else "**"), "", {key: 0}, {key: value})
