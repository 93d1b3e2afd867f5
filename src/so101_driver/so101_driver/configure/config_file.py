# SPDX-License-Identifier: Apache-2.0
"""The driver's parameters out of a parameter file, for a command that needs the same port, calibration and gains."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from so101_node.parameters import ParameterError
from so101_node.parameters.files import KEYWORD, ParameterFileError, read
from so101_node.parameters.given import from_file

from so101_driver.core.errors import DriverError
from so101_driver.ros.driver_parameters import DriverParameters

NODE: Final = "/so101_driver"


class ConfigFileError(DriverError):
    """A parameter file cannot be used."""


def driver_parameters(path: Path, node: str = NODE) -> DriverParameters:
    """What the node of that full name gets from the file, defaults for the rest. Raises ConfigFileError."""
    try:
        sections = read(path)
        reaching = {section.pattern: section for section in sections if section.reaches(node)}
        if not reaching:
            found = ", ".join(section.pattern for section in sections)
            raise ConfigFileError(f"{path}: no section is for {node} ({found}); name the node with --node")
        given = [(reaching[pattern], values) for pattern, values in _values(path) if pattern in reaching]
        return from_file(DriverParameters, given)
    except (ParameterFileError, ParameterError) as error:
        place = "" if str(path) in str(error) else f"{path}: "  # a rule across parameters names none
        raise ConfigFileError(f"{place}{error}") from error


def _values(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(pattern, values) of each section, in the file's order."""

    def walk(pattern: str, tree: dict[Any, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        for key, value in tree.items():
            if key == KEYWORD:
                yield "/" + "/".join(part for part in pattern.split("/") if part), value
            else:
                yield from walk(f"{pattern}/{str(key).strip('/')}", value)

    yield from walk("", yaml.safe_load(path.read_text(encoding="utf-8")))
