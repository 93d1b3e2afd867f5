# SPDX-License-Identifier: Apache-2.0
"""The real policy server with a policy of a few lines in place of the network: no torch, ready in two seconds.

Everything between DDS and the policy is what robots meet: intake, frames, decoding, threads, heartbeat, errors. The
policy waves two joints around the home pose, going on from the measured pose as a trained one does. Before each
inference it reads `--mood FILE`, JSON:

    delay_s    the inference takes this long
    raises     "error": an exception; "memory": MemoryError; "nan": values that are not finite

Started as `python light_server.py --mood FILE --ros-args ...`. A policy whose path ends with SMALL reads frames of half
the size and waves half as far; one whose path ends with NONE cannot be loaded.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from so101_node.process import run_node
from so101_policy_server.policy import (
    ImageFeature,
    Leftover,
    Observation,
    PolicyDescription,
    PolicyError,
    PolicyLoadError,
    PolicySource,
    Prediction,
    Progress,
)
from so101_policy_server.ros.policy_server_node import PolicyServerNode

HORIZON = 50
FPS = 30.0
SMALL = "small"
NONE = "none"
HEIGHT, WIDTH = 96, 128
MEMORY_BYTES = 1_000_000
HOME_RAD = (0.0, -1.2, 1.1, 1.0, 0.0)  # park_positions of config/sim.yaml, without the gripper
AMPLITUDE_RAD = 0.2
PERIOD_S = 4.0
SETTLE_S = 0.5
LOAD_S = 1.5  # a trained policy takes longer, and DDS, which repeats what it lost at a start every second, has it too
GRIPPER_PERCENT = 40.0
FINGERPRINT = "fa" * 32


class WavingPolicy:
    """Pan and roll swing a quarter of a period apart, so that one of them always moves."""

    def __init__(self, path: str, mood: Path) -> None:
        parts = 2 if path.endswith(SMALL) else 1
        image = ImageFeature("observation.images.top", "top", 3, HEIGHT // parts, WIDTH // parts)
        self.description = PolicyDescription(
            "waving", path, "cpu", HORIZON, (image,), 6, 6, fingerprint=FINGERPRINT, memory_bytes=MEMORY_BYTES
        )
        self._amplitude_rad = AMPLITUDE_RAD / parts
        self._mood = mood

    def reset(self) -> None:
        """Nothing is remembered."""

    def infer(self, observation: Observation, leftover: Leftover | None) -> Prediction:
        """Wave; or what the mood says."""
        began = time.monotonic()
        mood = json.loads(self._mood.read_text())
        time.sleep(mood.get("delay_s", 0.0))
        match mood.get("raises"):
            case "error":
                raise ValueError("the policy has a defect")
            case "memory":
                raise MemoryError("out of memory: 12 GiB wanted")
            case "nan":
                raise PolicyError("values that are not finite: row 3")
        away = np.radians(observation.state[-1][:5]) - HOME_RAD
        ahead = np.arange(HORIZON) / FPS
        phase = np.arctan2(away[0], away[4]) + 2 * np.pi * ahead / PERIOD_S
        radius = self._amplitude_rad + (np.hypot(away[0], away[4]) - self._amplitude_rad) * np.exp(-ahead / SETTLE_S)
        rows = np.zeros((HORIZON, 6), np.float32)
        rows[:, :5] = np.degrees(HOME_RAD)
        rows[:, 0] += np.degrees(radius * np.sin(phase))
        rows[:, 4] += np.degrees(radius * np.cos(phase))
        rows[:, 5] = GRIPPER_PERCENT
        return Prediction(rows, 0.0, time.monotonic() - began, 0.0)


def main() -> None:
    """Run until a signal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mood", type=Path, required=True)
    own, _ = parser.parse_known_args()

    def load(source: PolicySource, progress: Progress) -> WavingPolicy:
        time.sleep(LOAD_S)
        if source.path.endswith(NONE):
            raise PolicyLoadError(f"{source.path}: no such policy")
        return WavingPolicy(source.path, own.mood)

    sys.exit(run_node(lambda: PolicyServerNode(load), events=True))


if __name__ == "__main__":
    main()
