# SPDX-License-Identifier: Apache-2.0
"""An argument parser that says one line where it refuses something, and types of arguments that do the same."""

import argparse
import difflib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

_UNKNOWN: Final = "unrecognized arguments: "  # what argparse begins such a refusal with


class _StoreOnce(argparse._StoreAction):
    """Of an option that is given twice argparse takes the last, in silence."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if option_string is not None and isinstance(parser, OneLineParser):
            before = parser.given.setdefault(self.dest, values)
            if before is not values and before != values:  # not a number is no other than itself
                raise argparse.ArgumentError(self, f"given twice, {_shown(before)} and {_shown(values)}; leave one out")
        super().__call__(parser, namespace, values, option_string)


class OneLineParser(argparse.ArgumentParser):
    """argparse prints the whole usage before the error, which then is what nobody reads."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.given: dict[str, Any] = {}
        for name in (None, "store"):
            self.register("action", name, _StoreOnce)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does; an option that is given twice with different values is refused."""
        self.given = {}
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Leave the process with exit code 2 and one line."""
        if message.startswith(_UNKNOWN):
            words = message.removeprefix(_UNKNOWN).split()
            message = message + meant(words[0], tuple(self._options())) if words else f"{_UNKNOWN}''"
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")

    def _options(self) -> Iterator[str]:
        for action in self._actions:
            yield from action.option_strings
            for parser in action.choices.values() if isinstance(action, argparse._SubParsersAction) else ():
                yield from parser._option_string_actions


def meant(word: str, options: Sequence[str]) -> str:
    """Return " (...)" about the option that was meant by a word that is none, "" where nothing is like it."""
    name, launch, value = word.partition(":=")
    option = f"--{name.lstrip('-').replace('_', '-')}"
    if launch and option in options:
        return f" (here it is written {option} {value})"
    near = difflib.get_close_matches(word.partition("=")[0], options, n=1, cutoff=0.7) if word.startswith("-") else []
    return f" (did you mean {near[0]}?)" if near else ""


def within(low: float, high: float, unit: str = "") -> Callable[[str], float]:
    """Return an argument type: a number from `low` to `high`, named with its unit where it is refused."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{_shown(text)}: must be {low:g} to {high:g} {unit}".rstrip())
        return value

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return an argument type: a whole number from `low` to `high`, neither below 0, in plain digits."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f"{_shown(text)}: must be {low} to {high}, a whole number")
        return int(text)

    return read


def path(text: str) -> Path:
    """Argument type: a file or folder. The shell leaves ~ alone behind `=`; "" is a variable that was not set."""
    if not text.strip():
        raise argparse.ArgumentTypeError("'' names no file or folder")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~USER, and there is no such user
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error


def _shown(value: object) -> str:
    return " ".join(str(one) for one in value) if isinstance(value, list) else str(value) or "''"
