# SPDX-License-Identifier: Apache-2.0
"""The verbs of `./so101`: set up what a verb needs, then hand over to it."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from . import build, environment, option_page, system_ros
from .failure import Failure, Misuse
from .layout import Layout, check_place, this_workspace
from .lock import workspace_lock
from .shell_variables import refuse_missing_middleware, refuse_odd_domain
from .terminal import complain, end_programs, interrupt, run_quiet, say

_ANY = frozenset({"base"})
_ROBOT, _SERVER, _ALL = (environment.PROFILES[name] for name in ("robot", "server", "all"))
_BAGS = _ROBOT | {"tools"}

# Verbs that are done here, with their lines of the help.
_OWN: dict[str, tuple[str, ...]] = {
    "setup": (
        "  setup [robot|server|ray|all]  make .venv; robot: no torch, on ROS from apt if there; ray: a server on Ray",
        "        [--ros apt|wheels|FOLDER] which ROS 2 it is made on (or SO101_ROS in the environment)",
    ),
    "build": ("  build                         build the workspace",),
    "test": ("  test [PYTEST ARGUMENTS]       run the tests; --all adds the long ones",),
    "launch": ("  launch FILE [name:=value ...] run a launch file; --show-args lists its arguments",),
    "ros": ("  ros COMMAND ...               run any command inside the environment",),
}
# Verbs that are modules: where each is, what it needs installed, what it is for. What is not there is not shown.
_TOOLS: dict[str, tuple[str, frozenset[str], str]] = {
    "demo": ("so101_demo", _ALL, "the virtual arm, driven through the whole chain"),
    "policy": (
        "so101_training.policy",
        _ALL,
        "record data for the demo policy, train it, evaluate it; migrate old checkpoints",
    ),
    "call": ("so101_doctor.call", _ANY, "call a service of the running robot: start, stop, park, emergency_stop, ..."),
    "cameras": ("so101_doctor.cameras", _ROBOT, "find cameras and show what they deliver"),
    "doctor": ("so101_doctor", _ANY, "check robot, server and network, with a remedy for each fault"),
    "link": ("so101_link.keys", _ANY, "make, revoke and show the keys of the encrypted link; make those of SROS2"),
    "bench": ("so101_bench", _ALL, "measure against LeRobot, with several robots, or a policy alone"),
    "tune": ("so101_training.tune", _ALL, "try chunk sizes and thresholds"),
    "record": ("so101_bag.record", _BAGS, "record a run as a rosbag2 bag"),
    "replay": ("so101_bag.replay", _BAGS, "play a bag to the queue, the policy server or the arm"),
    "view": ("so101_viewer.view", _BAGS | {"view"}, "see a run in the browser"),
    "dataset": ("so101_bag.dataset", _SERVER | _BAGS, "turn bags into a LeRobotDataset"),
}
# Verbs that bring their own robot; the others look at one that may be on another computer.
_ALONE = frozenset({"demo", "policy", "bench", "tune"})
# By the end of the launch file's name; any other file may start anything.
_LAUNCH_NEEDS = {"robot": _ROBOT, "server": _SERVER, "view": _ROBOT, "replay": _BAGS}
# What arguments of launch files start on top, unless they are switched off.
_ARGUMENT_NEEDS = {"record": "tools", "sim": "sim", "checkpoint": "server"}
_OFF = ("", "none", "false", "0")


def main(arguments: list[str]) -> int:
    """Run one verb and return the exit code."""
    # A shell starts `command &` in a script with SIGINT ignored, and all that is started from there inherits it: nodes
    # could not be stopped gently. A handler here, for each, is replaced by the default when a program takes over.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # ignored: nohup, on purpose
            signal.signal(number, _as_interrupt)
    try:
        return _dispatch(this_workspace(), arguments)
    except Failure as failure:
        complain(str(failure), failure.verb)
        return failure.code
    except PermissionError as error:  # made with sudo, or by somebody else
        complain(
            f"{error.filename}: {error.strerror}: it is another user's; work as that user, or make this workspace "
            f"yours: sudo chown -R $USER {this_workspace().root}"
        )
        return 1
    except KeyboardInterrupt:
        complain("interrupted; type the same again to go on")
        return 130
    except BrokenPipeError:  # `./so101 help | head -1`
        # Python writes what is left once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    finally:
        end_programs()  # also when the terminal is gone and nothing can be said any more


def _dispatch(layout: Layout, arguments: list[str]) -> int:
    verb, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    if verb in ("help", "-h", "--help"):
        if not rest or rest[0] == "help" or rest[0].startswith("-"):
            print(_help(layout), flush=True)
            return 0
        verb, rest = rest[0], [*rest[1:], "--help"]
    if verb in _verbs(layout) and option_page.is_wanted(verb, rest) and (text := _help_at_once(layout, verb, rest)):
        print(text, flush=True)
        return 0
    check_place(layout)
    if verb == "setup":
        _setup(layout, rest)
        return 0
    if verb == "build":
        _refuse_arguments(verb, rest)
        ready(layout, _ANY)
        return 0
    if verb == "test":
        ready(layout, _ALL)
        os.chdir(str(layout.root))
        return _hand_over(layout, [str(layout.python), "-m", "pytest", *rest], alone=True)
    if verb == "launch":
        ready(layout, _launch_needs(rest))
        return _hand_over(layout, [*_verb(layout, "so101_launch_runner"), *rest])
    if verb == "ros":
        if not rest:
            raise Misuse("name a command to run inside the environment, such as: ./so101 ros python", verb)
        ready(layout, _ANY)
        return _hand_over(layout, rest)
    if verb in _present_tools(layout):
        package = _TOOLS[verb][0].partition(".")[0]
        # An emergency stop waits for no compiler: what was built before is good enough.
        built = (layout.install / package).is_dir() and environment.groups_installed(layout) >= _ANY
        if verb != "call" or not built:
            # What brings its own robot names all it starts in its package.xml, and a call needs its own package alone:
            # the first motion, or a stop, waits for no more.
            ready(layout, _tool_needs(verb, rest), _package_of(verb))
        return _hand_over(layout, [*_verb(layout, _TOOLS[verb][0]), *rest], alone=verb in _ALONE)
    raise Misuse(f"{verb!r} is not one of: {', '.join(_verbs(layout))}")


def ready(layout: Layout, needs: frozenset[str], package: str = "") -> None:
    """Bring environment and build up to date; without work to do this takes milliseconds.

    When a verb is content with any environment, a machine with nothing installed yet gets all of it, and one whose
    environment is no longer up to date what it had: a robot computer no torch. With `package` only that one and what it
    depends on are built.
    """
    build.refuse_foreign_install(layout)
    installed = environment.groups_installed(layout)
    if needs <= installed and not build.out_of_date(layout, package):
        return
    ros = system_ros.choose(layout)
    if ros is not None:
        system_ros.refuse(needs, ros)
    if not environment.groups_recorded(layout):
        say("first use in this folder: what it needs is installed and built, then it begins")
    with workspace_lock(layout.tools):
        installed = environment.groups_installed(layout)
        if not needs <= installed and ros is not None:
            system_ros.prepare(layout, ros, build.robot_manifests(layout))
        elif not needs <= installed:
            wanted = (environment.groups_recorded(layout) or _ALL) if needs == _ANY else needs
            environment.check_host(wanted)
            if installed or not build.out_of_date(layout, package):
                environment.prepare(layout, wanted)
            else:
                _install_and_build(layout, wanted, package)
        build.run(layout, package=package)


def _install_and_build(layout: Layout, wanted: frozenset[str], package: str) -> None:
    """The first time: compile with the first, small part of the packages while the large ones are downloaded."""
    environment.prepare(layout, _ANY)
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        building = pool.submit(build.run, layout, run_quiet, package)
        try:
            environment.prepare(layout, wanted)
            building.result()
        except BaseException:
            end_programs()
            raise


def _launch_needs(rest: list[str]) -> frozenset[str]:
    if not rest or rest[0].startswith("-"):
        return _ANY
    name = Path(rest[0]).name.split(".")[0]
    needs = next((needs for end, needs in _LAUNCH_NEEDS.items() if name.endswith(end)), _ALL)
    given = [word.partition(":=") for word in rest[1:]]
    return needs | {
        _ARGUMENT_NEEDS[argument]
        for argument, _separator, value in given
        if argument in _ARGUMENT_NEEDS and value.lower() not in _OFF
    }


def _tool_needs(verb: str, rest: list[str]) -> frozenset[str]:
    """The doctor looks at whatever is there; asked about the robot, it must be able to talk to the arm.

    A checkpoint is migrated where it is served, on a computer that has neither robot nor simulator.
    """
    if verb == "policy" and rest[:1] == ["migrate"]:
        return _SERVER
    return _ROBOT if verb == "doctor" and "robot" in rest else _TOOLS[verb][1]


def _setup(layout: Layout, rest: list[str]) -> None:
    words, asked = list(rest), os.environ.get("SO101_ROS") or None
    if "--ros" in words:
        place = words.index("--ros")
        if place + 1 == len(words):
            raise Misuse("--ros needs one of: apt, wheels, the folder of a ROS 2 Jazzy", "setup")
        asked = words[place + 1]
        del words[place : place + 2]
    if len(words) > 1 or (words and words[0] not in environment.PROFILES):
        raise Misuse(f"takes one of: {', '.join(environment.PROFILES)} (default all), not {' '.join(words)!r}", "setup")
    build.refuse_foreign_install(layout)
    wanted = environment.PROFILES[words[0] if words else "all"]
    ros = system_ros.choose(layout, asked, robot_only=bool(words) and wanted <= environment.PROFILES["robot"])
    if ros is not None:
        system_ros.refuse(wanted, ros)
    with workspace_lock(layout.tools):
        recorded = environment.ros_recorded(layout)
        if wanted <= environment.groups_installed(layout) and recorded == (str(ros) if ros else None):
            say("environment is up to date")
        elif ros is not None:
            system_ros.prepare(layout, ros, build.robot_manifests(layout))
        else:
            environment.check_host(wanted)
            environment.prepare(layout, wanted, keep=recorded is None)


def _verb(layout: Layout, module: str) -> list[str]:
    """The command that runs a verb's module: through one that knows what Ctrl-C and a closed pipe are."""
    return [str(layout.python), "-m", "so101_node.verb", module]


