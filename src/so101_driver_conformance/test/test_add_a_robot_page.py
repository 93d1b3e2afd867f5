# SPDX-License-Identifier: Apache-2.0
"""docs/how-to/add_a_robot.md, word for word: its driver, its check, and its policy through queue and server."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from contract_run import PAGE, check, page_blocks, page_files
from so101_driver_conformance.peer import DriverPeer
from so101_driver_conformance.rules import RULES
from so101_msgs.msg import DriverStatus

WAIT_S = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the page's files, its policy known as an installed package is."""
    files = page_files()
    assert set(files) == {
        "five_joint_driver.py",
        "five.launch.xml",
        "five.yaml",
        "src/nod_policy/nod_policy.py",
        "src/nod_policy/package.xml",
        "src/nod_policy/setup.py",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    make_resource, build, _ = page_blocks("sh")[1].splitlines()
    assert build == "./so101 build"
    subprocess.run(["sh", "-c", make_resource], cwd=tmp_path, check=True)
    # All that a symlinked build makes known; without package.xml and the files that setup.py names there is none.
    subprocess.run([sys.executable, "setup.py", "-q", "egg_info"], cwd=tmp_path / "src" / "nod_policy", check=True)
    setup = (tmp_path / "src/nod_policy/setup.py").read_text()
    assert all((tmp_path / "src/nod_policy" / name).is_file() for name in ("package.xml", "resource/nod_policy"))
    assert "resource/nod_policy" in setup and "package.xml" in setup
    return tmp_path


@pytest.mark.long
def test_the_pages_driver_keeps_every_rule_that_it_has_services_for(folder: Path) -> None:
    command = shlex.split(page_blocks("sh")[0])
    assert command[:5] == ["./so101", "ros", "python", "-m", "so101_driver_conformance.check_driver"]
    code, lines = check(folder, *[sys.executable if word == "python3" else word for word in command[5:]])
    without = ("PARK-ONLY-AT-REST", "NO-DROP")
    assert lines == [f"left out {rule}: no such service" if rule in without else f"ok       {rule}" for rule in RULES]
    assert code == 0


def test_the_page_quotes_a_broken_rule_as_it_is_told() -> None:
    (quoted,) = page_blocks("text")
    assert quoted.startswith("BROKEN   NO-JUMP: the goal of base moved by ")


@pytest.fixture
def running(folder: Path) -> Iterator[None]:
    """The page's launch file, run as `./so101 launch` does, past its set-up."""
    words = shlex.split(page_blocks("sh")[1].splitlines()[-1])
    assert words[:2] == ["./so101", "launch"]
    modules = os.pathsep.join([str(folder / "src" / "nod_policy"), os.environ.get("PYTHONPATH", "")])
    launch = subprocess.Popen(
        [sys.executable, "-m", "so101_launch_runner", *words[2:]],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": modules},
    )
    yield
    launch.send_signal(signal.SIGINT)
    assert launch.wait(60) == 0


def called(name: str) -> tuple[int, str]:
    """Exit code and words of `./so101 call NAME`."""
    done = subprocess.run(
        [sys.executable, "-m", "so101_doctor.call", name], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_a_policy_of_five_columns_moves_the_pages_arm_through_queue_and_server(running: None) -> None:
    peer = DriverPeer("", "so101_driver")
    try:
        start = shlex.split(page_blocks("sh")[2])
        assert start[:2] == ["./so101", "call"]
        assert peer.wait(lambda: bool(peer.statuses) and bool(peer.states), WAIT_S)
        assert len(peer.names) == 5
        end_s = time.monotonic() + WAIT_S  # the server may still be loading
        while (answered := called(start[2]))[0] != 0:
            assert time.monotonic() < end_s, answered[1]
        assert peer.wait_for_state(DriverStatus.ENGAGED, WAIT_S), peer.describe()
        wrist = peer.names.index("wrist_pitch")
        seen: list[float] = []

        def nods() -> bool:
            seen.append(float(peer.positions[wrist]))
            return max(seen) - min(seen) > 0.4

        assert peer.wait(nods, WAIT_S), f"wrist_pitch moved by {max(seen) - min(seen):.2f} rad; {peer.describe()}"
        others = np.delete(peer.positions, wrist)
        np.testing.assert_allclose(others, 0.0, atol=0.05)
        assert "`./so101 call stop`" in PAGE.read_text(encoding="utf-8")
        assert called("stop")[0] == 0
        assert peer.wait_for_state(DriverStatus.HOLD, WAIT_S)
    finally:
        peer.close()
