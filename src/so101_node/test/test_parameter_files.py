# SPDX-License-Identifier: Apache-2.0
"""The second reading of parameter files agrees with ROS's own, and says in one line what is wrong with a file."""

from pathlib import Path

import pytest
import rclpy
from rclpy.context import Context
from so101_node.parameters.files import ParameterFileError, Section, read, sections
from so101_node.process.command_line import CommandLineError, check


@pytest.fixture(scope="module")
def context():
    made = Context()
    rclpy.init(args=[], context=made)
    yield made
    rclpy.shutdown(context=made)


def ros_reads(context: Context, file: Path, namespace: str) -> dict[str, object]:
    node = rclpy.create_node(
        "any",
        context=context,
        namespace=namespace,
        cli_args=["--ros-args", "-r", "__node:=camera", "--params-file", str(file)],
        start_parameter_services=False,
        enable_rosout=False,
    )
    try:
        return {name: value.value for name, value in node._parameter_overrides.items()}
    finally:
        node.destroy_node()


@pytest.mark.parametrize(
    "pattern",
    [
        *("camera", "/camera", "/**/camera", "**/camera", "/*/camera", "/left/camera", "left/camera", "/left/*"),
        *("/left/**", "/**", "/*", "**", "*", "/**/left/camera", "/left/**/camera", "/**/camer"),
    ],
)
def test_a_section_reaches_the_nodes_that_ros_gives_it_to(context: Context, tmp_path: Path, pattern: str) -> None:
    file = tmp_path / "parameters.yaml"
    file.write_text(f'"{pattern}": {{ros__parameters: {{fps: 1}}}}\n')
    (section,) = read(file)
    for namespace in ("/", "/left", "/lab/left"):
        full_name = f"{namespace.rstrip('/')}/camera"
        assert section.reaches(full_name) == bool(ros_reads(context, file, namespace)), full_name


