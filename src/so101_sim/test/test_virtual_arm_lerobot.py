# SPDX-License-Identifier: Apache-2.0
"""LeRobot's own SO-101 follower on the virtual bus: whoever has a LeRobot script can run it here."""

import time

import numpy as np
import pytest
from so101_sim.virtual_arm_client import RunningVirtualArm, running_virtual_arm

so_follower = pytest.importorskip("lerobot.robots.so_follower")


def qpos(arm: RunningVirtualArm) -> np.ndarray:
    state = arm.state.read()
    assert state is not None
    return state.qpos[:6]


def test_lerobot_connects_reads_moves_and_lets_go() -> None:
    with running_virtual_arm("--real-time-priority") as arm:
        config = so_follower.SO101FollowerConfig(
            port=str(arm.port), id="virtual", calibration_dir=arm.calibration.parent, num_read_retries=3
        )
        robot = so_follower.SO101Follower(config)
        port = robot.bus.port_handler  # LeRobot replaces the SDK's timeout by 50 ms; crowded machines need more
        port.setPacketTimeout = lambda _: port.setPacketTimeoutMillis(3000)
        robot.connect(calibrate=False)
        assert robot.is_calibrated
        start = robot.get_observation()
        goal = start | {"shoulder_pan.pos": start["shoulder_pan.pos"] + 20.0, "gripper.pos": 80.0}
        before, deadline = qpos(arm)[0], time.monotonic() + 30
        while time.monotonic() < deadline:
            robot.send_action(goal)
            now = robot.get_observation()
            if max(abs(now[name] - goal[name]) for name in ("shoulder_pan.pos", "gripper.pos")) < 1.0:
                break
            time.sleep(1 / 30)
        assert now["shoulder_pan.pos"] == pytest.approx(goal["shoulder_pan.pos"], abs=1.0)
        assert now["gripper.pos"] == pytest.approx(80.0, abs=1.0)
        assert qpos(arm)[0] - before == pytest.approx(np.radians(20.0), abs=0.03)
        robot.disconnect()
        time.sleep(1.0)
        assert np.abs(qpos(arm)[1:3] - [-1.2, 1.1]).max() > 0.05  # without torque the raised arm sinks
        assert arm.client.stats()["bad_checksums"] == 0
