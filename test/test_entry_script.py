# SPDX-License-Identifier: Apache-2.0
"""`./so101` before there is an environment: what it finds, what it refuses with one line, what it leaves behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from so101_workspace import command_line, environment, interpreter, option_page, shell_variables, terminal
from so101_workspace.failure import Failure
from so101_workspace.layout import Layout
from so101_workspace.lock import workspace_lock

TOOLS = ("sh", "dirname", "readlink", "env", "bash", "sleep", "cat")  # what the scripts themselves call
WAIT_S = 60.0

type Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def hang_up() -> Iterator[None]:
    """SIGHUP as a terminal's programs have it, though whoever runs these tests may have said nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """The whole PATH of the runs below: a python3 that is not 3.12 unless a test adds one, and nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        (folder / name).symlink_to(str(shutil.which(name)))
    (folder / "python3").symlink_to(Path(sys.executable).resolve())
    return folder


@pytest.fixture
def so101(workspace: Path, bin_folder: Path, tmp_path: Path) -> Run:
    """Run the workspace's ./so101 on a machine that has only what `bin_folder` holds."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(workspace / "so101"), *arguments],
            env=machine(bin_folder, tmp_path, **variables),
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )

    return run


def machine(bin_folder: Path, home: Path, **variables: str) -> dict[str, str]:
    defaults = {"PATH": str(bin_folder), "HOME": str(home), "UV_HTTP_RETRIES": "0", "SO101_ROS": "wheels"}
    return {**defaults, **variables}


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def with_compiler(folder: Path) -> None:
    for name in ("cc", "c++"):
        program(folder, name, "exit 0")


def complaint(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """The one line a failed command ends with; never a traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("so101") and not line.startswith("so101: [")]
    assert len(lines) == 1, done.stderr
    return lines[0]


# Refusals.


def test_an_unknown_verb_is_answered_with_those_that_exist(so101: Run) -> None:
    line = complaint(so101("dance"), 2)
    assert line == "so101: 'dance' is not one of: setup, build, test, launch, ros, demo, view"


def test_help_shows_only_verbs_that_exist(so101: Run) -> None:
    done = so101("help")
    assert done.returncode == 0
    assert {so101(*words).stdout for words in (("help", "--help"), ("-h", "--help"), ("help", "help"))} == {done.stdout}
    assert "demo ..." in done.stdout and "view ..." in done.stdout
    assert "bench" not in done.stdout


