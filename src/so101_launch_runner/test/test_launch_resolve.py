# SPDX-License-Identifier: Apache-2.0
"""From launch XML to processes; every refusal names file and line."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from so101_launch_runner import LaunchFileError, ProcessSpec, declared_arguments, resolve

type Resolve = Callable[..., list[ProcessSpec]]


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An install prefix with the package `pkg` and its executables `node` and `other`."""
    folder = tmp_path / "prefix"
    (folder / "lib" / "pkg").mkdir(parents=True)
    (folder / "share" / "pkg").mkdir(parents=True)
    for name in ("node", "other"):
        (folder / "lib" / "pkg" / name).write_text("")
        (folder / "lib" / "pkg" / name).chmod(0o755)
    return folder


@pytest.fixture
def resolved(tmp_path: Path, prefix: Path) -> Resolve:
    """Resolve the body of a launch file whose first line is <launch>."""

    def find_prefix(package: str) -> Path:
        if package != "pkg":
            raise LookupError(package)
        return prefix

    def call(body: str, arguments: Mapping[str, str] | None = None) -> list[ProcessSpec]:
        file = tmp_path / "test.launch.xml"
        file.write_text(f"<launch>\n{body}\n</launch>\n")
        return resolve(file, arguments, {"HOME": "/users/me"}, find_prefix)

    return call


def test_a_node_becomes_the_command_line_that_ros2_launch_makes(
    resolved: Resolve, tmp_path: Path, prefix: Path
) -> None:
    (tmp_path / "p.yaml").write_text("/**: {ros__parameters: {a: 1}}")
    (spec,) = resolved(
        f"""<node pkg="pkg" exec="node" name="driver" namespace="left" launch-prefix="nice -n 10" args="--fast 'a b'">
              <param from="{tmp_path}/p.yaml"/>
              <param name="fps" value="30" type="float"/>
              <remap from="in" to="out"/>
            </node>"""
    )
    command = spec.command(tmp_path)
    inline = Path(command[-3])
    assert command == [
        *("nice", "-n", "10", f"{prefix}/lib/pkg/node", "--fast", "a b", "--ros-args"),
        *("-r", "__node:=driver", "-r", "__ns:=/left"),
        *("--params-file", f"{tmp_path}/p.yaml", "--params-file", str(inline), "-r", "in:=out"),
    ]
    assert yaml.safe_load(inline.read_text()) == {"/left/driver": {"ros__parameters": {"fps": 30.0}}}
    assert spec.full_name == "/left/driver"


def test_inline_parameters_of_an_unnamed_node_reach_any_name(resolved: Resolve, tmp_path: Path) -> None:
    (spec,) = resolved('<node pkg="pkg" exec="node"><param name="a" value="b"/></node>')
    command = spec.command(tmp_path)
    assert "-r" not in command
    assert yaml.safe_load(Path(command[-1]).read_text()) == {"/**": {"ros__parameters": {"a": "b"}}}


@pytest.mark.parametrize(
    ("attributes", "value"),
    [
        ('value="30"', 30),
        ('value="30.0"', 30.0),
        ('value="true"', True),
        ('value="front"', "front"),
        ('value="[1, 2]"', [1, 2]),
        ('value="[a, b]"', ["a", "b"]),
        ('value="30" type="str"', "30"),
        ('value="30" type="float"', 30.0),
        ('value="1" type="bool"', True),
        ('value="[1.0, 2.0]" type="list_of_float"', [1.0, 2.0]),
        ('value=""', ""),
    ],
)
def test_a_parameter_has_the_type_launch_gives_it(resolved: Resolve, attributes: str, value: object) -> None:
    (spec,) = resolved(f'<node pkg="pkg" exec="node"><param name="a" {attributes}/></node>')
    assert spec.parameters == ({"a": value},)
    assert type(spec.parameters[0]["a"]) is type(value)  # type: ignore[index]


