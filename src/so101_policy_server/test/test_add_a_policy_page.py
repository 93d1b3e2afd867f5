# SPDX-License-Identifier: Apache-2.0
"""docs/how-to/add_a_policy.md, word for word: its files, its commands, what the server says, and a chunk over DDS."""

from __future__ import annotations

import inspect
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dds_robot import WAIT_S, Robot
from how_to_page import COLCON, LINKED, HowToPage, environment_with
from so101_msgs.msg import ActionChunk

from so101_node import entry_points

PAGE = HowToPage("add_a_policy.md")


@pytest.fixture(scope="module", params=[LINKED, pytest.param(COLCON, marks=pytest.mark.long)])
def workspace(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with the page's files after its first commands, and where Python finds the package."""
    folder = tmp_path_factory.mktemp("workspace")
    assert len(PAGE.files) == 4
    return folder, PAGE.build(folder, "wave_policy", request.param)


@pytest.fixture
def served(workspace: tuple[Path, Path]) -> Iterator[Path]:
    """The log of the page's last command, which runs until the test is over: `./so101 launch`, past its set-up."""
    folder, modules = workspace
    log = folder / "log.txt"
    command = PAGE.commands()[-1]
    assert command.startswith("./so101 launch ")
    with log.open("w") as output:
        launch = subprocess.Popen(
            [sys.executable, "-m", "so101_launch_runner", *shlex.split(command)[2:]],
            cwd=folder,
            env=environment_with(modules),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    yield log
    launch.send_signal(signal.SIGINT)
    assert launch.wait(60) == 0, log.read_text()


def test_the_pages_policy_is_served_from_a_launch_file(served: Path) -> None:
    robot = Robot(cameras=("front",))
    try:
        robot.send_spec()
        robot.wait_until_heard()
        robot.ask(1, positions=[0.1] * 6)
        chunk = robot.answer_to(1)
        assert (chunk.status, chunk.message, chunk.rows) == (ActionChunk.OK, "", 50)
        rows = np.array(chunk.positions).reshape(50, 6)
        np.testing.assert_allclose(rows[0], 0.1, atol=1e-6)
        np.testing.assert_allclose(np.delete(rows, 4, axis=1), 0.1, atol=1e-6)
        assert np.radians(4) < np.ptp(rows[:, 4]) < np.radians(10)
        (said,) = PAGE.blocks("text")
        for line in said.splitlines():
            assert robot.wait(lambda line=line: line in served.read_text(), WAIT_S), served.read_text()
        assert "torch" not in {module for pid in pids() for module in libraries(pid)}
    finally:
        robot.close()


def pids() -> list[int]:
    """Every policy server of this user in this test's domain."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text()
            domain = f"ROS_DOMAIN_ID={os.environ['ROS_DOMAIN_ID']}\0"
            if "policy_server" in words and domain in (folder / "environ").read_text() + "\0":
                found.append(int(folder.name))
        except OSError:
            continue
    found = [pid for pid in found if pid != os.getpid()]
    assert found
    return found


def libraries(pid: int) -> set[str]:
    maps = Path(f"/proc/{pid}/maps").read_text()
    return {"torch"} if "libtorch" in maps else set()


@pytest.mark.parametrize("words", ["no installed package has it; known are", "uninstall or rename one of them"])
def test_the_lines_that_the_page_quotes_are_those_of_the_server(words: str) -> None:
    assert words in inspect.getsource(entry_points) and words in PAGE.text
