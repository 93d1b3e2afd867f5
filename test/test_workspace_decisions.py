# SPDX-License-Identifier: Apache-2.0
"""What `./so101` decides without running anything: what a verb needs, what it trusts, builds, finds and runs with."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from so101_workspace import activation, build, command_line, environment, installer, interpreter, stamp
from so101_workspace.failure import Failure
from so101_workspace.layout import Layout
from so101_workspace.terminal import Outcome

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


def test_a_checkpoint_is_migrated_where_it_is_served_without_robot_and_simulator() -> None:
    assert command_line._tool_needs("policy", ["migrate", "folder"]) == environment.PROFILES["server"]
    assert command_line._tool_needs("policy", ["make"]) == environment.PROFILES["all"]


# What is trusted.


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


@pytest.mark.parametrize("line", ["VIRTUAL_ENV='{}'", 'VIRTUAL_ENV="{}"', "    export VIRTUAL_ENV={}"])
@pytest.mark.parametrize("before", ["", "/mnt"])
def test_an_environment_knows_the_place_it_was_made_for(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, line: str, before: str
) -> None:
    """Also where the old path ends as the new one does: a disk that was mounted elsewhere."""
    found = interpreter.Interpreter(str(layout.python), interpreter.WANTED, has_headers=True)
    monkeypatch.setattr(interpreter, "probe", lambda path: found)
    place = f"{before}{layout.venv}"
    (layout.venv / "bin" / "activate").write_text(f"# comment\n{line.format(place)}\nexport VIRTUAL_ENV\n")
    assert environment._made_for(layout) == place
    assert environment._python_works(layout) == (before == "")


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


_BUILT = (
    ("so101_msgs", "msg"),
    ("so101_shipped_policies", "src/so101_shipped_policies"),
    ("so101_bringup", "launch"),
    ("so101_config", "config"),
)


@pytest.fixture
def built(layout: Layout) -> Layout:
    """A workspace whose packages all count as built."""
    for name, folder in _BUILT:
        (layout.root / folder).mkdir(exist_ok=True, parents=True)
        (layout.root / folder / "package.xml").write_text(f"<package><name>{name}</name></package>")
    (layout.root / "msg" / "A.msg").write_text("int32 a\n")
    (layout.root / "msg" / "CMakeLists.txt").write_text("project(so101_msgs)\n")
    for name in (name for name, _folder in _BUILT):
        (layout.install / name).mkdir(parents=True)
        (layout.build / name).mkdir(parents=True)
    (layout.install / "setup.bash").write_text("")
    stamp.write(layout.install / ".so101.json", {"packages": build.out_of_date(layout)})
    return layout


@pytest.mark.parametrize(
    ("path", "package"),
    [
        ("msg/A.msg", "so101_msgs"),
        ("msg/B.msg", "so101_msgs"),
        ("src/so101_shipped_policies/setup.py", "so101_shipped_policies"),
        ("src/so101_shipped_policies/policies/new/model.safetensors", "so101_shipped_policies"),
        ("launch/new.launch.xml", "so101_bringup"),
        ("config/new.yaml", "so101_config"),
    ],
)
def test_only_the_package_that_changed_is_built_again(built: Layout, path: str, package: str) -> None:
    assert build.out_of_date(built) == {}
    file = built.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("int32 changed\n")
    assert set(build.out_of_date(built)) == {package}


@pytest.mark.parametrize("path", ["src/so101_bag/so101_bag/new.py", "src/so101_bag/test/test_new.py"])
def test_python_modules_and_tests_need_no_build(built: Layout, path: str) -> None:
    (built.root / path).parent.mkdir(parents=True, exist_ok=True)
    (built.root / path).write_text("x = 1\n")
    assert build.out_of_date(built) == {}


def test_a_package_whose_installed_folder_was_removed_is_built_again(built: Layout) -> None:
    shutil.rmtree(built.install / "so101_msgs")
    assert set(build.out_of_date(built)) == {"so101_msgs"}


def test_messages_are_built_from_nothing_after_one_was_added(built: Layout) -> None:
    """What a build folder holds of the old set of messages is not linked with the new set."""
    (built.root / "msg" / "B.msg").write_text("int32 b\n")
    (built.build / "so101_msgs" / "libold.so").write_text("")
    (built.build / "so101_shipped_policies" / "kept").write_text("")
    found: list[bool] = []

    def colcon(*_command: object, **_options: object) -> Outcome:
        found.append((built.build / "so101_msgs").exists() or (built.install / "so101_msgs").exists())
        return Outcome(0, "")

    build.run(built, colcon)
    assert found == [False]
    assert (built.build / "so101_shipped_policies" / "kept").exists()


def test_a_verb_builds_its_package_and_what_that_depends_on(built: Layout) -> None:
    demo = built.root / "src" / "so101_demo"  # is there, without a package.xml
    (demo / "package.xml").write_text(
        "<package><name>so101_demo</name><exec_depend>so101_msgs</exec_depend><exec_depend>rclpy</exec_depend></package>"
    )
    (built.root / "msg" / "A.msg").write_text("int32 changed\n")
    (built.root / "config" / "new.yaml").write_text("")
    assert set(build.out_of_date(built, "so101_demo")) == {"so101_demo", "so101_msgs"}
    assert set(build.out_of_date(built)) == {"so101_demo", "so101_msgs", "so101_config"}

    def colcon(command: list[str], *_rest: object, **_options: object) -> Outcome:
        assert command[command.index("--packages-select") :][1:3] == ["so101_demo", "so101_msgs"]
        for name in ("so101_demo", "so101_msgs"):
            (built.install / name).mkdir(exist_ok=True)
        return Outcome(0, "")

    build.run(built, colcon, "so101_demo")
    assert build.out_of_date(built, "so101_demo") == {}
    assert set(build.out_of_date(built)) == {"so101_config"}


def test_without_install_everything_is_built(built: Layout) -> None:
    shutil.rmtree(built.install)
    assert set(build.out_of_date(built)) == {name for name, _folder in _BUILT}


def test_a_first_build_that_was_interrupted_is_known_as_ours(built: Layout) -> None:
    def colcon(*_command: object, **_options: object) -> Outcome:
        (built.install / ".colcon_install_layout").write_text("isolated\n")
        raise KeyboardInterrupt

    shutil.rmtree(built.install)
    with pytest.raises(KeyboardInterrupt):
        build.run(built, colcon)
    build.refuse_foreign_install(built)
    assert len(build.out_of_date(built)) == len(_BUILT)


def build_with(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Build with a colcon that leaves what it would install; the variables are those of the place."""

    def colcon(*_command: object, **_options: object) -> Outcome:
        layout.build.mkdir(exist_ok=True)
        layout.install.mkdir(exist_ok=True)
        (layout.build / "CMakeCache.txt").touch()
        (layout.install / "setup.bash").touch()
        for name in build.packages(layout):
            (layout.install / name).mkdir(exist_ok=True)
        return Outcome(0, "")

    monkeypatch.setattr(activation, "record", lambda layout: {"COLCON_PREFIX_PATH": str(layout.install)})
    build.run(layout, colcon)


