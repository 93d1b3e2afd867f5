# SPDX-License-Identifier: Apache-2.0
"""What a node answers to --help and to words it does not know."""

import subprocess
import sys
from pathlib import Path

import pytest
from so101_node.process.usage import refusal

PLAIN = """
from rclpy.node import Node
from so101_node.process import run_process
class Plain(Node):
    \"\"\"Does nothing.\"\"\"
    def __init__(self):
        super().__init__("plain")
        print("started", flush=True)
run_process(Plain)
"""


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("--robot.port=/dev/ttyACM0", "LeRobot's option; here: port of so101_driver"),
        ("--fps=30", "LeRobot's option; here: fps of"),
        ("device:=/dev/video0", "--ros-args -p device:=/dev/video0; --help lists them"),
        ("--jpeg_quality=3", "--ros-args -p jpeg_quality:=3; --help lists them"),
        ("--verbose", "--ros-args -p NAME:=VALUE or --ros-args --params-file FILE; --help lists them"),
    ],
)
def test_a_word_is_refused_with_how_it_is_written(word: str, meant: str) -> None:
    line = refusal(word, {"device", "jpeg_quality"})
    assert line.startswith(f"unknown argument {word}: ") and meant in line and "\n" not in line


@pytest.mark.parametrize(
    ("words", "code"), [(["--help"], 0), (["-h", "--ros-args", "-r", "__ns:=/a"], 0), (["go"], 78)]
)
def test_a_node_that_is_asked_does_not_start(words: list[str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done
    assert "started" not in done.stdout and "Traceback" not in done.stderr
    if code == 0:
        assert done.stdout.startswith("usage: ") and "Does nothing." in done.stdout
    else:
        assert done.stderr.count("\n") == 1 and "unknown argument go" in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("plain:\n\tros__parameters:\n\t\tfps: 1\n", "wrong.yaml:2: not valid YAML"),
        ("plain: {ros__parameters: {a: [1, 2.0]}}\n", "a = [1, 2.0] mixes whole numbers and other numbers"),
        ("plain:\n  ros_parameters: {fps: 1}\n", "ros_parameters is written ros__parameters"),
    ],
)
def test_a_wrong_parameter_file_of_a_started_program_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, "--ros-args", "--params-file", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78, done
    assert done.stderr.count("\n") == 1 and words in done.stderr, done.stderr
