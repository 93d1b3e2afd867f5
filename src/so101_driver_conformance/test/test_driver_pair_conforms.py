# SPDX-License-Identifier: Apache-2.0
"""driver_pair before two drivers on emulated servo buses keeps every rule of the contract, as one driver."""

import sys
from pathlib import Path

import pytest
from contract_run import check
from pair_rig import pair_rig
from so101_driver_conformance.rules import RULES


@pytest.mark.long
def test_a_pair_of_drivers_keeps_every_rule_of_one(tmp_path: Path) -> None:
    with pair_rig(tmp_path, command_timeout_s=0.4):
        code, lines = check(tmp_path, sys.executable, "-m", "so101_driver.ros.start_pair")
    assert lines == [f"ok       {rule}" for rule in RULES]
    assert code == 0
