# SPDX-License-Identifier: Apache-2.0
"""`$(name argument ...)` in launch files: parsed once, evaluated where the launch file uses it."""

import math
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from so101_launch_runner.errors import SubstitutionError

_TRUE, _FALSE = ("true", "1"), ("false", "0")
_COMPARISONS = ("equals", "not-equals")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Scope:
    """What substitutions can see."""

    configurations: Mapping[str, str]
    environment: Mapping[str, str]
    find_prefix: Callable[[str], Path]


@dataclass(frozen=True, slots=True)
class Call:
    """`$(name argument ...)`; each argument is itself a template."""

    name: str
    arguments: tuple["Template", ...]


type Template = tuple[str | Call, ...]


def parse(text: str) -> Template:
    """Split `text` into literal parts and calls. Raises SubstitutionError for a call that is not closed."""
    parts, end = _template(text, 0, stops="")
    if end != len(text):
        raise SubstitutionError(f"unexpected {text[end]!r} in {text!r}")
    return parts


def perform(template: Template, scope: Scope) -> str:
    """Evaluate a parsed template. Raises SubstitutionError."""
    return "".join(part if isinstance(part, str) else _call(part, scope) for part in template)


def is_true(text: str) -> bool:
    """Read a condition as `launch` does: true, 1, false or 0 in any case; anything else is an error."""
    word = text.strip().lower()
    if word not in _TRUE + _FALSE:
        raise SubstitutionError(f"{text!r} is neither true nor false")
    return word in _TRUE


def _template(text: str, start: int, stops: str) -> tuple[Template, int]:
    """Read from `start` up to one of `stops` (or the end), and return the parts and where reading ended."""
    parts: list[str | Call] = []
    literal = ""
    position = start
    while position < len(text) and text[position] not in stops:
        if text.startswith("$(", position):
            if literal:
                parts.append(literal)
                literal = ""
            call, position = _parse_call(text, position + 2)
            parts.append(call)
            continue
        if text[position] == "\\" and position + 1 < len(text):
            position += 1
        literal += text[position]
        position += 1
    if literal:
        parts.append(literal)
    return tuple(parts), position


def _parse_call(text: str, start: int) -> tuple[Call, int]:
    match = _NAME.match(text, start)
    if match is None:
        raise SubstitutionError(f"no name after $( in {text!r}")
    arguments: list[Template] = []
    position = match.end()
    while text.startswith(" ", position):
        position += 1
        quote = text[position : position + 1]
        if quote in ("'", '"'):
            argument, position = _template(text, position + 1, stops=quote)
            if not text.startswith(quote, position):
                raise SubstitutionError(f"quote not closed in {text!r}")
            position += 1
        else:
            argument, position = _template(text, position, stops=" )")
            if not argument:
                raise SubstitutionError(f"empty argument in {text!r}; write '' for an empty text")
        arguments.append(argument)
    if not text.startswith(")", position):
        raise SubstitutionError(f"$({match.group()} is not closed in {text!r}")
    return Call(match.group(), tuple(arguments)), position + 1


def _call(call: Call, scope: Scope) -> str:
    try:
        fewest, most, function = _KNOWN[call.name]
    except KeyError:
        raise SubstitutionError(f"$({call.name}) is not one of: {', '.join(sorted(_KNOWN))}") from None
    if not fewest <= len(call.arguments) <= most:
        count = str(fewest) if fewest == most else f"{fewest} or {most}"
        raise SubstitutionError(f"$({call.name}) takes {count} arguments, not {len(call.arguments)}")
    if call.name in _COMPARISONS and () in call.arguments:
        raise SubstitutionError(f"$({call.name}) cannot compare with '': real launch takes that for the text []")
    return function([perform(argument, scope) for argument in call.arguments], scope)


def _variable(arguments: Sequence[str], scope: Scope) -> str:
    name, *default = arguments
    if name in scope.configurations:
        return scope.configurations[name]
    if default:
        return default[0]
    raise SubstitutionError(f"$(var {name}) has no value: no such <arg> or <let> before this line")


def _environment(arguments: Sequence[str], scope: Scope) -> str:
    name, *default = arguments
    if name in scope.environment:
        return scope.environment[name]
    if default:
        return default[0]
    raise SubstitutionError(f"environment variable {name} is not set")


def _find_prefix(arguments: Sequence[str], scope: Scope) -> str:
    try:
        return str(scope.find_prefix(arguments[0]))
    except LookupError:
        raise SubstitutionError(f"package {arguments[0]} is not built or not in AMENT_PREFIX_PATH") from None


def _find_share(arguments: Sequence[str], scope: Scope) -> str:
    return f"{_find_prefix(arguments, scope)}/share/{arguments[0]}"


def _executable(arguments: Sequence[str], scope: Scope) -> str:
    name, package = arguments
    path = Path(_find_prefix([package], scope)) / "lib" / package / name
    if not os.access(path, os.X_OK):
        raise SubstitutionError(f"package {package} has no executable {name} (looked for {path})")
    return str(path)


def _command(arguments: Sequence[str], scope: Scope) -> str:
    """Return what a command prints; what it prints as errors is the error where it fails or prints any, as there."""
    text = arguments[0]
    environment = {**os.environ, **scope.environment}
    try:
        done = subprocess.run(shlex.split(text), env=environment, capture_output=True, text=True, check=False)
    except (OSError, ValueError) as error:
        raise SubstitutionError(f"$(command {text!r}) cannot be run: {error}") from None
    if done.returncode or done.stderr:
        said = " ".join(done.stderr.split()) or f"$(command {text!r}) ended with exit code {done.returncode}"
        raise SubstitutionError(said)
    return done.stdout


def _equals(arguments: Sequence[str], scope: Scope) -> str:
    del scope
    return _bool_text(_same(*arguments))


def _not_equals(arguments: Sequence[str], scope: Scope) -> str:
    del scope
    return _bool_text(not _same(*arguments))


def _not(arguments: Sequence[str], scope: Scope) -> str:
    del scope
    return _bool_text(not is_true(arguments[0]))


def _and(arguments: Sequence[str], scope: Scope) -> str:
    del scope
    return _bool_text(is_true(arguments[0]) and is_true(arguments[1]))


def _or(arguments: Sequence[str], scope: Scope) -> str:
    del scope
    return _bool_text(is_true(arguments[0]) or is_true(arguments[1]))


def _same(left: str, right: str) -> bool:
    """Compare as `launch` does: as truth values or as numbers where both sides are such, else as text."""
    words = (*_TRUE, *_FALSE)
    if left.lower() in words and right.lower() in words:
        return is_true(left) == is_true(right)
    try:
        return math.isclose(float(left), float(right))
    except ValueError:
        return left == right


def _bool_text(value: bool) -> str:
    return "true" if value else "false"


_KNOWN: dict[str, tuple[int, int, Callable[[Sequence[str], Scope], str]]] = {
    "var": (1, 2, _variable),
    "env": (1, 2, _environment),
    "command": (1, 1, _command),
    "exec-in-pkg": (2, 2, _executable),
    "find-pkg-prefix": (1, 1, _find_prefix),
    "find-pkg-share": (1, 1, _find_share),
    "equals": (2, 2, _equals),
    "not-equals": (2, 2, _not_equals),
    "not": (1, 1, _not),
    "and": (2, 2, _and),
    "or": (2, 2, _or),
}