@pytest.mark.parametrize("verb", ["setup", "build", "ros"])
def test_a_verb_that_has_no_program_says_what_it_takes_and_sets_nothing_up(
    so101: Run, workspace: Path, verb: str
) -> None:
    done = so101(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert f"  {verb} " in done.stdout and "demo" not in done.stdout
    assert not (workspace / ".venv").exists()


@pytest.fixture
def with_page(workspace: Path) -> Path:
    """The workspace with the page of options, as a clone has it."""
    page = Layout(workspace).option_page
    page.parent.mkdir(parents=True)
    shutil.copy2(command_line.this_workspace().option_page, page)
    return workspace


@pytest.mark.parametrize(
    ("words", "first", "has"),
    [
        ("demo --help", "usage: so101 demo ", "--policy-delay"),
        ("demo --task belt -h", "usage: so101 demo ", "--policy-delay"),
        ("help demo", "usage: so101 demo ", "--policy-delay"),
        ("view --help", "usage: so101 view ", "--no-browser"),
        ("test --help", "usage of ./so101:", "  test "),
        ("launch --help", "usage of ./so101:", "  launch "),
        ("launch robot --help", "usage of ./so101:", "robot.launch.xml"),
        ("help setup", "usage of ./so101:", "  setup "),
        ("setup robot --help", "usage of ./so101:", "  setup "),
    ],
)
def test_a_help_comes_before_anything_is_installed(
    with_page: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    first: str,
    has: str,
) -> None:
    """In a fresh clone `./so101 demo --help` installed for a minute and a half first."""
    (with_page / "launch").mkdir()
    (with_page / "launch" / "robot.launch.xml").touch()
    monkeypatch.setattr(command_line, "ready", lambda *_: pytest.fail("something was to be installed"))
    assert command_line._dispatch(Layout(with_page), words.split()) == 0
    told = capsys.readouterr()
    assert told.out.startswith(first) and has in told.out and told.err == ""
    assert not (with_page / ".venv").exists()


def test_the_parts_of_a_verb_have_a_help_of_their_own(with_page: Path) -> None:
    asked = option_page.help_of(Layout(with_page), ["policy", "compare", "--help"])
    assert asked.startswith("usage: so101 policy compare ") and "--delays-ms" in asked
    assert option_page.help_of(Layout(with_page), ["policy", "--help"]).startswith("usage: so101 policy [-h]")
    assert option_page.help_of(Layout(with_page), ["policy", "dance", "-h"]).startswith("usage: so101 policy [-h]")


def test_without_the_page_of_options_a_help_sets_up_and_says_so(so101: Run) -> None:
    done = so101("demo", "--help")
    assert "first use in this folder: what it needs is installed and built, then it begins" in done.stderr
    assert complaint(done).startswith("so101: no C++ compiler found")


def test_what_is_set_up_prints_its_help_itself(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "groups_installed", lambda _: environment.PROFILES["all"])
    monkeypatch.setattr(command_line.build, "out_of_date", lambda *_: {})
    assert command_line._help_at_once(layout, "demo", ["--help"]) == ""
    assert command_line._help_at_once(layout, "launch", ["--help"]) == ""
    assert command_line._help_at_once(layout, "ros", ["--help"])


def test_a_help_behind_ros_is_that_of_its_command() -> None:
    assert not option_page.is_wanted("ros", ["python", "--help"])
    assert option_page.is_wanted("ros", ["--help"])


def test_a_wrong_profile_is_named(so101: Run) -> None:
    line = complaint(so101("setup", "robots"), 2)
    assert line == "so101 setup: takes one of: robot, server, ray, all (default all), not 'robots'"


def test_what_build_and_ros_do_not_take_is_a_wrong_command_line(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command_line, "this_workspace", lambda: layout)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    for words, said in (
        (["build", "so101_node"], "so101 build: takes no arguments, not 'so101_node'\n"),
        (["ros"], "so101 ros: name a command to run inside the environment, such as: ./so101 ros python\n"),
        (["setup", "--ros"], "so101 setup: --ros needs one of: apt, wheels, the folder of a ROS 2 Jazzy\n"),
    ):
        assert command_line.main(words) == 2
        assert capsys.readouterr().err == said


def test_a_machine_without_python_is_told_what_to_install(workspace: Path, bin_folder: Path, tmp_path: Path) -> None:
    (bin_folder / "python3").unlink()
    text = (workspace / "so101").read_text().replace(" /usr/bin/python3", "")
    (workspace / "so101").write_text(text)
    done = subprocess.run(
        [str(workspace / "so101"), "setup"],
        env=machine(bin_folder, tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "apt-get install python3" in done.stderr


def test_a_path_with_a_space_is_refused_before_anything_is_made(
    so101: Run, workspace: Path, bin_folder: Path, tmp_path: Path
) -> None:
    moved = workspace.rename(workspace.with_name("my robot"))
    done = subprocess.run(
        [str(moved / "so101"), "setup", "robot"],
        env=machine(bin_folder, tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "my robot" in complaint(done) and "move the workspace" in complaint(done)
    assert not (moved / ".venv").exists() and not (moved / ".tools").exists()


def test_a_ros_that_is_not_there_is_named(so101: Run) -> None:
    assert "no ROS 2 in /no/ros" in complaint(so101("setup", "robot", "--ros", "/no/ros"))
    assert "no ROS 2 in /nor/here" in complaint(so101("setup", "robot", SO101_ROS="/nor/here"))


def test_without_a_compiler_the_line_to_type_is_printed(so101: Run, bin_folder: Path) -> None:
    line = complaint(so101("setup", "robot"))
    assert line.startswith("so101: no C++ compiler found") and line.endswith("(Debian: g++)")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may install")
def test_root_installs_what_is_missing_and_says_so_if_that_fails(so101: Run, bin_folder: Path, tmp_path: Path) -> None:
    program(bin_folder, "apt-get", f'echo "$@" >> {tmp_path}/apt.log')
    line = complaint(so101("setup", "robot"))
    assert "still missing" in line and "apt-get install -y --no-install-recommends g++" in line
    assert (tmp_path / "apt.log").read_text().splitlines()[-1].endswith("install -y --no-install-recommends g++")


def test_without_python_3_12_and_network_the_remedy_is_named(so101: Run, bin_folder: Path, tmp_path: Path) -> None:
    with_compiler(bin_folder)
    program(bin_folder, "uv", 'case "$1" in --version) echo "uv 0.9.0";; *) echo "error: dns error"; exit 2;; esac')
    program(bin_folder, "python3.12", "exit 127")  # as a pyenv shim without that version
    program(bin_folder, "python3", f'[ "$1" = -I ] && exit 1; exec {Path(sys.executable).resolve()} "$@"')
    if interpreter.probe("/usr/bin/python3.12") or interpreter.probe("/usr/local/bin/python3.12"):
        pytest.skip("this machine has a Python 3.12 in a place that cannot be hidden")
    line = complaint(so101("setup", "robot"))
    assert "no Python 3.12 found" in line and "pyenv install 3.12" in line


def with_uv_that(bin_folder: Path, installs: str) -> None:
    """A machine with compiler, Python 3.12 and a uv that makes the venv, and runs these shell words to install."""
    with_compiler(bin_folder)
    (bin_folder / "python3.12").symlink_to(Path(sys.executable).resolve())
    program(
        bin_folder,
        "uv",
        f"""case "$1" in
        --version) echo "uv 0.9.0";;
        venv) for last; do :; done; exec {sys.executable} -ISs -m venv --without-pip "$last";;
        *) {installs};;
        esac""",
    )


@pytest.mark.parametrize(
    ("says", "remedy"),
    [
        ("error: Failed to fetch: `https://index/simple/x/`\n Caused by: dns error", "UV_DEFAULT_INDEX"),
        ("error: failed to write: No space left on device (os error 28)", "disk full"),
        ("error: something else", "failed with exit code 2 (error: something else)"),
    ],
)
def test_a_failed_installation_names_its_remedy(so101: Run, bin_folder: Path, says: str, remedy: str) -> None:
    with_uv_that(bin_folder, f"""echo '{says}'; exit 2""")
    assert remedy in complaint(so101("setup", "robot"))


def test_an_interrupted_setup_leaves_no_program_and_no_stamp(workspace: Path, bin_folder: Path, tmp_path: Path) -> None:
    with_uv_that(bin_folder, f"""echo $$ > {tmp_path}/pid; exec sleep 600""")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        (tmp_path / "pid").unlink(missing_ok=True)
        # As a background command of a script: SIGINT is ignored until somebody takes it up again.
        process = subprocess.Popen(
            ["sh", "-c", 'trap "" INT; exec "$0" setup robot', str(workspace / "so101")],
            env=machine(bin_folder, tmp_path),
            stderr=subprocess.PIPE,
        )
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
        process.send_signal(number)
        _out, errors = process.communicate(timeout=WAIT_S)
        assert process.returncode == 130, errors
        assert errors.decode().splitlines()[-1] == "so101: interrupted; type the same again to go on"
        assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
        assert environment.groups_installed(Layout(workspace)) == frozenset()


def test_an_interrupt_while_a_program_is_being_started_does_not_leave_it_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It came before the program was known to those who end programs: seen on a busy machine."""
    begun: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *words: object, **named: object) -> None:
            super().__init__(*words, **named)  # type: ignore[call-overload]
            begun.append(self)
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, command_line._as_interrupt)
    monkeypatch.setattr(terminal.subprocess, "Popen", Interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            terminal.run_quiet(["sleep", "600"])
    finally:
        signal.signal(signal.SIGINT, before)
    terminal.end_programs()
    assert begun[0].poll() is not None


@pytest.fixture
def slow_to_end(bin_folder: Path, tmp_path: Path) -> Path:
    """A uv that takes half a second to end when it is interrupted; returns the file with its process id."""
    with_uv_that(bin_folder, f"""trap 'sleep 0.5; exit 1' INT; echo $$ > {tmp_path}/pid; while :; do sleep 0.1; done""")
    return tmp_path / "pid"


def started(workspace: Path, bin_folder: Path, home: Path, trap: str, uv: Path) -> subprocess.Popen[bytes]:
    """`./so101 setup robot`, once its uv installs."""
    process = subprocess.Popen(
        ["sh", "-c", trap + ' exec "$0" setup robot', str(workspace / "so101")],
        env=machine(bin_folder, home),
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: uv.exists() and uv.read_text().strip())
    return process


def test_a_connection_lost_during_setup_ends_it_though_it_is_said_twice(
    workspace: Path, bin_folder: Path, tmp_path: Path, slow_to_end: Path
) -> None:
    process = started(workspace, bin_folder, tmp_path, "", slow_to_end)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)  # a signal that comes before the first was handled is one with it
    process.send_signal(signal.SIGHUP)
    assert process.wait(WAIT_S) == 130
    assert not Path(f"/proc/{slow_to_end.read_text().strip()}").exists()


def test_a_setup_that_was_started_with_nohup_goes_on(
    workspace: Path, bin_folder: Path, tmp_path: Path, slow_to_end: Path
) -> None:
    process = started(workspace, bin_folder, tmp_path, 'trap "" HUP;', slow_to_end)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_S) == 130


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


# Two at once.


def test_a_second_run_waits_for_the_first(so101: Run, workspace: Path, bin_folder: Path, tmp_path: Path) -> None:
    with workspace_lock(workspace / ".tools"):
        process = subprocess.Popen(
            [str(workspace / "so101"), "setup", "robot"],
            env=machine(bin_folder, tmp_path),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        assert "waiting for another ./so101" in process.stderr.readline()
        assert process.poll() is None
    process.communicate(timeout=WAIT_S)
    assert process.returncode == 1  # for want of a compiler, after its turn had come


# What is left alone.


def built_by_colcon(layout: Layout) -> Path:
    layout.install.mkdir()
    marker = layout.install / ".colcon_install_layout"
    marker.write_text("isolated\n")
    return marker


@pytest.mark.parametrize("words", ["setup robot", "build", "test", "launch robot.launch.xml", "demo"])
def test_what_plain_colcon_built_is_not_replaced(so101: Run, workspace: Path, words: str) -> None:
    marker = built_by_colcon(Layout(workspace))
    line = complaint(so101(*words.split()))
    assert "install/ was built by plain colcon" in line
    assert "`ros2 run so101_doctor doctor`" in line and "a second clone" in line
    assert list((workspace / "install").iterdir()) == [marker]
    assert not (workspace / ".venv").exists()


def test_help_is_given_beside_a_foreign_build_too(so101: Run, workspace: Path) -> None:
    built_by_colcon(Layout(workspace))
    assert so101("help").returncode == 0


def test_a_middleware_that_is_not_there_is_told_before_anything_starts(tmp_path: Path) -> None:
    index = tmp_path / "share/ament_index/resource_index/rmw_typesupport"
    index.mkdir(parents=True)
    (index / "rmw_fastrtps_cpp").touch()
    env = {"AMENT_PREFIX_PATH": f"/nowhere:{tmp_path}"}
    shell_variables.refuse_missing_middleware(env)
    shell_variables.refuse_missing_middleware({**env, "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"})
    with pytest.raises(Failure, match="rmw_zenoh_cpp: not installed here, no node would start: unset RMW_IMPL"):
        shell_variables.refuse_missing_middleware({**env, "RMW_IMPLEMENTATION": "rmw_zenoh_cpp"})


def test_a_domain_that_is_none_is_told_before_anything_starts() -> None:
    for domain in ("", "0", "232"):
        shell_variables.refuse_odd_domain({"ROS_DOMAIN_ID": domain})
    for domain in ("233", "abc", "-1", "1 2"):
        with pytest.raises(Failure, match=f"ROS_DOMAIN_ID={domain}: is no whole number from 0 to 232: export ROS_"):
            shell_variables.refuse_odd_domain({"ROS_DOMAIN_ID": domain})


def test_a_workspace_of_another_user_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def not_mine(*_words: object) -> int:
        raise PermissionError(13, "Permission denied", "/opt/so101/.venv/bin/python")

    monkeypatch.setattr(command_line, "_dispatch", not_mine)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        assert command_line.main(["demo"]) == 1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    told = capsys.readouterr().err
    assert (
        "/opt/so101/.venv/bin/python: Permission denied: it is another user's" in told and "sudo chown -R $USER" in told
    )
    assert told.count("\n") == 1
