# SPDX-License-Identifier: Apache-2.0
"""What people type behind `./so101 launch FILE` and what it replies."""

import re
from pathlib import Path

import pytest
from so101_launch_runner.find_file import find_launch_file
from so101_launch_runner.typed_arguments import pairs

from so101_launch_runner import LaunchFileError, resolve


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"camera1": "front"}, "no argument 'camera1'; did you mean camera_1:=?"),
        ({"confg": "x"}, "did you mean config:=?"),
        (
            {"port": "/dev/ttyACM1"},
            "a parameter of so101_driver: write it into a copy of the YAML file that config:= names",
        ),
        ({"camera_3": "wrist-cam"}, "'wrist-cam': node name must not contain"),
        ({"namespace": "my-robot"}, "'/my-robot': namespace must not contain"),
        ({"namespace": "left//arm"}, "repeated '/'"),
        ({"config": "~/robot.yaml"}, f"leaves ~ alone behind :=, write {Path.home()}/robot.yaml"),
        ({"config": "/tmp"}, "/tmp is a folder; name a file in it"),
        ({"config": "my.yaml"}, f"my.yaml does not exist in {Path.cwd()}"),
        ({"record": "maybe"}, "$(var record)"),
    ],
)
def test_what_cannot_be_is_refused_with_what_was_probably_meant(arguments: dict[str, str], words: str) -> None:
    with pytest.raises(LaunchFileError, match=re.escape(words)) as caught:
        resolve(find_launch_file("robot.launch.xml"), arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("namespace", ["left", "/left", "left/", "/left/"])
def test_a_namespace_may_be_typed_with_slashes_or_without(namespace: str) -> None:
    specs = resolve(find_launch_file("robot.launch.xml"), {"namespace": namespace})
    assert {spec.namespace for spec in specs} == {"/left"}


def test_an_argument_of_another_form_is_told_how_it_is_written() -> None:
    assert pairs(["config:=a=b", "record:=true"]) == {"config": "a=b", "record": "true"}
    for word in ("config=x", "--config=x"):
        with pytest.raises(ValueError, match="written config:=x"):
            pairs([word])
    with pytest.raises(ValueError, match="'--config' is not an argument; it is written config:=my robot"):
        pairs(["--config", "my robot.yaml", "record:=true"])
    with pytest.raises(ValueError, match="'--record' is not an argument; it is written name:=value"):
        pairs(["--record", "config:=a"])
    with pytest.raises(ValueError, match="written name:=value"):
        pairs(["config"])
    with pytest.raises(ValueError, match="config is given twice, 'a' and 'b'"):
        pairs(["config:=a", "config:=b"])
