# SPDX-License-Identifier: Apache-2.0
"""A recorded run of the whole chain: the control loop is not disturbed, the queue repeats, the frames fit a dataset."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from so101_bag.dataset.bag_streams import read_streams
from so101_bag.dataset.episode_frames import frames, moments
from so101_bag.replay.__main__ import main as replay
from so101_bag.storage.reader import Bag
from so101_bag.storage.repair import repair
from so101_node.protocol.units import Units

DEMO_TIMEOUT_S = 400.0


def demo(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "so101_demo", "--headless", "--policy", "expert", "--no-video"]
    command += ["--seed", "1", "--record", "bag", "--report", "report.json", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.long
def test_a_recorded_demo_replays_bit_for_bit_and_holds_the_frames_of_its_episodes(tmp_path):
    process = demo(tmp_path, "--episodes", "2")
    output = process.communicate(timeout=DEMO_TIMEOUT_S)[0]
    assert process.returncode == 0, output
    assert output.splitlines()[-1] == "bag: bag"
    report = json.loads((tmp_path / "report.json").read_text())
    assert replay([str(tmp_path / "bag"), "--to", "queue", "--report", str(tmp_path / "replay.json")]) == 0
    replayed = json.loads((tmp_path / "replay.json").read_text())
    assert replayed["identical"] and replayed["decisions"] > 200
    late = replayed["recorded"]["chunks_accepted"] - report["chunks"]["accepted"]
    assert 0 <= late <= 2  # what comes between the end of an episode and the queue's stop is in the bag alone
    assert replayed["recorded"]["starved_ticks"] == report["starved_ticks"]
    with Bag(tmp_path / "bag") as bag:
        streams = read_streams(bag, Units.DEGREES, ())
        assert set(streams.cameras) == {"front", "top", "wrist"} and len(streams.episodes) == 2
        for span in streams.episodes:
            assert span.task == "Pick the cube to place"
            if span.outcome == "succeeded":
                times = moments(streams, span, 30.0, 0.5)
                first = next(frames(streams, times, 1.0))
                assert first.images["top"].ndim == 3 and abs(first.state[0]) < 180


@pytest.mark.long
def test_a_recorder_that_is_killed_ends_neither_the_demo_nor_its_bag(tmp_path):
    process = demo(tmp_path, "--episodes", "1")
    recorder = None
    end_s = time.monotonic() + DEMO_TIMEOUT_S
    while not (tmp_path / "bag").exists() or not recorder:
        assert time.monotonic() < end_s and process.poll() is None
        family = psutil.Process(process.pid).children(recursive=True)
        recorder = next((child for child in family if "__node:=recorder" in child.cmdline()), None)
        time.sleep(0.2)
    log = tmp_path / "outputs" / "demo.log"
    while "recording" not in log.read_text() or "action_queue/decisions" not in log.read_text():
        assert time.monotonic() < end_s and process.poll() is None
        time.sleep(0.2)
    time.sleep(4.0)
    os.kill(recorder.pid, signal.SIGKILL)
    output = process.communicate(timeout=DEMO_TIMEOUT_S)[0]
    assert json.loads((tmp_path / "report.json").read_text())["episodes"] == 1, output
    assert process.returncode == 1 and "(the run itself completed)" in output.splitlines()[-1]
    assert repair(tmp_path / "bag").messages > 100
