# SPDX-License-Identifier: Apache-2.0
"""Whether a command in the docs exists: its verb, options, launch file and arguments, held against the real parsers."""

import argparse
import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from docs_pages import DOCS, ROOT
from so101_launch_runner.find_file import find_launch_file
from so101_launch_runner.typed_arguments import pairs
from so101_workspace import command_line

from so101_launch_runner import LaunchFileError, declared_arguments

# Programs that are not ours, and what a block that names one has to say that it needs.
_FOREIGN = {
    "sudo": "root",
    "apt-get": "apt",
    "rosdep": "apt",
    "colcon": "apt",
    "pip": "",
    "python3": "",
    "git": "",
    "cd": "",
    "cp": "",
    "mkdir": "",
    "touch": "",
    "docker": "docker",
    "scp": "network",
    "ssh": "network",
    "ray": "gpu",
    ".": "apt",
    "printf": "",
    "tee": "",
    "export": "",
    "pre-commit": "",
}
_ROS2 = {
    "bag": {"play", "record", "info"},
    "param": {"set", "describe", "get"},
    "security": {"create_keystore", "generate_artifacts"},
    "topic": {"echo", "info", "list"},
}


class DeadCommandError(Exception):
    """What is wrong with a command, in a few words."""


class _Parsed(Exception):
    pass


def check(words: Sequence[str], config: pytest.Config) -> set[str]:
    """Return what the command needs; DeadCommandError where it would be refused."""
    words = list(words)
    while words and re.fullmatch(r"\w+=\S*", words[0]):
        words.pop(0)
    if not words:
        return set()
    program, rest = words[0], words[1:]
    if program == "./so101":
        return _so101(rest, config)
    if program == "ros2":
        return _ros2(rest, config)
    if program == "python":
        return _python(rest)
    if program not in _FOREIGN and (Path(sys.executable).parent / program).is_file():
        return set()
    if program not in _FOREIGN:
        raise DeadCommandError(f"{program}: not a program that these pages may name; see test/docs_commands.py")
    needs = {_FOREIGN[program]} - {""}
    if program == "sudo":
        return needs | check(rest, config) if rest[0] == "./so101" else needs
    if program == "pip":
        _pip(rest)
    if program == "cp":
        _there([word for word in rest[:-1] if not word.startswith("-")])
    if program == "docker":
        _there([rest[place + 1] for place, word in enumerate(rest) if word in ("-f", "--file")])
    return needs


def _so101(rest: list[str], config: pytest.Config) -> set[str]:
    verb, rest = (rest[0], rest[1:]) if rest else ("help", [])
    if verb in ("help", "build"):
        if rest:
            raise DeadCommandError(f"./so101 {verb} takes no arguments")
    elif verb == "setup":
        if [
            word
            for word in rest
            if word not in (*command_line.environment.PROFILES, "--ros", "apt", "wheels", "FOLDER")
        ]:
            raise DeadCommandError(f"./so101 setup does not take {' '.join(rest)}")
    elif verb == "test":
        _pytest(rest, config)
    elif verb == "launch":
        _launch(rest)
    elif verb == "ros":
        return check(rest, config)
    elif verb in command_line._present_tools(command_line.this_workspace()):
        parse(command_line._TOOLS[verb][0], rest)
    else:
        raise DeadCommandError(f"./so101 has no verb {verb!r}")
    return set()


def _ros2(rest: list[str], config: pytest.Config) -> set[str]:
    match rest:
        case []:
            pass
        case ["launch", package, *words]:
            _launch(words, package)
        case ["run", package, program, *words]:
            _run(package, program, words)
        case ["service", "call", name, kind, *_]:
            _service(name.lstrip("/"), kind)
        case ["lifecycle", "set", _, "configure" | "activate" | "deactivate" | "cleanup" | "shutdown"]:
            pass
        case [group, verb, *_] if verb in _ROS2.get(group, ()):
            pass
        case _:
            raise DeadCommandError(f"ros2 {' '.join(rest)}: not one of the forms that these pages use")
    return set()


def _launch(words: list[str], package: str = "") -> None:
    shown = [word for word in words if word not in ("--show-args", "-s")]
    if not shown:
        return
    try:
        file = find_launch_file(shown[0])
        if package and file.parent.parent.name != package:
            raise DeadCommandError(f"{shown[0]} is in {file.parent.parent.name}, not in {package}")
        arguments = {one.name: one for one in declared_arguments(file)}
        given = pairs(shown[1:])
    except (LaunchFileError, FileNotFoundError, ValueError) as error:
        raise DeadCommandError(str(error)) from error
    for name, value in given.items():
        if name not in arguments:
            raise DeadCommandError(f"{shown[0]} has no argument {name}")
        choices = arguments[name].choices
        if choices and value not in choices:
            raise DeadCommandError(f"{shown[0]} {name}:={value}: one of {', '.join(choices)}")


