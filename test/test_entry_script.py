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
from so101_workspace import activation, build, command_line, environment, installer, interpreter, stamp
from so101_workspace.failure import Failure
from so101_workspace.layout import Layout
from so101_workspace.lock import workspace_lock
from so101_workspace.terminal import Outcome

ROOT = Path(__file__).parents[1]
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
def workspace(tmp_path: Path) -> Path:
    """A workspace with the entry script, its requirements and one package; no environment."""
    folder = tmp_path / "ws"
    folder.mkdir()
    shutil.copy2(ROOT / "so101", folder / "so101")
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "src" / "so101_tools" / "so101_tools" / "demo").mkdir(parents=True)
    (folder / "src" / "so101_tools" / "so101_tools" / "demo" / "__main__.py").write_text("")
    (folder / "src" / "so101_tools" / "so101_tools" / "view.py").write_text("")
    return folder


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
    return {"PATH": str(bin_folder), "HOME": str(home), "UV_HTTP_RETRIES": "0", **variables}


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def with_compiler(folder: Path) -> None:
    for name in ("cc", "c++"):
        program(folder, name, "exit 0")


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line a failed command ends with; never a traceback."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    lines = [
        line for line in done.stderr.splitlines() if line.startswith("so101: ") and not line.startswith("so101: [")
    ]
    assert len(lines) == 1, done.stderr
    return lines[0]


# Refusals.


def test_an_unknown_verb_is_answered_with_those_that_exist(so101: Run) -> None:
    line = complaint(so101("dance"))
    assert line == "so101: 'dance' is not one of: setup, build, test, launch, ros, demo, view"


def test_help_shows_only_verbs_that_exist(so101: Run) -> None:
    done = so101("help")
    assert done.returncode == 0
    assert "demo ..." in done.stdout and "view ..." in done.stdout
    assert "bench" not in done.stdout


def test_a_wrong_profile_is_named(so101: Run) -> None:
    assert "robot, server, all (default all), not 'robots'" in complaint(so101("setup", "robots"))


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


# What a verb needs.

BASE, ROBOT, SERVER, ALL = frozenset({"base"}), *(environment.PROFILES[name] for name in ("robot", "server", "all"))


@pytest.mark.parametrize(
    ("words", "needs"),
    [
        ("--show-args", BASE),
        ("robot.launch.xml", ROBOT),
        ("robot.launch.xml record:=false", ROBOT),
        ("robot.launch.xml debug_visualize_queue_size:=true", ROBOT),
        ("robot.launch.xml record:=true", ROBOT | {"tools"}),
        ("launch/so101_lab_robot.launch.xml record:=True", ROBOT | {"tools"}),
        ("server.launch.xml", SERVER),
        ("view.launch.xml", ROBOT),
        ("replay.launch.xml bag:=b", ROBOT | {"tools"}),
        ("replay.launch.xml bag:=b to:=arm sim:=true", ROBOT | {"tools", "sim"}),
        ("replay.launch.xml bag:=b to:=policy_server checkpoint:=none", ROBOT | {"tools"}),
        ("replay.launch.xml bag:=b to:=policy_server checkpoint:=folder", ROBOT | {"tools", "server"}),
        ("sim.launch.xml", ALL),
        ("my_own.launch.xml", ALL),
    ],
)
def test_a_launch_file_gets_what_it_starts_and_no_torch_beside_it(words: str, needs: frozenset[str]) -> None:
    assert command_line._launch_needs(words.split()) == needs


def test_the_doctor_brings_what_it_talks_to_the_arm_with_only_when_asked_about_the_robot() -> None:
    assert command_line._tool_needs("doctor", ["--port", "/dev/ttyACM0", "robot"]) == ROBOT
    assert command_line._tool_needs("doctor", ["network"]) == BASE


# What is trusted.


@pytest.fixture
def layout(workspace: Path) -> Iterator[Layout]:
    made = Layout(workspace)
    made.python.parent.mkdir(parents=True)
    made.python.write_text("")
    yield made


def finish(layout: Layout, groups: frozenset[str]) -> None:
    inputs = environment._inputs(layout, groups)
    stamp.write(layout.venv / ".so101.json", {"groups": sorted(groups), "inputs": inputs})


