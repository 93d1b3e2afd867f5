# SPDX-License-Identifier: Apache-2.0
"""What is said where sections disagree, and that the one that is said to count is the one that ROS takes."""

from pathlib import Path

import pytest
import rclpy
from rclpy.context import Context
from so101_node.parameters.files import sections
from so101_node.parameters.overruled import look

EVERY = "/**: {ros__parameters: {speed: 1.0}}\n"
OWN = "/**/arm: {ros__parameters: {speed: 2.0}}\n"
WHOLE = "/left/arm: {ros__parameters: {speed: 3.0}}\n"


@pytest.mark.parametrize(
    ("files", "before", "after", "level", "words"),
    [
        ([EVERY + OWN], [], [], "usual", ":2, section /**/arm), not 1.0 ("),
        ([OWN + EVERY], [], [], "surprising", "put section /** before /**/arm"),
        ([OWN + WHOLE], [], [], "usual", "section /left/arm), not 2.0"),
        ([OWN, EVERY], [], [], "usual", "1.yaml:1, section /**), not 2.0 ("),  # layers
        ([OWN], ["-p", "speed:=4.0"], [], "surprising", "write -p behind --params-file"),
        ([OWN], [], ["-p", "speed:=4.0"], "", ""),
        ([OWN, OWN], [], [], "", ""),
        ([EVERY], [], [], "", ""),
        ([OWN + "/**/camera: {ros__parameters: {speed: 9.0}}\n"], [], [], "", ""),
    ],
)
def test_a_disagreement_is_told_with_the_value_that_ros_takes(
    tmp_path: Path, files: list[str], before: list[str], after: list[str], level: str, words: str
) -> None:
    arguments = ["node", "--ros-args", "-r", "__node:=arm", "-r", "__ns:=/left", *before]
    for number, text in enumerate(files):
        (tmp_path / f"{number}.yaml").write_text(text)
        arguments += ["--params-file", str(tmp_path / f"{number}.yaml")]
    found = look("/left/arm", {"speed"}, sections([*arguments, *after]))
    lines = found.surprising + found.usual
    assert len(lines) == bool(level), lines
    if lines:
        assert getattr(found, level) == lines and words in lines[0], lines
        assert lines[0].startswith(f"speed is {ros_takes([*arguments[1:], *after])} ("), lines


def ros_takes(arguments: list[str]) -> float:
    context = Context()
    rclpy.init(args=arguments, context=context)
    node = rclpy.create_node("any", context=context, start_parameter_services=False, enable_rosout=False)
    try:
        return node._parameter_overrides["speed"].value
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
