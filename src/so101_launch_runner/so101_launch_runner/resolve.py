# SPDX-License-Identifier: Apache-2.0
"""From a launch file and its arguments to the processes to start.

One module because all tags work on one scope, which a group restores behind it: several modules would pass it around.
"""

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from so101_node.process.command_line import CommandLineError, check_namespace, check_node_name

from so101_launch_runner import substitution, typed_arguments, xml_file
from so101_launch_runner.errors import LaunchFileError, SubstitutionError
from so101_launch_runner.process_spec import ROOT_NAMESPACE, ParameterSource, ParameterValue, ProcessSpec
from so101_launch_runner.typed_value import typed_value
from so101_launch_runner.xml_file import Element

_NAMESPACE_KEY = "ros_namespace"  # where launch_ros keeps it too: scoped groups restore it with everything else
_MAX_INCLUDES = 32
_CONDITION = ("if", "unless")
_PROCESS = ("launch-prefix", "output", "respawn", "respawn_delay", "on_exit")


@dataclass(frozen=True, slots=True)
class Argument:
    """A declared launch argument; `default` is None where a value must be given, else the text as written."""

    name: str
    default: str | None
    description: str
    choices: tuple[str, ...]


def resolve(
    file: Path,
    arguments: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    find_prefix: Callable[[str], Path] | None = None,
) -> list[ProcessSpec]:
    """Return the processes of `file` in the order they start.

    `arguments` are the values of `name:=value`; one the file does not declare is an error. `environment` is what
    `$(env)` sees (default: this process's). `find_prefix` maps a package to its install prefix and raises LookupError
    for an unknown one (default: the ament index). Raises LaunchFileError.
    """
    given = dict(arguments or {})
    declared = [argument.name for argument in declared_arguments(file)]
    for name in given:
        if name not in declared:
            raise LaunchFileError(file, 1, f"no argument {name!r}; {typed_arguments.meant(name, declared)}")
    inherited = dict(os.environ if environment is None else environment)
    resolver = _Resolver(given, inherited, dict(inherited), find_prefix or _ament_prefix)
    resolver.run(xml_file.read(file))
    return resolver.processes


def declared_arguments(file: Path) -> list[Argument]:
    """Return the arguments that `file` itself declares, in order, each name once."""
    found: dict[str, Argument] = {}
    elements = [xml_file.read(file)]
    while elements:
        element = elements.pop(0)
        if element.tag == "arg" and "value" not in element.attributes:
            choices = tuple(child.required("value") for child in element.children)
            name = element.required("name")
            description = element.attributes.get("description", "")
            found.setdefault(name, Argument(name, element.attributes.get("default"), description, choices))
        elif element.tag in ("launch", "group"):
            elements = element.children + elements
    return list(found.values())


def _ament_prefix(package: str) -> Path:
    try:
        return Path(get_package_prefix(package))
    except PackageNotFoundError as error:
        raise LookupError(package) from error


