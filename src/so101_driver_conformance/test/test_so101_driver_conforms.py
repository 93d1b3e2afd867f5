# SPDX-License-Identifier: Apache-2.0
"""so101_driver on the emulated servo bus keeps every rule of the contract."""

import sys
from pathlib import Path

import pytest
from contract_run import check
from so101_driver_conformance.rules import RULES
from so101_sim.virtual_arm_client import running_virtual_arm


@pytest.mark.long
def test_so101_driver_keeps_every_rule(tmp_path: Path) -> None:
    with running_virtual_arm() as arm:
        parameters = (
            f"port:={arm.port}",
            "robot_id:=virtual",
            f"calibration_dir:={arm.calibration.parent}",
            "reply_timeout_s:=0.02",  # emulator and driver are processes on a machine that may be busy
            "command_timeout_s:=0.4",
        )
        words = [word for parameter in parameters for word in ("-p", parameter)]
        code, lines = check(tmp_path, sys.executable, "-m", "so101_driver.ros.start", "--ros-args", *words)
    assert lines == [f"ok       {rule}" for rule in RULES]
    assert code == 0
