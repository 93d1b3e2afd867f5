# SPDX-License-Identifier: Apache-2.0
"""What the joints really did, from the simulator's state and not from anything that the system under test says."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from so101_node.protocol import JOINT_NAMES
from so101_sim.arm.shared_state import SharedState

FloatArray = npt.NDArray[np.float64]

SAMPLE_S = 0.004  # the virtual arm writes every 8 ms
JOINTS = len(JOINT_NAMES)

# A goal jumps from one encoder step to the next (1.5 mrad) and the joint swings about its end stop by a little more.
POSITION_SLACK_RAD = 0.03
# The servo's set point keeps to the driver's speed limit, and the joint overshoots it while it catches up.
SPEED_SLACK = 1.1
# The servo accelerates its set point at 39 rad/s^2 at most (acceleration 254), less than the driver's own limit leaves
# to goals. Undisturbed motion, starts and stops stay below 37 rad/s^2 over 32 ms; a blow against the table makes 180.
ACCELERATION_LIMIT_RAD_S2 = np.array([60.0, 60.0, 60.0, 60.0, 60.0, 120.0])  # nothing hangs on the gripper
ACCELERATION_WINDOW_S = 0.032
STILL_RAD_S = 0.02


@dataclass(frozen=True, slots=True)
class Sample:
    """One state of the arm. joints: MuJoCo angles, (6,), rad; velocities: (6,), rad/s; t_ns: monotonic clock."""

    t_ns: int
    sim_time_s: float
    joints: FloatArray
    velocities: FloatArray


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the driver said is allowed. lower, upper: MuJoCo angles, rad; speed: rad/s; each (6,)."""

    lower: FloatArray
    upper: FloatArray
    speed: FloatArray


class MotionRecorder:
    """A thread that keeps every state of the arm."""

    def __init__(self, state: Path) -> None:
        self._state = SharedState.open(state)
        self._samples: list[Sample] = []
        self.longest_gap_s = 0.0  # between two turns, own or the arm's: how well this machine runs its processes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="motion", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()
        self._state.close()

    def _run(self) -> None:
        last = -1.0
        before_s = time.monotonic()
        while not self._stop.wait(SAMPLE_S):
            now_s = time.monotonic()
            self.longest_gap_s = max(self.longest_gap_s, now_s - before_s)
            before_s = now_s
            state = self._state.read()
            if state is not None and state.sim_time_s > last:
                last = state.sim_time_s
                if self._samples:  # the virtual arm's own turns
                    self.longest_gap_s = max(self.longest_gap_s, (state.monotonic_ns - self._samples[-1].t_ns) / 1e9)
                self._samples.append(
                    Sample(state.monotonic_ns, last, state.qpos[:JOINTS].copy(), state.qvel[:JOINTS].copy())
                )

    @property
    def newest(self) -> Sample:
        """The newest state."""
        return self._samples[-1]

    def since(self, since_ns: int, until_ns: int | None = None) -> list[Sample]:
        """States from `since_ns` on, oldest first."""
        samples = self._samples[:]
        begin = next((i for i in range(len(samples) - 1, -1, -1) if samples[i].t_ns < since_ns), -1) + 1
        return [sample for sample in samples[begin:] if until_ns is None or sample.t_ns <= until_ns]

    def forget(self, before_ns: int) -> None:
        """Drop what is older."""
        del self._samples[: len(self._samples) - len(self.since(before_ns))]

    def is_moving(self, window_s: float = 0.2) -> bool:
        """Whether some joint moved within the last `window_s`."""
        samples = self.since(time.monotonic_ns() - round(window_s * 1e9))
        return any(np.abs(sample.velocities).max() > 2 * STILL_RAD_S for sample in samples)

    def travelled(self, since_ns: int, until_ns: int | None = None) -> FloatArray:
        """How far each joint went from where it was at `since_ns`, (6,), rad."""
        joints = np.array([sample.joints for sample in self.since(since_ns, until_ns)])
        return np.abs(joints - joints[0]).max(axis=0) if len(joints) else np.zeros(JOINTS)

    def farthest_within(self, window_s: float, since_ns: int) -> float:
        """The longest way of any joint within `window_s` since then, rad."""
        samples = self.since(since_ns)
        times = np.array([sample.t_ns for sample in samples])
        joints = np.array([sample.joints for sample in samples])
        later = np.searchsorted(times, times + round(window_s * 1e9))
        ways = [np.abs(joints[end] - joints[begin]).max() for begin, end in enumerate(later) if end < len(times)]
        return float(max(ways, default=0.0))

    def violations(
        self,
        bounds: Bounds,
        since_ns: int,
        without: tuple[int, ...] = (),
        acceleration_rad_s2: FloatArray = ACCELERATION_LIMIT_RAD_S2,
    ) -> list[str]:
        """Where the measured motion left the limits since then, one line per joint and kind; empty is good.

        `without`: joints (indices) that have no torque and fall as they will. `acceleration_rad_s2`: (6,), where a
        motion is allowed more than undisturbed ones need.
        """
        samples = self.since(since_ns)
        if len(samples) < 2:
            return ["no motion was recorded"]
        times = np.array([sample.sim_time_s for sample in samples])
        joints = np.array([sample.joints for sample in samples])
        speeds = np.array([sample.velocities for sample in samples])
        beyond = np.maximum(bounds.lower - joints, joints - bounds.upper).max(axis=0)
        fastest = np.abs(speeds).max(axis=0)
        hardest = np.zeros(JOINTS)
        later = np.searchsorted(times, times + ACCELERATION_WINDOW_S - 1e-6)
        for begin, end in enumerate(later):
            if end < len(times):
                hardest = np.maximum(hardest, np.abs(speeds[end] - speeds[begin]) / (times[end] - times[begin]))
        found = []
        for index, name in enumerate(JOINT_NAMES):
            if index in without:
                continue
            if beyond[index] > POSITION_SLACK_RAD:
                found.append(f"{name} was {beyond[index]:.3f} rad beyond its limits")
            if fastest[index] > SPEED_SLACK * bounds.speed[index]:
                found.append(f"{name} moved at {fastest[index]:.2f} rad/s, limit {bounds.speed[index]:.2f}")
            if hardest[index] > acceleration_rad_s2[index]:
                found.append(f"{name} accelerated at {hardest[index]:.0f} rad/s^2")
        return found
