# SPDX-License-Identifier: Apache-2.0
"""`replay --to policy_server` end to end: the real server answers over DDS, is recorded, and answers the bag again."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("lerobot", reason="LeRobot is not installed")

from dds_robot import Robot, RunningServer
from safetensors.numpy import load_file, save_file
from so101_bag.replay.__main__ import main
from so101_policy_server.lerobot.library import load
from tiny_policies import CAMERAS, cached

pytestmark = pytest.mark.long

CONFIG = Path(__file__).parents[3] / "config" / "record.yaml"
RECORDER = "import sys; from so101_bag.record.__main__ import main; sys.exit(main())"
REQUESTS = 5
SAME_RAD = 1e-5
"""Chunks travel as float32 rad, and the two servers may sum in another order: another number of threads."""


def picture(seed: int) -> bytes:
    """A JPEG that no other request has."""
    blocks = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", cv2.resize(blocks, (64, 48)))[1].tobytes()


@pytest.fixture(scope="module")
def policy() -> Path:
    return cached("act")


@pytest.fixture(scope="module")
def bag(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `./so101 record` keeps of a robot that the server answers."""
    folder = tmp_path_factory.mktemp("recorded") / "bag"
    server = RunningServer(load, pretrained_name_or_path=str(policy), policy_device="cpu")
    robot = Robot(cameras=CAMERAS)
    recorder = subprocess.Popen([sys.executable, "-c", RECORDER, str(folder), "--config", str(CONFIG)])
    try:
        robot.send_spec()
        robot.wait_until_heard()
        topics = ["action_chunk", "observation_request", *(f"{camera}/observation" for camera in CAMERAS)]
        assert robot.wait(lambda: all(robot.node.count_subscribers(topic) >= 2 for topic in topics))
        for number in range(1, REQUESTS + 1):
            robot.ask(number, positions=[0.1 * number] * 6)
            for place, camera in enumerate(CAMERAS):
                robot.show(camera, number, picture(10 * number + place), "jpeg")
            assert robot.answer_to(number).message == ""
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(60) == 0
    finally:
        recorder.kill()
        recorder.wait()
        robot.close()
        server.close()
    return folder


def replayed(bag: Path, report: Path, *arguments: str) -> dict:
    assert main([str(bag), "--to", "policy_server", "--report", str(report), *arguments]) == 0
    return json.loads(report.read_text())


@pytest.fixture
def other_policy(policy: Path, tmp_path: Path) -> Path:
    """The same network, trained otherwise: the second joint's action is larger by half a standard deviation."""
    folder = tmp_path / "other"
    shutil.copytree(policy, folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.action_head.bias"][1] += 0.5
    save_file(weights, folder / "model.safetensors")
    return folder


def test_the_bags_own_policy_gives_the_recorded_chunks_again(bag: Path, policy: Path, tmp_path: Path, capsys) -> None:
    metrics = replayed(bag, tmp_path / "report.json")
    assert (metrics["requests"], metrics["answered"], metrics["failures"]) == (REQUESTS, REQUESTS, {})
    assert metrics["error_rad"]["max"] <= SAME_RAD
    assert metrics["policy"] == metrics["recorded_policy"] == {
        "policy_type": "act", "path": str(policy), "device": "cpu"
    }  # fmt: skip
    assert metrics["latency_ms"]["replayed"]["inference"]["p50"] > 0
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    assert f"{REQUESTS} of {REQUESTS} requests got a chunk" in capsys.readouterr().out


def test_a_running_server_with_another_policy_is_told_by_the_joint_that_it_moves_otherwise(
    bag: Path, other_policy: Path, tmp_path: Path
) -> None:
    server = RunningServer(load, pretrained_name_or_path=str(other_policy), policy_device="cpu")
    try:
        metrics = replayed(bag, tmp_path / "report.json", "--running", "--limit", "2")
    finally:
        server.close()
    assert (metrics["requests"], metrics["answered"], metrics["identical_chunks"]) == (2, 2, 0)
    joints = metrics["error_rad"]["joints"]
    assert joints.pop("shoulder_lift")["rms"] > 100 * SAME_RAD
    assert all(error["max"] <= SAME_RAD for error in joints.values())
