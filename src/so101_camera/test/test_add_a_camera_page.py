# SPDX-License-Identifier: Apache-2.0
"""docs/how-to/add_a_camera.md, word for word: its files, its commands, what they say, and a frame over DDS."""

import inspect
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from how_to_page import COLCON, LINKED, HowToPage, environment_with
from so101_camera.core import frame
from so101_camera.image_codec import decode_image
from so101_camera.sources import checked_source
from so101_msgs.msg import ObservationImage, PolicySpec
from so101_node.topics import qos
from test_camera_node import START_LIMIT_S, Robot

from so101_node import entry_points

PAGE = HowToPage("add_a_camera.md")
PROGRAMS = {"launch": "so101_launch_runner", "cameras": "so101_doctor.cameras"}


@pytest.fixture(scope="module", params=[LINKED, pytest.param(COLCON, marks=pytest.mark.long)])
def workspace(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with the page's files after its first commands, and where Python finds the package."""
    folder = tmp_path_factory.mktemp("workspace")
    assert len(PAGE.files) == 5
    return folder, PAGE.build(folder, "line_camera", request.param)


def command(verb: str) -> list[str]:
    """The page's command `./so101 VERB ...`, past the set-up of the environment."""
    (line,) = [line for line in PAGE.commands() if line.startswith(f"./so101 {verb} ")]
    return [sys.executable, "-m", PROGRAMS[verb], *shlex.split(line)[2:]]


@pytest.fixture
def launched(workspace: tuple[Path, Path]) -> Iterator[Path]:
    """The log of the page's launch file, which runs until the test is over."""
    folder, modules = workspace
    log = folder / "log.txt"
    with log.open("w") as output:
        launch = subprocess.Popen(
            command("launch"), cwd=folder, env=environment_with(modules), stdout=output, stderr=subprocess.STDOUT
        )
    yield log
    launch.send_signal(signal.SIGINT)
    assert launch.wait(60) == 0, log.read_text()


def line_of(image: ObservationImage) -> int:
    """The column of the white line."""
    pixels = decode_image(bytes(image.image.data))
    assert pixels.shape == (240, 320, 3)
    brightness = pixels.mean(axis=(0, 2))
    assert brightness.max() > 200 and np.median(brightness) < 20
    return int(brightness.argmax())


def test_the_pages_camera_answers_a_policy_from_a_launch_file(launched: Path) -> None:
    robot = Robot()
    robot.node.create_subscription(ObservationImage, "line/observation", robot.images.append, qos.observation(2))
    try:
        robot.spec.publish(PolicySpec(spec_id=9, fps=20.0, cameras=["line"]))
        assert robot.wait(
            lambda: robot.request.get_subscription_count() == 1 and robot.node.count_publishers("line/observation") == 1
        ), launched.read_text()
        for request_id in (1, 2):
            robot.spin_for(0.3)  # until another frame is the newest
            robot.ask(request_id)
            assert robot.wait(lambda: len(robot.images) == request_id, 10)  # noqa: B023 - before the loop goes on
        first, second = robot.images
        assert second.frame_seq > first.frame_seq
        moved = 4 * (second.frame_seq - first.frame_seq)
        assert (line_of(second) - line_of(first)) % 320 == moved % 320
        said = PAGE.blocks("text")[1]
        assert robot.wait(lambda: said.strip() in launched.read_text(), START_LIMIT_S), launched.read_text()
    finally:
        robot.close()


def test_the_pages_look_says_what_the_page_shows(workspace: tuple[Path, Path]) -> None:
    folder, modules = workspace
    done = subprocess.run(
        command("cameras"), cwd=folder, env=environment_with(modules), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    pattern = re.escape(PAGE.blocks("text")[0]).replace(r"30\.0", r"\d+\.\d")
    assert re.match(pattern, done.stdout), done.stdout


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (entry_points, "no installed package has it; known are"),
        (entry_points, "uninstall or rename one of them"),
        (entry_points, "cannot be imported: "),
        (checked_source, "expected open(), read() that returns a Frame, and close()"),
        (frame, "expected (height, width, 3) uint8 pixels, got "),
        (checked_source, "s from now: expected capture_ns of "),
    ],
)
def test_the_lines_that_the_page_quotes_are_those_of_the_node(module: ModuleType, words: str) -> None:
    assert words in inspect.getsource(module) and words in PAGE.text
