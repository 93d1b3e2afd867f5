# SPDX-License-Identifier: Apache-2.0
"""docs/how-to/pair.md, word for word: its policy and its launch file lead two virtual arms."""

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from how_to_page import HowToPage, environment_with
from pair_rig import PAIR_JOINTS
from so101_driver_conformance.peer import DriverPeer
from so101_msgs.msg import DriverStatus

PAGE = HowToPage("pair.md")
WAIT_S = 90.0


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """What the page's launch file says, run as `./so101 launch` does, past its set-up."""
    modules = PAGE.build(tmp_path, "twins_policy")
    words = shlex.split(next(line for line in PAGE.commands() if "launch" in line))
    assert words[:2] == ["./so101", "launch"]
    command = [sys.executable, "-m", "so101_launch_runner", *words[2:], f"sim_dir:={tmp_path}"]
    with (tmp_path / "log.txt").open("w") as output:
        launch = subprocess.Popen(command, env=environment_with(modules), stdout=output, stderr=subprocess.STDOUT)
    yield tmp_path / "log.txt"
    launch.send_signal(signal.SIGINT)
    assert launch.wait(60) == 0, (tmp_path / "log.txt").read_text()


@pytest.mark.long
def test_the_pages_policy_swings_the_wrists_of_two_virtual_arms(log: Path) -> None:
    start = shlex.split(PAGE.commands()[-1])
    assert start[:2] == ["./so101", "call"]
    peer = DriverPeer("", "so101_driver")
    try:
        assert peer.wait_for_state(DriverStatus.HOLD, WAIT_S), log.read_text()
        assert peer.names == PAIR_JOINTS
        assert peer.wait(lambda: bool(np.isfinite(peer.positions).all()), WAIT_S), log.read_text()
        end_s = time.monotonic() + WAIT_S
        command = [sys.executable, "-m", "so101_doctor.call", start[2]]
        while subprocess.run(command, check=False, capture_output=True).returncode:
            assert time.monotonic() < end_s, log.read_text()
        wrists = [peer.names.index(f"{arm}_wrist_roll") for arm in ("left", "right")]
        ways: dict[int, list[float]] = {wrist: [] for wrist in wrists}

        def swing() -> bool:
            for wrist, way in ways.items():
                way.append(float(peer.positions[wrist]))
            return all(max(way) - min(way) > 0.4 for way in ways.values())

        assert peer.wait(swing, WAIT_S), f"{peer.describe()}; {log.read_text()}"
        assert "does not reach" not in log.read_text()  # a section of pair.yaml that is written for no node
    finally:
        peer.close()
