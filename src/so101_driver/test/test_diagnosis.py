# SPDX-License-Identifier: Apache-2.0
"""Every cause that the gate can name is explained."""

from so101_driver.core import causes
from so101_driver.ros.diagnosis import BY_NAME
from so101_node.diagnostics import Level


def test_every_cause_has_a_level_a_meaning_and_where_something_is_wrong_a_remedy() -> None:
    named = {value for name, value in vars(causes).items() if name.isupper()}
    assert named <= set(BY_NAME)
    for cause in BY_NAME.values():
        assert cause.meaning
        assert cause.level is Level.OK or cause.remedy, cause.name