def test_a_default_is_used_until_a_value_is_given(resolved: Resolve) -> None:
    body = '<arg name="rate" default="30"/><node pkg="pkg" exec="node"><param name="fps" value="$(var rate)"/></node>'
    assert resolved(body)[0].parameters == ({"fps": 30},)
    assert resolved(body, {"rate": "20.5"})[0].parameters == ({"fps": 20.5},)


def test_namespaces_nest_and_end_with_their_group(resolved: Resolve) -> None:
    node = '<node pkg="pkg" exec="node" name="{}" {}/>'
    specs = resolved(
        '<group><push_ros_namespace namespace="lab"/>'
        '<group><push_ros_namespace namespace="left"/>'
        + node.format("a", 'namespace="arm"')
        + "</group>"
        + node.format("b", "")
        + node.format("c", 'namespace="/else"')
        + "</group>"
        + node.format("d", "")
    )
    assert [spec.full_name for spec in specs] == ["/lab/left/arm/a", "/lab/b", "/else/c", None]


def test_two_nodes_of_one_name_are_refused(resolved: Resolve) -> None:
    """`camera_1:=top camera_2:=top`: ROS starts both, and the policy gets the frames of either."""
    node = '<node pkg="pkg" exec="node" name="top"/>'
    with pytest.raises(LaunchFileError, match="two nodes are called top"):
        resolved(f"{node}{node}")
    with pytest.raises(LaunchFileError, match="two nodes are called /left/top"):
        resolved(f'<push_ros_namespace namespace="left"/>{node}{node}')
    unnamed = '<node pkg="pkg" exec="node"/>'
    assert len(resolved(f'{node}<group><push_ros_namespace namespace="left"/>{node}</group>{unnamed}{unnamed}')) == 4


def test_the_environment_ends_with_its_group(resolved: Resolve) -> None:
    specs = resolved(
        '<group><set_env name="A" value="$(env HOME)/a"/><node pkg="pkg" exec="node"/></group>'
        '<node pkg="pkg" exec="other"><env name="B" value="b"/></node>'
    )
    assert [spec.environment for spec in specs] == [{"A": "/users/me/a"}, {"B": "b"}]


def test_variables_of_an_unscoped_group_stay(resolved: Resolve) -> None:
    specs = resolved(
        '<group><let name="x" value="1"/></group><group scoped="false"><let name="y" value="2"/></group>'
        '<executable cmd="tool $(var x none) $(var y none)"/>'
    )
    assert specs[0].arguments == ("none", "2")


def test_conditions_choose(resolved: Resolve) -> None:
    specs = resolved(
        '<arg name="policy" default="act"/>'
        '<node pkg="pkg" exec="node" if="$(equals $(var policy) act)"/>'
        '<node pkg="pkg" exec="other" unless="$(equals $(var policy) act)"/>',
        {"policy": "expert"},
    )
    assert [spec.executable for spec in specs] == ["other"]


def test_an_included_file_sees_its_arguments(resolved: Resolve, tmp_path: Path) -> None:
    (tmp_path / "inner.launch.xml").write_text(
        '<launch><arg name="who" default="nobody"/><executable cmd="greet $(var who)"/></launch>'
    )
    specs = resolved(f'<include file="{tmp_path}/inner.launch.xml"><arg name="who" value="you"/></include>')
    assert specs[0].arguments == ("you",)


def test_a_substituted_word_stays_one_word(resolved: Resolve) -> None:
    specs = resolved("""<let name="d" value="/tmp/a b"/><executable cmd="tool --dir $(var d)/c 'x y' -$(var d)- z"/>""")
    assert specs[0].program == "tool"
    assert specs[0].arguments == ("--dir", "/tmp/a b/c", "x y", "-/tmp/a b-", "z")


