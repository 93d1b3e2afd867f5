"""What a command line says about parameters: which file and section, or which `-p`, a value comes from.

ROS reads the same files itself and keeps only the values. This second reading is for the messages: a key that no node
declares is told with its file and line, and a section that reaches no node is told at all. A file that ROS would refuse
with a line of its parser, or take for an empty one, is refused here with one for people.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

KEYWORD = "ros__parameters"
_EXAMPLE = f"/**/NODE: {{{KEYWORD}: {{KEY: VALUE}}}}"


class ParameterFileError(ValueError):
    """A parameter file cannot be used. The message is one line for people."""


@dataclass(frozen=True, slots=True)
class Section:
    """Parameters for the nodes that `pattern` names: a section of `file`, or a `-p` (no file).

    `keys` maps each key, nested ones joined by dots, to its line in the file.
    """

    pattern: str
    file: str
    keys: dict[str, int]

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


_in_force: list[Section] = []


def use(arguments: Sequence[str]) -> None:
    """Make `arguments` the command line of this process, for `in_force`. Raises as `sections`."""
    _in_force[:] = sections(arguments)


def in_force() -> Sequence[Section]:
    """Return what the command line of this process says about parameters; nothing where no node process runs."""
    return tuple(_in_force)


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
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ParameterFileError(f"parameter file {path}:{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ParameterFileError(f"parameter file {path}: not valid YAML: {' '.join(str(error).split())}") from error
    if root is None:
        raise ParameterFileError(f"parameter file {path}: has nothing in it; expected sections such as {_EXAMPLE}")
    return list(_sections_of(path, "", root))


def _sections_of(path: Path, pattern: str, node: yaml.Node) -> Iterator[Section]:
    if not isinstance(node, yaml.MappingNode):
        where = f"{path}:{node.start_mark.line + 1}"
        what = f"section {pattern} has no parameters" if pattern else "no section"
        raise ParameterFileError(f"parameter file {where}: {what}; expected {_EXAMPLE}")
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name == KEYWORD and pattern:
            yield Section(_absolute(pattern), str(path), dict(_keys_of(path, pattern, "", line, value)))
        elif not isinstance(value, yaml.MappingNode):
            missing = f"{pattern or 'the file'} has {name!r}, but no {KEYWORD}"
            raise ParameterFileError(f"parameter file {path}:{line}: {missing} above it; expected {_EXAMPLE}")
        else:
            yield from _sections_of(path, f"{pattern}/{name}" if pattern else name, value)


def _keys_of(path: Path, pattern: str, prefix: str, line: int, node: yaml.Node) -> Iterator[tuple[str, int]]:
    if not isinstance(node, yaml.MappingNode):
        raise ParameterFileError(
            f"parameter file {path}:{line}: section {pattern} has no parameters; expected {_EXAMPLE}"
        )
    for key, value in node.value:
        name, line = f"{prefix}{key.value}", key.start_mark.line + 1
        if isinstance(value, yaml.MappingNode):
            yield from _keys_of(path, pattern, f"{name}.", line, value)
        elif isinstance(value, yaml.ScalarNode) and value.tag == "tag:yaml.org,2002:null":
            raise ParameterFileError(f"parameter file {path}:{line}: {name} has no value; leave it out for its default")
        else:
            yield name, line


def _absolute(pattern: str) -> str:
    return "/" + "/".join(part for part in pattern.split("/") if part)


def _ros_options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(option, value) of each --params-file and -p between --ros-args and --."""
    inside, words = False, iter(arguments)
    for word in words:
        if word in ("--ros-args", "--"):
            inside = word == "--ros-args"
        elif inside and word == "--params-file":
            yield word, next(words, "")
        elif inside and word in ("-p", "--param"):
            yield "-p", next(words, "")


def _assignment(text: str) -> Iterator[Section]:
    """`name:=value` for every node of the process, or `node:name:=value` for one."""
    left, separator, _ = text.partition(":=")
    if separator:
        node, _, key = left.rpartition(":")
        yield Section(_absolute(f"**/{node}" if node else "**"), "", {key: 0})
