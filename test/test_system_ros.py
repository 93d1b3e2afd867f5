# SPDX-License-Identifier: Apache-2.0
"""`./so101 setup robot` on a ROS that apt installed: when it is taken, what it asks for, what it builds and runs with.

The ROS here is laid out as apt's is, and holds what these decisions look at; nothing of it runs.
"""

import sys
from pathlib import Path

import pytest
from so101_workspace import activation, build, command_line, environment, host, installer, stamp, system_ros
from so101_workspace.failure import Failure
from so101_workspace.layout import Layout, check_place
from so101_workspace.terminal import Outcome, run_quiet

PYTHON = Path(sys.executable).resolve()

pytestmark = pytest.mark.skipif(sys.version_info[:2] != (3, 12), reason="ROS 2 Jazzy has Python 3.12")


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A ROS with rclpy, made for this Python."""
    folder = tmp_path / "opt" / "ros" / "jazzy"
    site_packages = folder / "lib" / "python3.12" / "site-packages"
    (site_packages / "rclpy").mkdir(parents=True)
    (site_packages / "rclpy" / "__init__.py").write_text("")
    for package in ("rclpy", "ament_cmake"):
        (folder / "share" / package).mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "ros2").write_text(f"#!{PYTHON}\n")
    (folder / "setup.bash").write_text(
        f"export AMENT_PREFIX_PATH={folder} PYTHONPATH={site_packages} LD_LIBRARY_PATH={folder}/lib ROS_DISTRO=jazzy\n"
        f"export PATH={folder}/bin:$PATH\n"
    )
    return folder


@pytest.fixture
def apt(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, where apt puts it."""
    monkeypatch.setattr(system_ros, "APT", prefix)
    return prefix


def on(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.platform, "machine", lambda: machine)
    monkeypatch.setattr(host.platform, "system", lambda: "Linux")
    monkeypatch.setattr(host.platform, "libc_ver", lambda: ("glibc", "2.39"))


# Which ROS.


