"""The second reading of parameter files agrees with ROS's own, and says in one line what is wrong with a file."""

from pathlib import Path

import pytest
import rclpy
from rclpy.context import Context
from so101_node.parameter_files import ParameterFileError, Section, read, sections


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
        ("/**/camera:\n  ros_parameters:\n    fps: 3\n", (":3", "ros_parameters", "no ros__parameters")),
        ("/**/camera:\n", (":1", "no ros__parameters")),
        ("/**/camera:\n  ros__parameters:\n", (":2", "/**/camera", "no parameters")),
        ("/**/camera:\n  ros__parameters:\n    device:\n", (":3", "device has no value")),
        ("/**/camera:\n  ros__parameters:\n    device: x\n  fps: 3\n", (":4", "'fps'", "no ros__parameters")),
        ("/**/camera:\n  ros__parameters:\n\tfps: 3\n", (":3", "not valid YAML")),
        ("/**/camera:\n  ros__parameters:\n    sizes: [1, 2\n", ("not valid YAML",)),
        ("/**/camera: {ros__parameters: {a: \x07}}\n", ("not valid YAML",)),
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


def test_assignments_of_the_command_line_are_sections_too() -> None:
    arguments = ["node", "-p", "no:=1", "--ros-args", "-p", "fps:=3", "--param", "camera:device:=x", "--", "-p", "b:=1"]
    assert sections(arguments) == [Section("/**", "", {"fps": 0}), Section("/**/camera", "", {"device": 0})]