def test_a_finished_environment_is_trusted_until_its_requirements_change(layout: Layout) -> None:
    robot = environment.PROFILES["robot"]
    assert environment.groups_installed(layout) == frozenset()
    finish(layout, robot)
    assert environment.groups_installed(layout) == robot
    with (layout.requirements / "robot.txt").open("a") as file:
        file.write("another\n")
    assert environment.groups_installed(layout) == frozenset()


def change_requirements(layout: Layout) -> None:
    with (layout.requirements / "constraints.txt").open("a") as file:
        file.write("another==1.0\n")


@pytest.mark.parametrize(("had", "gets"), [(frozenset(), ALL), (ROBOT, ROBOT)])
def test_a_verb_content_with_any_environment_renews_what_the_machine_had(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, had: frozenset[str], gets: frozenset[str]
) -> None:
    if had:
        finish(layout, had)
    change_requirements(layout)
    installed = []
    monkeypatch.setattr(environment, "check_host", lambda wanted: None)
    monkeypatch.setattr(environment, "prepare", lambda layout, wanted: installed.append(wanted))
    command_line.ready(layout, BASE)
    assert installed == [gets]


def test_a_renewal_that_fails_does_not_forget_what_the_machine_had(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object) -> None:
        raise Failure("the package index cannot be reached")

    finish(layout, ROBOT)
    monkeypatch.setattr(installer, "find_uv", lambda layout: "uv")
    monkeypatch.setattr(environment, "_python_works", lambda layout: True)
    monkeypatch.setattr(environment, "_install", no_network)
    with pytest.raises(Failure):
        environment.prepare(layout, BASE)
    assert environment.groups_installed(layout) == frozenset()
    assert environment.groups_recorded(layout) == ROBOT


def test_an_environment_that_was_moved_is_not_trusted(layout: Layout) -> None:
    finish(layout, environment.PROFILES["robot"])
    moved = layout.root.with_name("moved")
    layout.root.rename(moved)
    assert environment.groups_installed(Layout(moved)) == frozenset()


def test_a_damaged_stamp_counts_as_none(layout: Layout) -> None:
    finish(layout, environment.PROFILES["robot"])
    (layout.venv / ".so101.json").write_text('{"groups": ["ba')
    assert environment.groups_installed(layout) == frozenset()


def test_packages_with_missing_or_cut_files_are_found(tmp_path: Path) -> None:
    for name, recorded, present in (
        ("whole", 3, b"abc"),
        ("cut", 3, b"a"),
        ("gone", 3, None),
        ("unsized", "", b"abc"),
        ("grown", 3, b"abcd"),
    ):
        info = tmp_path / f"{name}_pkg-1.0.dist-info"
        info.mkdir()
        (info / "RECORD").write_text(
            f"{name}.py,sha256=x,{recorded}\n{name}_pkg-1.0.dist-info/RECORD,,\n{name}.pyc,,9\n"
        )
        if present is not None:
            (tmp_path / f"{name}.py").write_bytes(present)
    (tmp_path / "norecord-2.0.dist-info").mkdir()
    assert environment.damaged_packages(tmp_path) == {"cut-pkg", "gone-pkg", "norecord"}


# What is built.


@pytest.fixture
def built(layout: Layout) -> Layout:
    """A workspace whose packages all count as built."""
    for name, folder in (("so101_msgs", "msg"), ("so101_tools", "src/so101_tools"), ("so101_bringup", "launch")):
        (layout.root / folder).mkdir(exist_ok=True, parents=True)
        (layout.root / folder / "package.xml").write_text(f"<package><name>{name}</name></package>")
    (layout.root / "config").mkdir()
    (layout.root / "msg" / "A.msg").write_text("int32 a\n")
    layout.install.mkdir()
    (layout.install / "setup.bash").write_text("")
    stamp.write(layout.install / ".so101.json", {"packages": build.out_of_date(layout)})
    return layout


@pytest.mark.parametrize(
    ("path", "package"),
    [
        ("msg/A.msg", "so101_msgs"),
        ("msg/B.msg", "so101_msgs"),
        ("src/so101_tools/setup.py", "so101_tools"),
        ("src/so101_tools/policies/new/model.safetensors", "so101_tools"),
        ("launch/new.launch.xml", "so101_bringup"),
        ("config/new.yaml", "so101_bringup"),
    ],
)
def test_only_the_package_that_changed_is_built_again(built: Layout, path: str, package: str) -> None:
    assert build.out_of_date(built) == {}
    file = built.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("int32 changed\n")
    assert set(build.out_of_date(built)) == {package}


