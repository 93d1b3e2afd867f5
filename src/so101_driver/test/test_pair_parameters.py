# SPDX-License-Identifier: Apache-2.0
"""Parameters of the pair of drivers."""

import pytest
from so101_driver.ros.pair_parameters import DriverPairParameters
from so101_node.parameters import ParameterError, build


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arms": ["left"]}, r"arms = \['left'\]: expected two different names"),
        ({"arms": ["left", "left"]}, "expected two different names"),
        ({"max_skew_s": 0.2}, r"max_skew_s = 0.2: must be at most arm_silent_s \(0.15\)"),
        ({"arm_silent_s": 0.2, "max_skew_s": 0.5}, r"max_skew_s = 0.5: must be at most arm_silent_s \(0.2\)"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(change: dict[str, object], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        build(DriverPairParameters, change)


@pytest.mark.parametrize(
    "change",
    [
        {"max_skew_s": 0.15},
        {"arm_silent_s": 0.5, "engage_within_s": 0.1},  # an arm that does not engage is not yet a silent one
    ],
)
def test_what_is_odd_but_does_no_harm_is_accepted(change: dict[str, object]) -> None:
    build(DriverPairParameters, change)
