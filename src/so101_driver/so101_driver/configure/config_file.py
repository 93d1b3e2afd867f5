# SPDX-License-Identifier: Apache-2.0
"""The driver's parameters out of a parameter file, for a command that needs the same port, calibration and gains."""

from pathlib import Path
from typing import Final

from so101_node.parameters import ParameterError
from so101_node.parameters.files import ParameterFileError, read
from so101_node.parameters.node_file import parameters_of

from so101_driver.core.errors import DriverError
from so101_driver.ros.driver_parameters import DriverParameters

NODE: Final = "/so101_driver"


class ConfigFileError(DriverError):
    """A parameter file cannot be used."""


def driver_parameters(path: Path, node: str = NODE) -> DriverParameters:
    """What the node of that full name gets from the file, defaults for the rest. Raises ConfigFileError."""
    try:
        sections = read(path)
        if not any(section.reaches(node) for section in sections):
            found = ", ".join(section.pattern for section in sections)
            raise ConfigFileError(f"{path}: no section is for {node} ({found}); name the node with --node")
        return parameters_of(DriverParameters, path, node)
    except (ParameterFileError, ParameterError) as error:
        place = "" if str(path) in str(error) else f"{path}: "  # a rule that names none of those given
        raise ConfigFileError(f"{place}{error}") from error