@pytest.mark.parametrize("path", ["src/so101_tools/so101_tools/new.py", "src/so101_tools/test/test_new.py"])
def test_python_modules_and_tests_need_no_build(built: Layout, path: str) -> None:
    (built.root / path).parent.mkdir(parents=True, exist_ok=True)
    (built.root / path).write_text("x = 1\n")
    assert build.out_of_date(built) == {}


def test_without_install_everything_is_built(built: Layout) -> None:
    shutil.rmtree(built.install)
    assert set(build.out_of_date(built)) == {"so101_msgs", "so101_tools", "so101_bringup"}


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
    assert "`ros2 run so101_tools doctor`" in line and "a second clone" in line
    assert list((workspace / "install").iterdir()) == [marker]
    assert not (workspace / ".venv").exists()


def test_help_is_given_beside_a_foreign_build_too(so101: Run, workspace: Path) -> None:
    built_by_colcon(Layout(workspace))
    assert so101("help").returncode == 0


def test_a_first_build_that_was_interrupted_is_known_as_ours(built: Layout) -> None:
    def colcon(*_command: object, **_options: object) -> Outcome:
        (built.install / ".colcon_install_layout").write_text("isolated\n")
        raise KeyboardInterrupt

    shutil.rmtree(built.install)
    with pytest.raises(KeyboardInterrupt):
        build.run(built, colcon)
    build.refuse_foreign_install(built)
    assert len(build.out_of_date(built)) == 3


# What it finds.


def test_a_virtual_environment_leads_to_the_python_it_was_made_of() -> None:
    found = interpreter.probe(sys.executable)
    assert found is not None
    assert found.version == sys.version_info[:2]
    assert not Path(found.path).is_relative_to(sys.prefix) or sys.prefix == sys.base_prefix


def test_a_program_that_is_no_python_is_passed_over() -> None:
    assert interpreter.probe("/bin/true") is None
    assert interpreter.probe("/no/such/python") is None


def test_every_python_of_pyenv_is_a_candidate_newest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("3.12.1", "3.12.10", "3.11.7"):
        path = tmp_path / "versions" / version / "bin" / "python3.12"
        path.parent.mkdir(parents=True)
        path.write_text("")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    found = [path for path in interpreter.candidates() if path.startswith(str(tmp_path))]
    assert [Path(path).parents[1].name for path in found] == ["3.12.10", "3.12.1"]


def test_uv_is_given_the_index_that_only_pip_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://mirror.example/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    assert installer.environment(Layout(tmp_path))["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://other.example/simple")
    assert installer.environment(Layout(tmp_path))["UV_DEFAULT_INDEX"] == "https://other.example/simple"


def test_a_failed_download_is_told_from_a_full_disk(tmp_path: Path) -> None:
    for text, word in (("Network is unreachable", "network"), ("No space left on device", "disk full")):
        failure = installer.explain(Outcome(2, text), "installing packages", tmp_path)
        assert isinstance(failure, Failure)
        assert word in str(failure) and "\n" not in str(failure)


# What programs run with.


def test_another_ros_installation_does_not_shine_through(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/opt/ros/jazzy")
    monkeypatch.setenv("PYTHONPATH", "/opt/ros/jazzy/lib/python3.12/site-packages")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/ros/jazzy/lib:/usr/local/cuda/lib64")
    env = activation.underlay(layout)
    assert env["AMENT_PREFIX_PATH"] == str(layout.venv)
    assert "PYTHONPATH" not in env
    assert env["LD_LIBRARY_PATH"].split(":") == [str(layout.venv / "lib"), "/usr/local/cuda/lib64"]
    assert env["PATH"].split(":")[0] == str(layout.venv / "bin")


def test_what_the_setup_script_adds_is_put_before_what_is_there(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    layout.install.mkdir()
    (layout.install / "setup.bash").write_text("export PATH=/ws/bin:$PATH PYTHONPATH=/ws/lib A='two words'\n")
    env = activation.overlay(layout, activation.record(layout))
    assert env["PATH"].split(":") == ["/ws/bin", str(layout.venv / "bin"), "/usr/bin"]
    assert (env["PYTHONPATH"], env["A"]) == ("/ws/lib", "two words")
