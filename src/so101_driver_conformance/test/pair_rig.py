# SPDX-License-Identifier: Apache-2.0
"""Two virtual arms with a real driver each, in the namespaces left and right."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from so101_sim.virtual_arm_client import RunningVirtualArm, running_virtual_arm

ARMS = ("left", "right")
JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
PAIR_JOINTS = [f"{arm}_{joint}" for arm in ARMS for joint in JOINTS]


@dataclass
class PairRig:
    """The arms, and what was started around them; logs lie in `folder`."""

    folder: Path
    arms: dict[str, RunningVirtualArm]
    driver_parameters: dict[str, object]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start_driver(self, arm: str) -> None:
        """Start the driver of that arm, for the first time or again; as a launch file does, until it has its bus."""
        virtual = self.arms[arm]
        name, end_s = f"{arm}_driver", time.monotonic() + 60.0
        log = self.folder / f"{name}.log"
        begin = log.stat().st_size if log.exists() else 0
        while "driving" not in self.said(name)[begin:]:
            assert time.monotonic() < end_s, self.said(name)
            if name not in self.processes or self.processes[name].poll() is not None:
                self.start(
                    name,
                    "so101_driver.ros.start",
                    "-r",
                    f"__ns:=/{arm}",
                    port=virtual.port,
                    robot_id="virtual",
                    calibration_dir=virtual.calibration.parent,
                    **self.driver_parameters,
                )
            time.sleep(0.1)

    def start(self, name: str, module: str, *words: str, **parameters: object) -> None:
        """Start a node."""
        given = [word for key, value in parameters.items() for word in ("-p", f"{key}:={value}")]
        with (self.folder / f"{name}.log").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", module, "--ros-args", *words, *given], stdout=output, stderr=subprocess.STDOUT
            )

    def signal(self, name: str, number: int) -> None:
        """Send a signal to one of the processes."""
        self.processes[name].send_signal(number)

    def said(self, name: str) -> str:
        """All that a process wrote."""
        log = self.folder / f"{name}.log"
        return log.read_text(errors="replace") if log.exists() else ""


@contextlib.contextmanager
def pair_rig(folder: Path, **driver_parameters: object) -> Iterator[PairRig]:
    """Both arms and both drivers; all processes end with the context."""
    with contextlib.ExitStack() as stack:
        arms = {arm: stack.enter_context(running_virtual_arm("--real-time-priority")) for arm in ARMS}
        # Emulators and drivers are processes on a machine that may be busy.
        rig = PairRig(folder, arms, {"reply_timeout_s": 0.02, **driver_parameters})
        stack.callback(_end, rig)
        for arm in ARMS:
            rig.start_driver(arm)
        yield rig


def _end(rig: PairRig) -> None:
    for process in rig.processes.values():
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
            process.kill()
        process.wait()
