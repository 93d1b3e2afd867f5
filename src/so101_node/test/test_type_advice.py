# SPDX-License-Identifier: Apache-2.0
"""What is to be written instead of a value of the wrong type."""

import pytest
from so101_node.parameters.type_advice import expected


@pytest.mark.parametrize(
    ("hint", "value", "default", "written", "line"),
    [
        (float, "1.0", 2.0, '"1.0"', "a number: write 1.0 without quotes"),
        (float, "1,5", 2.0, "1,5", "a number: write 1.5 without quotes"),
        (float, "1e999", 2.0, "1e999", "a number"),
        (float, True, 2.0, "true", "a number"),
        (int, 30.0, 10, "30.0", "a whole number: write 30"),
        (int, 30.5, 10, "30.5", "a whole number"),
        (int, 1e20, 10, "99999999999999999999", "a whole number"),
        (int, "0x1G", 10, "0x1G", "a whole number"),
        (bool, "true", False, '"true"', "true or false: write true without quotes"),
        (bool, 1, False, "1", "true or false: write true"),
        (bool, "maybe", False, "maybe", "true or false"),
        (str, 7, "", "0x7", 'text: write "0x7" in quotes'),
        (str, True, "", "on", 'text: write "on" in quotes'),
        (list[str], "wrist_roll", ["wrist_roll"], "wrist_roll", "a list, each text: write [wrist_roll]"),
        (list[float], 1.0, [6.0, 8.0], "1.0", "a list, each a number, such as [6.0, 8.0]"),
        (list[float], ["a"], [], "[a]", "a list, each a number"),
    ],
)
def test_what_to_write_is_told_where_it_is_known(hint, value, default, written: str, line: str) -> None:
    assert expected(hint, value, default, written) == line
