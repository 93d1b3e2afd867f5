# SPDX-License-Identifier: Apache-2.0
"""Prints the page with every verb's options, from the parsers themselves.

`./so101 ros python docs/generators/option_page.py > docs/reference/command_line.md`
"""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

from so101_node.verb import main_of

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))

from so101_workspace import command_line  # noqa: E402
from so101_workspace.layout import this_workspace  # noqa: E402

_COLUMNS = "100"

HEADER = """# Command line

Written by `./so101 ros python docs/generators/option_page.py` from the verbs' own parsers; a test keeps it current.
`./so101 VERB --help` prints the same. `./so101 setup`, `build`, `test`, `launch` and `ros` have a line each in `./so101
help`; the arguments of a launch file are shown by `./so101 launch FILE --show-args`.

| Exit code | Meaning |
|---|---|
| 0 | done; `record`, `view` and `launch` run until Ctrl-C and end with it |
| 1 | it could not be done, or what was checked is not in order: one line on stderr, `so101 VERB: ...`, says why |
| 2 | an option, an argument or a verb that does not exist, or a value that it does not take: one line |
| 130 | ended by Ctrl-C (143: by SIGTERM) |
| 141 | whoever read the output has left: `./so101 VERB \\| head -1` |

An option that is given twice with two values is refused. A file or folder may begin with `~`.
"""


class _Captured(Exception):
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


def document() -> str:
    """The page."""
    lines = [HEADER]
    for verb in command_line._present_tools(this_workspace()):
        module = command_line._TOOLS[verb][0]
        lines += _section(module, [verb])
        for part in _parts(module):
            lines += _section(module, [verb, part])
    return "\n".join(lines)


def _section(module: str, words: Sequence[str]) -> list[str]:
    depth = "#" * (len(words) + 1)
    return [f"{depth} ./so101 {' '.join(words)}", "", "```text", _help(module, words[1:]), "```", ""]


def _help(module: str, words: Sequence[str]) -> str:
    output = io.StringIO()
    with _arguments([*words, "--help"]), contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        main_of(module)()
    return "\n".join(line.rstrip() for line in output.getvalue().rstrip().splitlines())


def _parts(module: str) -> list[str]:
    """Verbs of a verb, in their order."""

    def capture(parser: argparse.ArgumentParser, *_arguments: object, **_named: object) -> None:
        raise _Captured(parser)

    with _arguments([]), mock.patch.object(argparse.ArgumentParser, "parse_args", capture):
        try:
            main_of(module)()
        except _Captured as captured:
            found = [one for one in captured.parser._actions if isinstance(one, argparse._SubParsersAction)]
            return [name for one in found for name in one.choices]
    return []


@contextlib.contextmanager
def _arguments(words: Sequence[str]) -> Iterator[None]:
    with (
        mock.patch.object(sys, "argv", ["so101", *words]),
        mock.patch.dict(os.environ, {"COLUMNS": _COLUMNS}),
        mock.patch("signal.signal"),
    ):
        yield


if __name__ == "__main__":
    sys.stdout.write(document())
