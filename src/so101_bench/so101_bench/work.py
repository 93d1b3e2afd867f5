# SPDX-License-Identifier: Apache-2.0
"""What both sides work on: images and a policy, made once per bench in its temporary folder."""

import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from so101_bench.errors import BenchError
from so101_bench.frames import WALKS, write_frames
from so101_bench.options import BenchOptions

CAMERAS = tuple(WALKS)
CHECKPOINT_TIMEOUT_S = 180.0
NEEDED = ("torch", "lerobot", "grpc")  # grpc comes with LeRobot's extra for asynchronous inference
# One thread for either policy: two are 4-7 times slower where two cores are shared with the robot's processes.
SERVER_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True, slots=True)
class Work:
    """The same for both sides. `folder` is free for their files."""

    folder: Path
    checkpoint: Path
    frames: Path
    options: BenchOptions


def prepare(folder: Path, options: BenchOptions) -> Work:
    """Make images and policy.

    Raises:
        BenchError: one of them cannot be made.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise BenchError(f"{', '.join(missing)} is not installed: ./so101 setup all, or pip install 'lerobot[async]'")
    checkpoint, frames = folder / "policy", folder / "frames"
    try:
        write_frames(frames)
    except OSError as error:
        raise BenchError(f"the images cannot be made: {error}") from error
    command = [sys.executable, "-m", "so101_bench.checkpoint", str(checkpoint), *CAMERAS]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **SERVER_ENVIRONMENT},
            capture_output=True,
            text=True,
            timeout=CHECKPOINT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"no policy after {CHECKPOINT_TIMEOUT_S:g} s: this machine is too busy to measure") from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BenchError(f"the policy cannot be made: {reason}; ./so101 setup all installs what it needs")
    return Work(folder, checkpoint, frames, options)