@pytest.mark.parametrize("record", ["present", "as before this was recorded"])
def test_a_workspace_that_was_moved_after_its_build_is_built_from_nothing_with_a_line(
    built: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], record: str
) -> None:
    """CMake refuses a build folder that has moved, and links in install/ lead to the sources of the old place."""
    shutil.rmtree(built.install)
    build_with(built, monkeypatch)
    assert build.built_elsewhere(built) is None and build.out_of_date(built) == {}
    if record != "present":
        old = stamp.read(built.install / ".so101.json")
        del old["root"]
        stamp.write(built.install / ".so101.json", old)
    (built.build / "of the old place").touch()
    (built.install / "of the old place").touch()
    copy = Layout(built.root.with_name("copy"))
    shutil.copytree(built.root, copy.root)
    assert build.built_elsewhere(copy) == str(built.root)
    capsys.readouterr()
    build_with(copy, monkeypatch)
    assert f"built in {built.root}; building it again" in capsys.readouterr().err
    assert not (copy.build / "of the old place").exists() and not (copy.install / "of the old place").exists()
    assert (built.build / "of the old place").exists()
    assert build.built_elsewhere(copy) is None and build.out_of_date(copy) == {}


def test_a_first_build_that_was_interrupted_and_moved_is_begun_again(built: Layout) -> None:
    def colcon(*_command: object, **_options: object) -> Outcome:
        raise KeyboardInterrupt

    shutil.rmtree(built.install)
    with pytest.raises(KeyboardInterrupt):
        build.run(built, colcon)
    moved = Layout(built.root.with_name("moved"))
    built.root.rename(moved.root)
    assert build.built_elsewhere(moved) == str(built.root)


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


