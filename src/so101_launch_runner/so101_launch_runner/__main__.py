# SPDX-License-Identifier: Apache-2.0
"""`./so101 launch FILE [name:=value ...]`: run a launch file without the `launch` package."""

import os
import sys
from pathlib import Path

from so101_launch_runner import LaunchFileError, Runner, declared_arguments, resolve
from so101_launch_runner.find_file import find_launch_file, launch_files
from so101_launch_runner.parameter_sections import lost_sections
from so101_launch_runner.screen import Screen
from so101_launch_runner.typed_arguments import pairs

_USAGE = "usage: ./so101 launch FILE [name:=value ...] [--show-args]"


def main(arguments: list[str] | None = None) -> int:
    """Run one launch file until it ends or is interrupted; return the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    show_arguments = any(word in words for word in ("--show-args", "-s"))
    words = [word for word in words if word not in ("--show-args", "-s")]
    try:
        if not words or words[0] in ("-h", "--help"):
            print(f"{_USAGE}\nfiles: {', '.join(launch_files())}")
            return 0
        file = find_launch_file(words[0])
        if show_arguments or words[1:] in (["-h"], ["--help"]):
            _print_arguments(file)
            return 0
        processes = resolve(file, pairs(words[1:]))
    except (LaunchFileError, FileNotFoundError, ValueError) as error:
        print(f"so101 launch: {error}", file=sys.stderr)
        return 2
    screen = Screen()
    for line in lost_sections(processes):
        screen("launch", f"warning: {line}")
    return Runner(processes, screen).run()


def _print_arguments(file: Path) -> None:
    for argument in declared_arguments(file):
        default = "required" if argument.default is None else f"default: {argument.default!r}"
        choices = f" (one of: {', '.join(argument.choices)})" if argument.choices else ""
        print(f"  {argument.name}:=  {argument.description}{choices}{os.linesep}      {default}")


if __name__ == "__main__":
    sys.exit(main())
