# SPDX-License-Identifier: Apache-2.0
"""Fixtures shared by the driver's tests."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from so101_driver.core.calibration import Calibration, load_calibration
from so101_driver.testing.memory_bus import MemoryBus
from so101_node.protocol import JOINT_NAMES
from so101_sim.virtual_arm_client import RunningVirtualArm, running_virtual_arm

RANGES = ((796, 3300), (910, 3186), (946, 3150), (967, 3129), (0, 4095), (1422, 2675))


@pytest.fixture
def calibration_json() -> dict[str, Any]:
    """What LeRobot writes for an arm; the gripper's middle lies between two steps."""
    return {
        name: {
            "id": index + 1,
            "drive_mode": 0,
            "homing_offset": 100 * index - 300,
            "range_min": low,
            "range_max": high,
        }
        for index, (name, (low, high)) in enumerate(zip(JOINT_NAMES, RANGES, strict=True))
    }


@pytest.fixture
def calibration(tmp_path: Path, calibration_json: dict[str, Any]) -> Calibration:
    """The same, loaded."""
    path = tmp_path / "arm.json"
    path.write_text(json.dumps(calibration_json))
    return load_calibration(path)


@pytest.fixture(scope="session")
def virtual_arm() -> Iterator[RunningVirtualArm]:
    """The STS3215 emulator behind a tty, its physics at a stand."""
    with running_virtual_arm("--lockstep") as arm:
        yield arm


@pytest.fixture
def memory_bus(calibration: Calibration) -> Iterator[MemoryBus]:
    """Six servos in memory."""
    bus = MemoryBus(calibration)
    yield bus
    bus.close()