def test_every_verb_of_this_workspace_is_there_whether_its_module_is_a_file_or_a_folder() -> None:
    """`./so101 call` is a file, so101_doctor/call.py: it was told to be no verb."""
    assert command_line._present_tools(command_line.this_workspace()) == list(command_line._TOOLS)


@pytest.mark.parametrize("built", [False, True])
def test_a_call_waits_for_no_build_once_there_was_one(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, built: bool
) -> None:
    """After a first demo `./so101 call emergency_stop` compiled the rest of the workspace first."""
    monkeypatch.setattr(command_line, "_present_tools", lambda _: list(command_line._TOOLS))
    monkeypatch.setattr(command_line, "refuse_missing_middleware", lambda _: None)
    monkeypatch.setattr(environment, "groups_installed", lambda _: frozenset({"base"}))
    done: list[str] = []
    monkeypatch.setattr(command_line, "ready", lambda _layout, _needs, package: done.append(f"builds {package}"))
    monkeypatch.setattr(os, "execvpe", lambda _program, command, _env: done.append(command[3]))
    if built:
        (layout.install / "so101_doctor").mkdir(parents=True)
    command_line._dispatch(layout, ["call", "stop"])
    assert done == [*([] if built else ["builds so101_doctor"]), "so101_doctor.call"]


def test_what_looks_at_a_robot_hears_other_computers_and_what_brings_its_own_does_not(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With fastdds_udp.xml `./so101 doctor network` heard nobody, and told the shell to unset what it had not set."""
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    monkeypatch.setattr(command_line, "this_workspace", lambda: layout)
    monkeypatch.setattr(command_line, "ready", lambda *_: None)
    monkeypatch.setattr(command_line, "_present_tools", lambda _: list(command_line._TOOLS))
    monkeypatch.setattr(os, "chdir", lambda _: None)
    chosen = {}

    def become(_program: str, command: list[str], env: dict[str, str]) -> None:
        profile = Path(env["FASTRTPS_DEFAULT_PROFILES_FILE"]).stem.removeprefix("fastdds_")
        module = command[2] if command[2] == "pytest" else command[3]
        chosen[module.rpartition(".")[2].removeprefix("so101_")] = profile

    monkeypatch.setattr(os, "execvpe", become)
    for verb in ("doctor", "view", "record", "replay", "launch", "demo", "bench", "tune", "policy", "test"):
        command_line._dispatch(layout, [verb])
    looking = dict.fromkeys(("doctor", "view", "record", "replay", "launch_runner"), "network")
    assert chosen == {**looking, **dict.fromkeys(("demo", "bench", "tune", "policy", "pytest"), "udp")}


def test_programs_meet_without_shared_memory_unless_somebody_chose(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    for alone, profile in ((True, "fastdds_udp.xml"), (False, "fastdds_network.xml")):
        env = activation.overlay(layout, {}, alone=alone)
        assert env["FASTRTPS_DEFAULT_PROFILES_FILE"] == str(layout.root / "config" / profile)
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", "/my/own.xml")
    assert "FASTRTPS_DEFAULT_PROFILES_FILE" not in activation.overlay(layout, {})