def _hand_over(layout: Layout, command: list[str], *, alone: bool = False) -> int:
    """Become the command: its signals, its terminal and its exit code are then nobody else's business."""
    env = build.environment(layout, alone=alone)
    if "so101_doctor" not in command:  # which says so itself, among the rest
        refuse_missing_middleware(env)
        refuse_odd_domain(env)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(command[0], command, env)
    except OSError as error:
        hint = ""
        if command[0] == "ros2":
            hint = " (the ros2 command line comes with ROS 2 from apt, not with the wheels)"
        raise Failure(f"{command[0]} cannot be run: {error.strerror}{hint}") from error


def _present_tools(layout: Layout) -> list[str]:
    def is_there(module: str) -> bool:
        path = layout.root.joinpath("src", module.split(".")[0], *module.split("."))
        return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()  # what `python -m` can start

    return [verb for verb in _TOOLS if is_there(_TOOLS[verb][0])]


def _verbs(layout: Layout) -> list[str]:
    return [*_OWN, *_present_tools(layout)]


def _help(layout: Layout) -> str:
    lines = [
        "./so101 VERB ...   every verb sets up and builds what it needs the first time",
        "",
        *(line for lines in _OWN.values() for line in lines),
    ]
    lines += [f"  {verb + ' ...':29} {_TOOLS[verb][2]}" for verb in _present_tools(layout)]
    return "\n".join(lines)