def test_what_to_do_at_the_end_of_a_process_is_kept(resolved: Resolve) -> None:
    first, second = resolved(
        '<node pkg="pkg" exec="node" respawn="true" respawn_delay="2.5"/>'
        '<node pkg="pkg" exec="other" on_exit="shutdown"/>'
    )
    assert (first.respawn, first.respawn_delay_s, first.shutdown_on_exit) == (True, 2.5, False)
    assert (second.respawn, second.shutdown_on_exit) == (False, True)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("<lifecycle_node/>", "<lifecycle_node> is not supported inside <launch>"),
        ('<node pkg="pkg" exec="node" machine="x"/>', "<node machine=...> is not supported"),
        ('<node pkg="pkg"/>', "<node> needs the attribute exec"),
        ('<node pkg="gone" exec="node"/>', "package gone is not built"),
        ('<node pkg="pkg" exec="gone"/>', "package pkg has no executable gone"),
        ('<node pkg="pkg" exec="node"><param from="/no/file.yaml"/></node>', "/no/file.yaml does not exist"),
        (
            '<node pkg="pkg" exec="node"><param name="a" value="x" type="int"/></node>',
            "parameter a: 'x' is not a whole number",
        ),
        ('<node pkg="pkg" exec="node"><param name="a" value="[1, b]"/></node>', "parameter a: "),
        ('<node pkg="pkg" exec="node" if="maybe"/>', "if=\"maybe\": 'maybe' is neither true nor false"),
        ('<node pkg="pkg" exec="node" on_exit="restart"/>', "on_exit can only be shutdown"),
        ('<node pkg="pkg" exec="node" respawn_delay="-1"/>', "respawn_delay: '-1' is not a number of seconds"),
        ('<node pkg="pkg" exec="node" on_exit="shutdown" respawn="true"/>', "contradict"),
        ('<arg name="a"/>', "argument a needs a value: a:=..."),
        ('<arg name="a" default="3"><choice value="1"/><choice value="2"/></arg>', "a:=3 is not one of: 1, 2"),
        ('<include file="/no/such.launch.xml"/>', "included file /no/such.launch.xml does not exist"),
        ("words", "unexpected text 'words'"),
        ("<node>", "not well-formed XML"),
    ],
)
def test_what_cannot_be_done_is_refused_with_file_and_line(resolved: Resolve, body: str, complaint: str) -> None:
    with pytest.raises(LaunchFileError) as caught:
        resolved(body)
    assert complaint in str(caught.value)
    assert caught.value.file.name == "test.launch.xml"
    assert caught.value.line == (3 if body == "<node>" else 2)
    assert "\n" not in str(caught.value)


def test_a_file_that_includes_itself_is_refused(resolved: Resolve, tmp_path: Path) -> None:
    with pytest.raises(LaunchFileError, match="include one another"):
        resolved(f'<include file="{tmp_path}/test.launch.xml"/>')


def test_an_argument_that_the_file_does_not_declare_is_refused(resolved: Resolve) -> None:
    with pytest.raises(LaunchFileError, match="no argument 'prot'; did you mean port:="):
        resolved('<arg name="port" default="x"/>', {"prot": "y"})


def test_the_declared_arguments_can_be_listed(tmp_path: Path) -> None:
    file = tmp_path / "a.launch.xml"
    file.write_text(
        '<launch><arg name="a" description="first"/><arg name="b" default="1"><choice value="1"/></arg></launch>'
    )
    first, second = declared_arguments(file)
    assert (first.name, first.default, first.description) == ("a", None, "first")
    assert (second.default, second.choices) == ("1", ("1",))


@pytest.mark.parametrize(
    ("attribute", "text"), [("args", "--text &quot;open"), ("args", "it's $(var x one)"), ("launch-prefix", "nice 'n")]
)
def test_a_quote_that_is_not_closed_is_refused_with_its_place(resolved: Resolve, attribute: str, text: str) -> None:
    with pytest.raises(LaunchFileError, match=rf"test.launch.xml:2: {attribute}: .*: no closing quotation"):
        resolved(f"""<node pkg="pkg" exec="node" {attribute}="{text}"/>""")
