# SPDX-License-Identifier: Apache-2.0
"""Parameters: declared with descriptors, bounded, and checked as a whole."""

from dataclasses import dataclass

import pytest
import rclpy
from rclpy.exceptions import ParameterNotDeclaredException
from rclpy.node import Node
from rclpy.parameter import Parameter
from so101_node.parameters import ParameterError, build, parameter, pick
from so101_node.parameters.declaring import changed, declare


@dataclass(frozen=True, slots=True)
class Example:
    fps: float = parameter(30.0, "control rate, Hz", lower=10.0, upper=60.0, read_only=False)
    rows: int = parameter(50, "rows per chunk", lower=10, upper=100)
    mode: str = parameter("a", "which way", choices=("a", "b"))
    cameras: list[str] = parameter([], "camera names")
    ranges: list[float] = parameter([0.5], "thresholds", lower=0.0, upper=1.0)
    on: bool = parameter(False, "switch")
    name: str = parameter("", "what it is called", longest=5)
    keys: list[str] = parameter([], "few short words", longest=3, most=2)

    def validate(self) -> None:
        if self.mode == "b" and self.rows > 60:
            raise ParameterError(f"parameter rows = {self.rows}: at most 60 with mode b")


@pytest.fixture
def node_with(request: pytest.FixtureRequest):
    context = rclpy.Context()
    rclpy.init(context=context)
    nodes = []

    def make(**overrides: object) -> Node:
        node = Node(
            "example",
            context=context,
            parameter_overrides=[Parameter(name, value=value) for name, value in overrides.items()],
        )
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


def test_defaults_are_declared_with_range_and_description(node_with) -> None:
    node = node_with()
    assert declare(node, Example) == Example()
    descriptor = node.describe_parameter("fps")
    assert descriptor.description == "control rate, Hz"
    assert descriptor.floating_point_range[0].from_value == 10.0
    assert node.describe_parameter("rows").integer_range[0].to_value == 100
    assert node.describe_parameter("rows").read_only and not descriptor.read_only


def test_overrides_win_and_a_whole_number_serves_as_a_float(node_with) -> None:
    values = declare(node_with(fps=20, cameras=["front", "top"], ranges=[0.1, 1.0], on=True), Example)
    assert values == Example(fps=20.0, cameras=["front", "top"], ranges=[0.1, 1.0], on=True)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"fps": 61.0}, ("fps", "61", "10 to 60")),
        ({"fps": float("nan")}, ("fps", "nan")),
        ({"fps": "fast"}, ("fps", "fast", "a number")),
        ({"rows": 10.5}, ("rows", "10.5", "a whole number")),
        ({"mode": "c"}, ("mode", "c", "a, b")),
        ({"ranges": [0.5, 1.5]}, ("ranges", "1.5", "0 to 1")),
        ({"mode": "b", "rows": 70}, ("rows", "70", "60")),
        ({"name": "abcdef"}, ("name = 'abcdef", "6 characters, at most 5")),
        ({"keys": ["a", "b", "c"]}, ("keys", "3 entries, at most 2")),
        ({"keys": ["a", "long"]}, ("keys = 'long", "4 characters, at most 3")),
    ],
)
def test_a_bad_value_is_one_line_that_names_key_value_and_what_is_accepted(node_with, overrides, words) -> None:
    with pytest.raises(ParameterError) as caught:
        declare(node_with(**overrides), Example)
    line = str(caught.value)
    assert "\n" not in line
    assert all(word in line for word in words), line


def test_a_change_at_run_time_is_judged_as_at_start_and_by_name(node_with) -> None:
    """rclpy's own replies name neither the parameter of a wrong type nor one that the node does not have."""
    node = node_with()
    declare(node, Example)
    assert node.set_parameters([Parameter("fps", value=20)])[0].successful
    assert node.get_parameter("fps").value == 20.0
    for name, value, said in (
        ("fps", "fast", "parameter fps = 'fast': expected a number"),
        ("fps", 61.0, "parameter fps = 61.0: must be 10 to 60"),
        ("fps", None, "parameter fps cannot be deleted"),
        ("rows", 20, "parameter rows cannot change while the node runs"),
        ("fsp", 20.0, r"unknown parameter fsp: did you mean fps\?"),
        ("entirely", 20.0, "unknown parameter entirely: example has nothing like it"),
    ):
        with pytest.raises(ParameterNotDeclaredException, match=f"^{said}"):
            node.set_parameters([Parameter(name, value=value)])
    assert node.get_parameter("fps").value == 20.0