def _help_at_once(layout: Layout, verb: str, rest: list[str]) -> str:
    """The help of a verb for which nothing has to be installed or built; "" where the verb has it itself by now."""
    own = "\n".join(["usage of ./so101:", *_OWN.get(verb, ())])
    if verb in ("setup", "build", "ros"):
        return own
    needs = {"test": _ALL, "launch": _ANY}.get(verb) or _tool_needs(verb, rest)
    if needs <= environment.groups_installed(layout) and not build.out_of_date(layout, _package_of(verb)):
        return ""
    if verb == "launch":
        return f"{own}\n  the files: {', '.join(sorted(path.name for path in layout.launch_files()))}"
    return own if verb in _OWN else option_page.help_of(layout, [verb, *rest])


def _package_of(verb: str) -> str:
    """The package up to which a verb is built; "" for all."""
    return _TOOLS[verb][0].partition(".")[0] if verb in _ALONE | {"call"} else ""


def _refuse_arguments(verb: str, rest: list[str]) -> None:
    if rest:
        raise Misuse(f"takes no arguments, not {' '.join(rest)!r}", verb)


def _as_interrupt(signal_number: int, frame: FrameType | None) -> None:
    # A lost connection sends SIGHUP twice (kernel and shell): the second must not interrupt the ending of programs.
    signal.signal(signal_number, signal.SIG_IGN)
    interrupt()
