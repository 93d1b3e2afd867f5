"""The driver's parameters out of a parameter file, for a command that needs the same port, calibration and gains."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_type_hints

import yaml
from so101_node.parameter_files import KEYWORD, ParameterFileError, Section, read
from so101_node.parameters import ParameterError, rules

from so101_driver.driver_parameters import DriverParameters
from so101_driver.errors import DriverError

NODE: Final = "/so101_driver"


class ConfigFileError(DriverError):
    """A parameter file cannot be used."""


def driver_parameters(path: Path, node: str = NODE) -> DriverParameters:
    """What the node of that full name gets from the file, defaults for the rest. Raises ConfigFileError."""
    try:
        sections = read(path)
        reaching = {section.pattern for section in sections if section.reaches(node)}
        if not reaching:
            found = ", ".join(section.pattern for section in sections)
            raise ConfigFileError(f"{path}: no section is for {node} ({found}); name the node with --node")
        given: dict[str, Any] = {}
        for pattern, values in _sections(path):
            if pattern in reaching:
                given.update(values)
        return _checked(given)
    except (ParameterFileError, ParameterError) as error:
        raise ConfigFileError(f"{path}: {error}") from error


def _sections(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(pattern, values) of each section, in the file's order."""

    def walk(pattern: str, tree: dict[Any, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        for key, value in tree.items():
            if key == KEYWORD:
                yield Section(pattern, "", {}).pattern, value
            else:
                yield from walk(f"{pattern}/{str(key).strip('/')}", value)

    yield from walk("", yaml.safe_load(path.read_text(encoding="utf-8")))


def _checked(given: dict[str, Any]) -> DriverParameters:
    """The dataclass of those values that it has. Raises ParameterError for a wrong type or range."""
    hints = get_type_hints(DriverParameters)
    known: dict[str, Any] = {}
    for name, rule in rules(DriverParameters).items():
        if name not in given:
            continue
        value = given[name]
        if hints[name] is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if isinstance(hints[name], type) and type(value) is not hints[name]:
            raise ParameterError(f"{name} = {value!r}: must be of type {hints[name].__name__} ({rule.description})")
        rule.check(name, value)
        known[name] = value
    return dataclasses.replace(DriverParameters(), **known)