def test_nested_sections_and_keys_are_found_with_their_lines(context: Context, tmp_path: Path) -> None:
    file = tmp_path / "parameters.yaml"
    file.write_text("""\
left:
  camera:
    ros__parameters:
      motion:
        limits: {speed: 1.0}
      sizes: [640, 480]
/**:
  ros__parameters:
    fps: 30
""")
    assert read(file) == [
        Section("/left/camera", str(file), {"motion.limits.speed": 5, "sizes": 6}),
        Section("/**", str(file), {"fps": 9}),
    ]
    assert set(ros_reads(context, file, "/left")) == {"motion.limits.speed", "sizes", "fps"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("has nothing in it", "/**/NODE")),
        ("# all commented out\n", ("has nothing in it",)),
        ("so101_driver\n", (":1", "no section", "/**/NODE")),
        ("/**/camera:\n  device: /dev/video0\n", (":2", "'device'", "no ros__parameters")),
        ("/**/camera:\n  ros_parameters:\n    fps: 3\n", (":3", "ros_parameters is written ros__parameters")),
        ("ros__parameters:\n  fps: 3\n", (":2", "ros__parameters stands alone")),
        ("/**/camera:\n", (":1", "no ros__parameters")),
        ("/**/camera:\n  ros__parameters:\n", (":2", "/**/camera", "no parameters")),
        ("/**/camera:\n  ros__parameters:\n    device:\n", (":3", "device has no value")),
        ("/**/camera:\n  ros__parameters:\n    device: x\n  fps: 3\n", (":4", "'fps'", "no ros__parameters")),
        ("/**/camera:\n  ros__parameters:\n\tfps: 3\n", (":3", "not valid YAML", "spaces, not tabs")),
        ("/**/camera:\n  ros__parameters:\n    sizes: [1, 2\n", ("not valid YAML",)),
        ("/**/camera: {ros__parameters: {a: \x07}}\n", ("not valid YAML",)),
        ("**: {ros__parameters: {a: 1}}\n", (":1", "not valid YAML", 'as "/**"')),
        ("a: &x {ros__parameters: {a: 1}}\nb: *x\n", (":2", "ROS takes no aliases")),
        ("a:\n  ros__parameters:\n    fps:30\n", (":2", "a space after the colon")),
        ("a: {ros__parameters: {a: 1}, ros__parameters: {b: 1}}\n", ("ros__parameters twice, lines 1 and 1",)),
        ("a: {ros__parameters: {v: 1.0,\n v: 2.0}}\n", ("/a gives v twice, 1.0 in line 1 and 2.0 in line 2",)),
        ("a: {ros__parameters: {v: 1}}\na: {ros__parameters: {v: 2}}\n", ("/a gives v twice, 1 in line 1 and 2",)),
        ("a: {ros__parameters: {v: [1, 1.0]}}\n", ("v = [1, 1.0] mixes whole numbers and other", "write 1.0 for 1")),
        ("a: {ros__parameters: {v: [a, 7]}}\n", ("v = [a, 7] mixes text and whole numbers", "in quotes")),
        ("a: {ros__parameters: {v: 032}}\n", ("v = 032 is an octal number", "write 32, or")),
        ("a: {ros__parameters: {v: [1, 08]}}\n", ("octal number", "write 8, or")),
        ("/**/front-cam: {ros__parameters: {a: 1}}\n", (":1: section /**/front-cam has '-'", "write /**/front_cam")),
        ("a:\n  ros__parameters:\n    port: {{ port }}\n", (":3: a key is no word", "template")),
    ],
)
def test_a_file_without_usable_parameters_is_refused_in_one_line(tmp_path: Path, text: str, words) -> None:
    file = tmp_path / "parameters.yaml"
    file.write_text(text)
    with pytest.raises(ParameterFileError) as caught:
        sections(["node", "--ros-args", "--params-file", str(file)])
    line = str(caught.value)
    assert str(file) in line and "\n" not in line
    assert all(word in line for word in words), line


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterFileError, match=r"missing.yaml: No such file"):
        read(tmp_path / "missing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ParameterFileError, match=r"binary.yaml: is not UTF-8"):
        read(tmp_path / "binary.yaml")


def test_what_is_right_for_ros_is_no_fault(context: Context, tmp_path: Path) -> None:
    """Written twice with one value, a number beside one of another form, text of every kind, a Windows file."""
    lines = ["a: 1", "a: 1", "b: [1e1, .5, -2., 0.05]", 'c: ["7", text, "12:30"]', "d: [yes, off]", "f: [0, -10]"]
    file = tmp_path / "parameters.yaml"
    text = "\r\n".join(["camera:", "  ros__parameters:", *(f"    {line}" for line in lines)])
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert set(read(file)[0].keys) == set(ros_reads(context, file, "/")) == set("abcdf")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["-p", "fps=3"], "-p fps=3: is written -p fps:=3"),
        (["-p"], "-p: is written -p NAME:=VALUE"),
        (["-p", "robot_id:="], "-p robot_id:=: has no value; an empty text is written -p \"robot_id:=''\""),
        (["-p", "fps := 3"], "-p fps := 3: is written without spaces, -p fps:=3"),
        (
            ["--log-level", "loud"],
            "--log-level loud: must be one of debug, info, warn, error, fatal, unset, or NODE:=LE",
        ),
        (["--params-file"], "--params-file FILE"),
        (["-r", "__ns:=left"], "'left': namespace must be absolute"),
        (["-r", "__ns:=/my-robot"], "'/my-robot': namespace must not contain characters other than"),
        (["-r", "__node:=front-camera"], "'front-camera': node name must not contain characters other than"),
        (["-r", "joint_states"], "-r joint_states: is written -r FROM:=TO"),
    ],
)
def test_what_ros_does_not_accept_is_told_with_how_it_is_written(words: list[str], line: str) -> None:
    with pytest.raises(CommandLineError) as caught:
        check(["node", "--ros-args", *words])
    assert line in str(caught.value) and "\n" not in str(caught.value)
    check(["node", *words])  # not among the ROS arguments


def test_assignments_of_the_command_line_are_sections_too() -> None:
    arguments = ["node", "-p", "no:=1", "--ros-args", "-p", "fps:=3", "--param", "camera:device:=x", "--", "-p", "b:=1"]
    assert sections(arguments) == [Section("/**", "", {"fps": 0}), Section("/**/camera", "", {"device": 0})]