@dataclass(slots=True)
class _Resolver:
    """Walks the elements in order, as `launch` does; configurations and environment are scoped by groups."""

    configurations: dict[str, str]
    inherited: Mapping[str, str]
    environment: dict[str, str]
    find_prefix: Callable[[str], Path]
    processes: list[ProcessSpec] = field(default_factory=list)
    depth: int = 0

    def run(self, root: Element) -> None:
        root.allow((), _ACTIONS)
        self._run_children(root)

    def _run_children(self, parent: Element) -> None:
        for element in parent.children:
            if self._wanted(element):
                _ACTIONS[element.tag](self, element)

    # Actions, one method a tag.

    def _arg(self, element: Element) -> None:
        element.allow(("name", "default", "description", *_CONDITION), ("choice",))
        name = element.required("name")
        if name not in self.configurations:
            if "default" not in element.attributes:
                raise element.error(f"argument {name} needs a value: {name}:=...")
            self.configurations[name] = self._text(element, "default")
        choices = [child.required("value") for child in element.children]
        if choices and self.configurations[name] not in choices:
            raise element.error(f"{name}:={self.configurations[name]} is not one of: {', '.join(choices)}")

    def _let(self, element: Element) -> None:
        element.allow(("name", "value", *_CONDITION))
        self.configurations[self._text(element, "name")] = self._text(element, "value")

    def _set_env(self, element: Element) -> None:
        element.allow(("name", "value", *_CONDITION))
        self.environment[self._text(element, "name")] = self._text(element, "value")

    def _group(self, element: Element) -> None:
        element.allow(("scoped", *_CONDITION), _ACTIONS)
        if self._boolean(element, "scoped", default=True):
            with self._scope():
                self._run_children(element)
        else:
            self._run_children(element)

    def _push_ros_namespace(self, element: Element) -> None:
        element.allow(("namespace", *_CONDITION))
        self.configurations[_NAMESPACE_KEY] = self._namespace(self._text(element, "namespace"))

    def _include(self, element: Element) -> None:
        element.allow(("file", *_CONDITION), ("arg",))
        for child in element.children:
            child.allow(("name", "value"))
            self.configurations[self._text(child, "name")] = self._text(child, "value")
        file = Path(self._text(element, "file"))
        if not file.is_file():
            raise element.error(f"included file {file} does not exist")
        if self.depth >= _MAX_INCLUDES:
            raise element.error(f"more than {_MAX_INCLUDES} files include one another")
        self.depth += 1
        self.run(xml_file.read(file))
        self.depth -= 1

    def _node(self, element: Element) -> None:
        known = ("pkg", "exec", "name", "namespace", "args", *_PROCESS, *_CONDITION)
        element.allow(known, ("param", "remap", "env"))
        package, executable = self._text(element, "pkg"), self._text(element, "exec")
        program = self._perform(element, (substitution.Call("exec-in-pkg", ((executable,), (package,))),))
        base = self.configurations.get(_NAMESPACE_KEY)
        own = self._text(element, "namespace") if "namespace" in element.attributes else None
        name = self._text(element, "name") if "name" in element.attributes else None
        namespace = None if base is None and own is None else self._namespace(own)
        try:
            if name is not None:
                check_node_name(name)
            if namespace is not None:
                check_namespace(namespace)
        except CommandLineError as error:
            raise element.error(str(error)) from error
        self._add(
            element,
            ProcessSpec(
                package=package,
                executable=executable,
                program=program,
                arguments=tuple(self._command_line(element, "args")),
                name=name,
                namespace=namespace,
                parameters=tuple(self._parameters(element)),
                remappings=tuple(self._remappings(element)),
                **self._process_options(element),  # type: ignore[arg-type]
            ),
        )

    def _program(self, element: Element) -> None:
        element.allow(("cmd", "name", *_PROCESS, *_CONDITION), ("env",))
        command = self._command_line(element, "cmd")
        if not command:
            raise element.error("cmd is empty")
        self._add(
            element,
            ProcessSpec(
                package=None,
                executable=None,
                program=command[0],
                arguments=tuple(command[1:]),
                name=self._text(element, "name") if "name" in element.attributes else None,
                **self._process_options(element),  # type: ignore[arg-type]
            ),
        )

    # Parts of actions.

    def _add(self, element: Element, process: ProcessSpec) -> None:
        if process.shutdown_on_exit and process.respawn:
            raise element.error("respawn and on_exit='shutdown' contradict each other")
        if process.is_node and process.name is not None:
            for other in self.processes:
                if (other.is_node, other.name, other.namespace) == (True, process.name, process.namespace):
                    raise element.error(
                        f"two nodes are called {process.full_name or process.name} (of {other.executable} and "
                        f"{process.executable}): each would act for the other; give one another name"
                    )
        self.processes.append(process)

    def _process_options(self, element: Element) -> dict[str, object]:
        on_exit = element.attributes.get("on_exit")
        if on_exit not in (None, "shutdown"):
            raise element.error(f"on_exit can only be shutdown, not {on_exit!r}")
        environment = {name: value for name, value in self.environment.items() if self.inherited.get(name) != value}
        for child in element.children:
            if child.tag == "env":
                child.allow(("name", "value"))
                environment[self._text(child, "name")] = self._text(child, "value")
        return {
            "environment": environment,
            "prefix": tuple(_words(element, "launch-prefix", self._text(element, "launch-prefix", ""))),
            "respawn": self._boolean(element, "respawn", default=False),
            "respawn_delay_s": self._seconds(element, "respawn_delay"),
            "shutdown_on_exit": on_exit == "shutdown",
        }

    def _parameters(self, element: Element) -> Iterator[ParameterSource]:
        for child in element.children:
            if child.tag != "param":
                continue
            if "from" in child.attributes:
                child.allow(("from",))
                path = Path(self._text(child, "from"))
                if not path.is_file():
                    raise child.error(f"parameter file {typed_arguments.no_file(path)}")
                yield path
            else:
                child.allow(("name", "value", "type"))
                yield {self._text(child, "name"): self._parameter_value(child)}

    def _parameter_value(self, element: Element) -> ParameterValue:
        text = self._text(element, "value")
        try:
            return typed_value(text, element.attributes.get("type"))
        except ValueError as error:
            raise element.error(f"parameter {element.attributes['name']}: {error}") from error

    def _remappings(self, element: Element) -> Iterator[tuple[str, str]]:
        for child in element.children:
            if child.tag == "remap":
                child.allow(("from", "to"))
                yield self._text(child, "from"), self._text(child, "to")

    def _namespace(self, own: str | None) -> str:
        """Put `own` below the pushed namespace; absolute ones stand for themselves."""
        base = self.configurations.get(_NAMESPACE_KEY)
        if own is None:
            combined = base or ""
        elif not base or own.startswith("/"):
            combined = own
        else:
            combined = f"{base.rstrip('/')}/{own}"
        combined = combined.rstrip("/") or ROOT_NAMESPACE
        return combined if combined.startswith("/") else f"/{combined}"

    def _command_line(self, element: Element, attribute: str) -> list[str]:
        """Split into words before substituting: a substituted value stays one word, spaces and all."""
        words: list[str] = []
        current: str | None = None
        for part in self._parse(element, element.attributes.get(attribute, "")):
            if not isinstance(part, str):
                current = (current or "") + self._perform(element, (part,))
                continue
            pieces = _words(element, attribute, part)
            if current is not None and (part[0].isspace() or not pieces):
                words.append(current)
                current = None
            for number, piece in enumerate(pieces):
                if number:
                    words.append(current or "")
                    current = None
                current = (current or "") + piece
            if current is not None and part[-1].isspace() and pieces:
                words.append(current)
                current = None
        return words if current is None else [*words, current]

    def _wanted(self, element: Element) -> bool:
        if "if" in element.attributes and "unless" in element.attributes:
            raise element.error("if and unless exclude each other")
        if "if" in element.attributes:
            return self._boolean(element, "if", default=True)
        return not self._boolean(element, "unless", default=False)

    def _boolean(self, element: Element, attribute: str, default: bool) -> bool:
        if attribute not in element.attributes:
            return default
        try:
            return substitution.is_true(self._text(element, attribute))
        except SubstitutionError as error:
            raise element.error(f'{attribute}="{element.attributes[attribute]}": {error}') from error

    def _seconds(self, element: Element, attribute: str) -> float:
        text = element.attributes.get(attribute, "0")
        try:
            value = float(text)
        except ValueError:
            raise element.error(f"{attribute}: {text!r} is not a number of seconds") from None
        if not value >= 0.0:
            raise element.error(f"{attribute}: {text!r} is not a number of seconds, 0 or more")
        return value

    def _text(self, element: Element, attribute: str, default: str | None = None) -> str:
        if default is not None and attribute not in element.attributes:
            return default
        return self._perform(element, self._parse(element, element.required(attribute)))

    def _parse(self, element: Element, text: str) -> substitution.Template:
        try:
            return substitution.parse(text)
        except SubstitutionError as error:
            raise element.error(str(error)) from error

    def _perform(self, element: Element, template: substitution.Template) -> str:
        scope = substitution.Scope(self.configurations, self.environment, self.find_prefix)
        try:
            return substitution.perform(template, scope)
        except SubstitutionError as error:
            raise element.error(str(error)) from error

    @contextmanager
    def _scope(self) -> Iterator[None]:
        configurations, environment = dict(self.configurations), dict(self.environment)
        yield
        self.configurations, self.environment = configurations, environment


def _words(element: Element, attribute: str, text: str) -> list[str]:
    """Split as a shell does. Raises LaunchFileError: a quote is not closed."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise element.error(f"{attribute}: {text!r}: {str(error).lower()}") from error


_ACTIONS: dict[str, Callable[[_Resolver, Element], None]] = {
    "arg": _Resolver._arg,
    "let": _Resolver._let,
    "set_env": _Resolver._set_env,
    "group": _Resolver._group,
    "push_ros_namespace": _Resolver._push_ros_namespace,
    "include": _Resolver._include,
    "node": _Resolver._node,
    "executable": _Resolver._program,
}