def _run(package: str, program: str, words: list[str]) -> None:
    ours = {
        point.name: point
        for point in importlib.metadata.entry_points(group="console_scripts")
        if point.dist is not None and point.dist.name.replace("-", "_") == package
    }
    if program not in ours:
        raise DeadCommandError(f"{package} has no executable {program}")
    if words and words[0] != "--ros-args":
        parse(ours[program].module, words)


def _service(name: str, kind: str) -> None:
    package, middle, leaf = [*kind.split("/"), "", ""][:3]
    if middle != "srv" or not hasattr(importlib.import_module(f"{package}.srv"), leaf):
        raise DeadCommandError(f"there is no service type {kind}")
    node, _, service = name.rpartition("/")
    rows = [
        line for line in (DOCS / "reference/topics.md").read_text(encoding="utf-8").splitlines() if f"`{node}/" in line
    ]
    if not any(f"`{service}`" in row or f"/{service}`" in row for row in rows):
        raise DeadCommandError(f"docs/reference/topics.md knows no service {name}")


def _python(rest: list[str]) -> set[str]:
    match rest:
        case ["-m", module, *words]:
            if importlib.util.find_spec(module.partition(".")[0]) is None or importlib.util.find_spec(module) is None:
                raise DeadCommandError(f"there is no module {module}")
            if words and module.startswith("so101_"):
                parse(module, words)
        case [file, *_] if file.endswith(".py"):
            _there([file])
    return set()


def _pip(rest: list[str]) -> None:
    _there([rest[place + 1] for place, word in enumerate(rest) if word in ("-r", "-c")])
    pinned = (ROOT / "requirements/constraints.txt").read_text(encoding="utf-8").splitlines()
    for word in rest:
        if "==" in word and word not in pinned:
            raise DeadCommandError(f"{word}: requirements/constraints.txt has another version")


def _there(names: Sequence[str]) -> None:
    for name in names:
        if not (ROOT / name).exists():
            raise DeadCommandError(f"there is no {name}")


def _pytest(words: list[str], config: pytest.Config) -> None:
    given, unknown = config._parser.parse_known_and_unknown_args(list(words))
    if unknown:
        raise DeadCommandError(f"pytest has no option {' '.join(unknown)}")
    _there([str(name).partition("::")[0] for name in given.file_or_dir])
    marks = [line.partition(":")[0] for line in config.getini("markers")]
    for word in re.findall(r"\w+", given.markexpr or ""):
        if word not in (*marks, "not", "and", "or"):
            raise DeadCommandError(f"no mark {word}")


def parse(module: str, words: Sequence[str]) -> None:
    """Let the parser of `module`'s main read the words; nothing after it runs."""
    if not module.endswith("__main__"):
        spec = importlib.util.find_spec(f"{module}.__main__") if _is_package(module) else None
        module = spec.name if spec else module
    main: Callable[[], object] = importlib.import_module(module).main
    with _only_parsing(words):
        try:
            main()
        except _Parsed:
            return
    raise DeadCommandError(f"{module} reads no options")


def _is_package(module: str) -> bool:
    spec = importlib.util.find_spec(module)
    if spec is None:
        raise DeadCommandError(f"there is no module {module}")
    return spec.submodule_search_locations is not None


@contextlib.contextmanager
def _only_parsing(words: Sequence[str]) -> Iterator[None]:
    really = argparse.ArgumentParser.parse_args

    def parse_args(self: argparse.ArgumentParser, *arguments: object, **named: object) -> argparse.Namespace:
        really(self, *arguments, **named)  # type: ignore[call-overload]
        raise _Parsed

    def leave(self: argparse.ArgumentParser, status: int = 0, message: str | None = None) -> None:
        if status == 0:
            raise _Parsed  # --help
        raise DeadCommandError((message or "").strip())

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()):
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        patch.setattr(argparse.ArgumentParser, "exit", leave)
        patch.setattr(sys, "argv", ["command", *words])
        with contextlib.redirect_stdout(io.StringIO()):
            yield


def is_placeholder(words: Sequence[str], error: str) -> bool:
    """Whether the error is only about a word such as FILE or N, or about one that a shortened form leaves out."""
    capitals = [word for word in words if re.fullmatch(r"[A-Z_]+", word)]
    return "arguments are required" in error or any(re.search(rf"\b{word}\b", error) for word in capitals)
