# SPDX-License-Identifier: Apache-2.0
"""What installed packages offer by name: policies, frame sources. An entry-point group holds name -> function.

Free of ROS. Finding one imports the module that its entry point names and no other, so that a package that cannot be
imported is in nobody's way but its own.
"""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from so101_node.errors import So101NodeError


class EntryPointError(So101NodeError, RuntimeError):
    """A name stands for nothing that can be used here. The message is one line: parameter, value, what is wrong."""


@dataclass(frozen=True, slots=True)
class EntryPointGroup:
    """One group of entry points.

    Attributes:
        name: the group's, such as "so101.policies".
        parameter: the parameter that chooses one of its entries, for the messages.
        expected: in words what an entry must be: "a function (source, progress) that returns a policy".
        arguments: one value for each argument of that function; they are not used, only counted.
    """

    name: str
    parameter: str
    expected: str
    arguments: tuple[Any, ...]

    def installed(self) -> list[str]:
        """Each installed entry with the package that brings it, by name: "lerobot (so101_policy_server)"."""
        return [f"{point.name} ({_package(point)})" for point in sorted(self._points(), key=lambda each: each.name)]

    def names(self) -> list[str]:
        """The installed names, sorted, each once."""
        return sorted({point.name for point in self._points()})

    def load(self, name: str) -> Callable[..., Any]:
        """Import the entry of this name.

        Raises:
            EntryPointError: no package or several have it, or it cannot be imported, or it is no such function.
        """
        chosen = f"{self.parameter} = {name!r}"
        point = self._point(name, chosen)
        place = f"{chosen}: {point.value} of {_package(point)}"
        try:
            function = point.load()
        except (Exception, SystemExit) as error:  # importing a module runs whatever is in it
            text = " ".join(f"{type(error).__name__}: {error}".split())
            raise EntryPointError(f"{place} cannot be imported: {text}") from error
        if not callable(function):
            raise EntryPointError(f"{place} is a {type(function).__name__}: expected {self.expected}")
        try:
            inspect.signature(function).bind(*self.arguments)
        except TypeError as error:
            raise EntryPointError(f"{place} takes other arguments ({error}): expected {self.expected}") from error
        except ValueError:
            pass  # a function written in C may not tell its arguments
        return function  # type: ignore[no-any-return]

    def _points(self) -> Iterable[importlib.metadata.EntryPoint]:
        return importlib.metadata.entry_points(group=self.name)

    def _point(self, name: str, chosen: str) -> importlib.metadata.EntryPoint:
        found = [point for point in self._points() if point.name == name]
        if not found:
            known = ", ".join(self.names()) or "none"
            raise EntryPointError(f"{chosen}: no installed package has it; known are {known}")
        if len(found) > 1:
            places = " and ".join(f"{_package(point)} ({point.value})" for point in found)
            raise EntryPointError(f"{chosen}: given by {places}: uninstall or rename one of them")
        return found[0]


def _package(point: importlib.metadata.EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unnamed package"
