# SPDX-License-Identifier: Apache-2.0
"""`$(...)` in launch files."""

from pathlib import Path

import pytest
from so101_launch_runner.errors import SubstitutionError
from so101_launch_runner.substitution import Scope, is_true, parse, perform


def find_prefix(package: str) -> Path:
    if package != "here":
        raise LookupError(package)
    return Path("/prefix")


SCOPE = Scope({"name": "left", "empty": "", "two words": "x"}, {"HOME": "/users/me"}, find_prefix)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""),
        ("plain $ text", "plain $ text"),
        ("$(var name)", "left"),
        ("a/$(var name)/b", "a/left/b"),
        ("$(var empty)", ""),
        ("$(var missing fallback)", "fallback"),
        ("$(var missing '')", ""),
        ("$(var 'two words')", "x"),
        ("$(env HOME)/x", "/users/me/x"),
        ("$(env NOT_SET /tmp)", "/tmp"),
        ("$(find-pkg-share here)/config", "/prefix/share/here/config"),
        ("$(find-pkg-prefix here)", "/prefix"),
        ("$(equals $(var name) left)", "true"),
        ("$(equals $(var name) right)", "false"),
        ("$(equals 1 True)", "true"),
        ("$(equals 0.10 0.1)", "true"),
        ("$(not-equals 2 2.5)", "true"),
        ("$(not $(equals a b))", "true"),
        ("$(and true $(or false 1))", "true"),
        ('$(command \'printf "%s|" one "$(var name) two"\')', "one|left two|"),
        (r"\$(var name)", "$(var name)"),
        (r"a\\b", r"a\b"),
    ],
)
def test_a_substitution_gives_the_value_launch_gives(text: str, value: str) -> None:
    assert perform(parse(text), SCOPE) == value


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("$(var missing)", "no such <arg>"),
        ("$(env NOT_SET)", "NOT_SET is not set"),
        ("$(find-pkg-share gone)", "gone is not built"),
        ("$(exec-in-pkg tool here)", "has no executable tool"),
        ("$(eval 1 + 1)", "not one of"),
        ("$(command 'ls /nowhere/at/all')", "No such file or directory"),
        ("$(command false)", "ended with exit code 1"),
        ("$(command 'no-such-program-here')", "cannot be run"),
        ("$(command 'sh -c \"echo careful >&2\"')", "careful"),
        ("$(var)", "takes 1 or 2 arguments, not 0"),
        ("$(var name", "not closed"),
        ("$(var 'name)", "quote not closed"),
        ("$( name)", "no name after"),
        ("$(var  name)", "empty argument"),
        ("$(equals $(var name) '')", "cannot compare with ''"),
        ("$(not perhaps)", "neither true nor false"),
    ],
)
def test_a_wrong_substitution_is_named(text: str, complaint: str) -> None:
    with pytest.raises(SubstitutionError, match=complaint.replace("(", r"\(")):
        perform(parse(text), SCOPE)


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), (" True ", True), ("1", True), ("FALSE", False), ("0", False)]
)
def test_a_condition_is_read_as_launch_reads_it(text: str, value: bool) -> None:
    assert is_true(text) is value
