# SPDX-License-Identifier: Apache-2.0
"""A program that reads a node's parameters from a file gets what the node gets, and refuses what it refuses."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from so101_node.parameters import ParameterError, parameter
from so101_node.parameters.files import read
from so101_node.parameters.node_file import nodes_called, parameters_of


@dataclass(frozen=True, slots=True)
class Example:
    """Three parameters."""

    fps: float = parameter(30.0, "rate, Hz", lower=1.0)
    name: str = parameter("", "a name")
    sizes: tuple[int, ...] = parameter((), "sizes")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "robot.yaml"
    path.write_text("""\
/**: {ros__parameters: {fps: 20, name: all}}
/**/example: {ros__parameters: {sizes: [1, 2]}}
left:
  example: {ros__parameters: {name: left}}
""")
    return path


def test_sections_that_reach_the_node_are_put_together_later_ones_last(file: Path) -> None:
    assert parameters_of(Example, file, "/example") == Example(20.0, "all", (1, 2))
    assert parameters_of(Example, file, "/left/example") == Example(20.0, "left", (1, 2))
    assert parameters_of(Example, file, "/other") == Example(20.0, "all")


def test_the_nodes_that_a_file_is_for_are_found(file: Path) -> None:
    assert nodes_called("example", read(file)) == ["/example", "/left/example"]
    assert nodes_called("camera", read(file)) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nmae: x", "unknown parameter nmae (F:1, section /**/example): did you mean name?"),
        ('fps: "30"', "parameter fps = '30' (F:1, section /**/example): expected a number: write 30.0 without quotes"),
        ("fps: 0.5", "parameter fps = 0.5 (F:1, section /**/example): must be 1 or more"),
        ("name: x, use_sim_time: true", ""),
    ],
)
def test_what_the_node_refuses_is_refused(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text(f"/**/example: {{ros__parameters: {{{line}}}}}\n")
    if not said:
        assert parameters_of(Example, path, "/example").name == "x"
        return
    with pytest.raises(ParameterError) as error:
        parameters_of(Example, path, "/example")
    assert str(error.value).startswith(said.replace("F:", f"{path}:"))