def test_a_machine_without_wheels_takes_the_ros_that_apt_installed(
    layout: Layout, apt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on("aarch64", monkeypatch)
    assert system_ros.choose(layout) == apt


def test_where_both_are_to_be_had_only_a_robot_computer_is_set_up_on_apts(
    layout: Layout, apt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Demo, tests and server are there with the wheels only."""
    on("x86_64", monkeypatch)
    assert system_ros.choose(layout) is None
    assert system_ros.choose(layout, robot_only=True) == apt
    assert system_ros.choose(layout, "apt") == apt
    assert system_ros.choose(layout, "wheels", robot_only=True) is None
    stamp.write(layout.venv_stamp, {"groups": ["base", "robot"]})  # what was made with the wheels stays with them
    assert system_ros.choose(layout, robot_only=True) is None


def test_an_apt_ros_that_cannot_be_used_is_named_and_the_wheels_are_taken(
    layout: Layout, apt: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on("x86_64", monkeypatch)
    (apt / "bin" / "ros2").write_text("#!/bin/true\n")
    assert system_ros.choose(layout, robot_only=True) is None
    assert "/bin/true" in capsys.readouterr().err


def test_a_raspberry_pi_without_ros_is_told_what_to_do(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(system_ros, "APT", tmp_path / "nothing")
    monkeypatch.delenv("SO101_ROS", raising=False)
    on("aarch64", monkeypatch)
    with pytest.raises(Failure) as caught:
        command_line._setup(layout, ["robot"])
    text = str(caught.value)
    assert "this is Linux on aarch64" in text and "`./so101 setup robot`" in text and "docs/how-to/install.md" in text
    assert (Path(__file__).parents[1] / "docs" / "how-to" / "install.md").is_file()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["robot", "--ros"], "--ros needs one of: apt, wheels"),
        (["robot", "--ros", "/no/ros"], "no ROS 2 in /no/ros (no setup.bash there)"),
        (["--ros", "apt"], "sets up a robot computer"),
        (["server", "--ros", "apt"], "sets up a robot computer"),
        (["robots", "--ros", "apt"], "robot, server, ray, all"),
    ],
)
def test_what_cannot_be_set_up_on_it_is_refused_with_a_line(
    layout: Layout, apt: Path, words: list[str], says: str
) -> None:
    with pytest.raises(Failure) as caught:
        command_line._setup(layout, words)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_ros_without_rclpy_or_of_another_python_is_named(layout: Layout, prefix: Path) -> None:
    (prefix / "bin" / "ros2").write_text("#!/bin/true\n")
    with pytest.raises(Failure, match=r"/bin/true.* does not start; ROS 2 Jazzy has Python 3.12"):
        system_ros.python_of(prefix)
    (prefix / "share" / "rclpy").rmdir()
    with pytest.raises(Failure, match="no rclpy; type: sudo apt-get install ros-jazzy-ros-base"):
        system_ros.choose(layout, str(prefix))


# What it asks for.

MANIFEST = """<package><name>so101_viewer</name>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <exec_depend>rclpy</exec_depend><exec_depend>so101_node</exec_depend><exec_depend>cv_bridge</exec_depend>
  <exec_depend>python3-yaml</exec_depend><exec_depend>python3-no-such-thing</exec_depend>
  <exec_depend>iproute2</exec_depend>
  <test_depend>python3-pytest-nothing</test_depend></package>"""


def test_what_is_missing_is_named_by_its_debian_packages(
    layout: Layout, prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the package.xml files alone: nothing to keep in step by hand."""
    tools, node = tmp_path / "tools.xml", tmp_path / "node.xml"
    tools.write_text(MANIFEST)
    node.write_text("<package><name>so101_node</name><exec_depend>rclpy</exec_depend></package>")
    monkeypatch.setattr(system_ros.shutil, "which", lambda name: None if name == "ip" else f"/bin/{name}")
    missing = set(system_ros.missing_packages(layout, prefix, str(PYTHON), [tools, node]))
    assert missing - {"python3-yaml", "python3-colcon-common-extensions"} == {  # of those this machine may have none
        "iproute2",
        "python3-no-such-thing",
        "ros-jazzy-cv-bridge",
    }


def test_the_real_packages_ask_for_nothing_that_has_no_debian_name() -> None:
    manifests = build.robot_manifests(Layout(Path(__file__).parents[1]))
    keys = {key for path in manifests for key in build.DEPENDS.findall(path.read_text(encoding="utf-8"))}
    assert "rclpy" in keys and "python3-opencv" in keys
    plain = {key for key in keys if not key.startswith("python3-") and "_" not in key}
    ros_without_underscore = {"rclpy", "ros2launch"}
    assert plain - ros_without_underscore <= set(system_ros._PROGRAMS)


def test_a_user_without_rights_is_told_what_to_type(
    layout: Layout, prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tmp_path / "package.xml"
    manifest.write_text(MANIFEST)
    monkeypatch.setattr(host, "require", lambda needs: None)
    monkeypatch.setattr(host, "may_install", lambda: False)
    with pytest.raises(Failure, match=r"sudo sh -c 'apt-get update && apt-get install -y .*ros-jazzy-cv-bridge.*'"):
        system_ros.prepare(layout, prefix, [manifest])
    assert environment.groups_installed(layout) == frozenset()


# What it makes.


@pytest.fixture
def ready(layout: Layout, prefix: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A workspace that was set up on that ROS: a real venv, and pip that installs nothing."""
    monkeypatch.setattr(host, "require", lambda needs: None)
    monkeypatch.setattr(system_ros, "missing_packages", lambda *arguments: [])
    monkeypatch.setattr(system_ros, "run_quiet", lambda command, *rest: run_quiet(without_pip(command), *rest))
    monkeypatch.setattr(system_ros, "run_shown", lambda command, *rest, **options: installed(command))
    command_line._setup(layout, ["robot", "--ros", str(prefix)])
    return layout


def without_pip(command: list[str]) -> list[str]:
    """Pip takes seconds to come into a venv."""
    return [*command, "--without-pip"] if "venv" in command else command


def installed(command: list[str]) -> Outcome:
    assert command[1:4] == ["-m", "pip", "install"] and command[-1].endswith("requirements/system_ros.txt")
    return Outcome(0, "")


def test_the_environment_sees_the_system_and_serves_a_robot(ready: Layout, prefix: Path) -> None:
    assert "include-system-site-packages = true" in (ready.venv / "pyvenv.cfg").read_text()
    assert environment.groups_installed(ready) == {"base", "robot", "tools"}
    assert system_ros.choose(ready) == prefix
    variables = activation.underlay(ready)
    assert variables["AMENT_PREFIX_PATH"] == str(prefix)
    assert variables["PATH"].split(":")[:2] == [str(ready.venv / "bin"), str(prefix / "bin")]
    assert variables["LD_LIBRARY_PATH"].split(":")[0] == str(prefix / "lib")
    assert variables["VIRTUAL_ENV"] == str(ready.venv)


@pytest.mark.parametrize("words", [["demo"], ["test"], ["view"], ["launch", "server.launch.xml"], ["dataset", "bag"]])
def test_a_verb_that_needs_the_wheels_is_refused_and_changes_nothing(
    ready: Layout, prefix: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    module = ready.root / "src" / "so101_bag" / "so101_bag" / "dataset" / "__main__.py"
    module.parent.mkdir(parents=True)
    module.touch()
    before = stamp.read(ready.venv_stamp)
    with pytest.raises(Failure, match="sets up a robot computer"):
        command_line._dispatch(ready, words)
    assert stamp.read(ready.venv_stamp) == before


def test_a_ros_that_is_gone_is_named(ready: Layout, prefix: Path) -> None:
    (prefix / "setup.bash").unlink()
    with pytest.raises(Failure, match="no ROS 2 in"):
        command_line.ready(ready, frozenset({"base"}))


def test_it_is_built_with_the_systems_colcon_by_the_python_that_will_run_it(
    ready: Layout, prefix: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (ready.root / "msg").mkdir()
    (ready.root / "msg" / "package.xml").write_text("<package><name>so101_msgs</name></package>")
    commands: list[list[str]] = []
    underlays: list[str] = []

    def colcon(command: list[str], env: dict[str, str], **options: object) -> Outcome:
        commands.append(command)
        underlays.append(env["AMENT_PREFIX_PATH"])
        ready.install.mkdir(exist_ok=True)
        ready.build.mkdir(exist_ok=True)
        (ready.install / "setup.bash").touch()
        (ready.install / "so101_msgs").mkdir(exist_ok=True)
        return Outcome(0, "")

    monkeypatch.delenv("CMAKE_GENERATOR", raising=False)
    build.run(ready, colcon)
    assert commands[0][:3] == [str(ready.python), "-m", "colcon"]
    assert underlays == [str(prefix)]
    assert not any("python_messages_only" in word for word in commands[0])  # rviz and rosbag2 are C++
    assert build.out_of_date(ready) == {}
    # Back to the wheels: nothing that was built on the other ROS is kept.
    (ready.build / "of apt's ROS").touch()
    stamp.write(ready.venv_stamp, {"groups": ["base"]})
    assert set(build.out_of_date(ready)) == {"so101_msgs"}
    build.run(ready, colcon)
    assert f"was built on the ROS in {prefix}; building it again on the ROS wheels" in capsys.readouterr().err
    assert not (ready.build / "of apt's ROS").exists() and underlays[1:] == [str(ready.venv)]


def test_from_apts_ros_back_to_the_wheels_the_environment_is_made_from_nothing(
    ready: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wheels in an environment that sees apt's packages would be a mixture of both."""
    made = []

    def no_further(command: list[str], env: object = None) -> Outcome:
        made.append(command)
        return Outcome(1, "no further")

    monkeypatch.setattr(environment, "check_host", lambda wanted: None)
    monkeypatch.setattr(installer, "find_uv", lambda layout: "uv")
    monkeypatch.setattr(environment.interpreter, "find", lambda *arguments: str(PYTHON))
    monkeypatch.setattr(environment, "run_quiet", no_further)
    with pytest.raises(Failure):
        command_line._setup(ready, ["robot", "--ros", "wheels"])
    assert made[0][:3] == ["uv", "venv", "--clear"]


# Where the workspace lies.


@pytest.mark.parametrize("name", ["my robot", "a:b", "it's", "so101;x", "a$b"])
def test_a_path_that_the_setup_scripts_cannot_handle_is_refused(name: str) -> None:
    """With a space the build succeeds, and afterwards no package is found."""
    with pytest.raises(Failure, match="has the character"):
        check_place(Layout(Path("/home/me") / name))


@pytest.mark.parametrize("name", ["so101", "so-101_v1.2", "so101+cu12", "工作区"])
def test_other_paths_are_taken(name: str) -> None:
    check_place(Layout(Path("/home/me") / name))