@dataclass(frozen=True, slots=True)
class Switched:
    optimize: str = parameter("auto", "whether to", choices=("auto", "off"))
    mode: str = parameter("a", "which way", choices=("a", "b"))


def test_a_bare_off_is_the_word_where_it_is_a_choice(node_with) -> None:
    """YAML and the command line make a truth value of it."""
    assert declare(node_with(optimize=False), Switched).optimize == "off"
    assert declare(node_with(), Switched).optimize == "auto"
    for wrong in ({"optimize": True}, {"mode": False}):
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            declare(node_with(**wrong), Switched)


def test_a_name_that_the_node_does_not_have_is_refused_with_the_nearest_one(node_with) -> None:
    with pytest.raises(ParameterError, match=r"unknown parameter row: did you mean rows\?; unknown parameter modus: "):
        declare(node_with(row=20, modus="a"), Example)
    node = node_with(on=True, use_sim_time=True)
    assert declare(node, Example).on


def test_a_name_that_is_declared_later_is_not_refused(node_with) -> None:
    @dataclass(frozen=True, slots=True)
    class More:
        later: int = parameter(1, "declared in a second call")

    node = node_with(later=7, rows=20)
    assert declare(node, Example, complete=False).rows == 20
    assert declare(node, More).later == 7
    with pytest.raises(ParameterError, match="unknown parameter latr"):
        wrong = node_with(latr=7)
        declare(wrong, Example, complete=False)
        declare(wrong, More)


def test_a_change_is_checked_with_the_values_in_force() -> None:
    now = build(Example, {"rows": 70})
    assert changed(Example, now, [Parameter("fps", value=25)]).fps == 25.0
    with pytest.raises(ParameterError):
        changed(Example, now, [Parameter("mode", value="b")])


@dataclass(frozen=True, slots=True)
class Core:
    joints: tuple[str, ...] = parameter(("pan", "lift"), "joints in order")
    speeds: tuple[float, ...] = parameter((), "rad/s", lower=0.0, read_only=False)


@dataclass(frozen=True, slots=True)
class OfItsNode(Core):
    niceness: int = parameter(0, "niceness of the process")


def test_a_core_keeps_its_lists_as_tuples_and_a_node_adds_its_own(node_with) -> None:
    assert declare(node_with(), OfItsNode) == OfItsNode()
    node = node_with(joints=["a"], speeds=[1, 2], niceness=3)
    values = declare(node, OfItsNode)
    assert values == OfItsNode(("a",), (1.0, 2.0), 3)
    assert pick(Core, values) == Core(("a",), (1.0, 2.0))
    later = changed(OfItsNode, values, [Parameter("speeds", value=[])])
    assert later.speeds == ()
    with pytest.raises(ParameterError, match=r"^parameter speeds = \[1.0, -1.0\]: must be 0 or more"):
        changed(OfItsNode, values, [Parameter("speeds", value=[1.0, -1.0])])
    with pytest.raises(ParameterError, match=r"^parameter joints = 'a': expected a list, each text, such as \[pan"):
        declare(node_with(joints="a"), OfItsNode)


def test_a_configuration_takes_the_values_of_its_names_and_others_as_given() -> None:
    @dataclass(frozen=True, slots=True)
    class Limits:
        joints: tuple[str, ...]
        margin_rad: float
        speeds: tuple[float, ...] = (9.0,)

    assert pick(Limits, Core(speeds=(1.0,)), margin_rad=0.1) == Limits(("pan", "lift"), 0.1, (1.0,))
    with pytest.raises(TypeError, match="margin_rad"):
        pick(Limits, Core())
