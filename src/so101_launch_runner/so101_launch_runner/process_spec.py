# SPDX-License-Identifier: Apache-2.0
"""One process of a resolved launch file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile

import yaml

type ParameterValue = bool | int | float | str | list[bool] | list[int] | list[float] | list[str]
type ParameterSource = Path | Mapping[str, ParameterValue]

ROOT_NAMESPACE = "/"


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What to start, and what to do when it ends.

    A node has `package` and `executable`; a plain program has neither and its whole command in `arguments`.
    `name` and `namespace` are the node's, None where the file gives none. `parameters` holds files and inline values
    in the order they apply, later ones winning. `environment` holds what is added to the runner's own.
    """

    package: str | None
    executable: str | None
    program: str
    arguments: tuple[str, ...] = ()
    name: str | None = None
    namespace: str | None = None
    parameters: tuple[ParameterSource, ...] = ()
    remappings: tuple[tuple[str, str], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    respawn: bool = False
    respawn_delay_s: float = 0.0
    shutdown_on_exit: bool = False

    @property
    def label(self) -> str:
        """Short name for people: the node's name, else the program's."""
        return self.name or Path(self.program).name

    @property
    def is_node(self) -> bool:
        """Whether it is a node of a package, not just a program."""
        return self.package is not None

    @property
    def full_name(self) -> str | None:
        """The node's name with its namespace, or None if either is left to the node."""
        if self.name is None or self.namespace is None:
            return None
        return f"{self.namespace.rstrip('/')}/{self.name}"

    def command(self, folder: Path) -> list[str]:
        """Return the command line; inline parameters are written to files in `folder`, as `ros2 launch` does."""
        command = [*self.prefix, self.program, *self.arguments]
        if not self.is_node:
            return command
        command.append("--ros-args")
        if self.name is not None:
            command += ["-r", f"__node:={self.name}"]
        if self.namespace is not None:
            command += ["-r", f"__ns:={self.namespace}"]
        for source in self.parameters:
            path = source if isinstance(source, Path) else self._write_parameters(source, folder)
            command += ["--params-file", str(path)]
        for source_name, target_name in self.remappings:
            command += ["-r", f"{source_name}:={target_name}"]
        return command

    def _write_parameters(self, values: Mapping[str, ParameterValue], folder: Path) -> Path:
        owner = self.full_name or "/**"
        # A name of its own: two nodes whose namespace is left open would otherwise write the same file.
        with NamedTemporaryFile(
            "w", encoding="utf-8", dir=folder, prefix=f"{self.label}-", suffix=".yaml", delete=False
        ) as file:
            yaml.safe_dump({owner: {"ros__parameters": dict(values)}}, file)
        return Path(file.name)
