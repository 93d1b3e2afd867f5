# SPDX-License-Identifier: Apache-2.0
"""Rows about a camera that stops or freezes while a correction uses its frames."""

import functools
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from correction_weights import correction_file
from fault_rig.light_server import FINGERPRINT
from fault_rig.rows import FaultTable
from fault_rig.system import System
from so101_correction.core.correction_file import write
from so101_correction.core.corrector import FADE_S, FRAME_TIMEOUT_S, FROZEN_S
from so101_msgs.msg import QueueStatus
from so101_node.protocol import JOINT_NAMES

pytestmark = pytest.mark.faults

FRAME_S = 1.0 / 30.0


@pytest.fixture(scope="module")
def only_correcting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder: Path = tmp_path_factory.mktemp("correction")
    file = correction_file(
        ("top",),
        fingerprint=FINGERPRINT,
        joint_names=JOINT_NAMES,
        largest_delta_rad=0.06,
        largest_change_rad=0.01,
    )
    write(folder / "correction.npz", file)
    with System(folder, queue_parameters={"correction_file": str(folder / "correction.npz")}).running() as system:
        yield system


@pytest.fixture
def system(only_correcting: System) -> System:
    """The system with the arm waving, and each setpoint corrected."""
    only_correcting.recover()
    only_correcting.wait(lambda: corrects(only_correcting, time.monotonic_ns() - 10**9), "setpoints are corrected")
    return only_correcting


def corrects(system: System, since_ns: int) -> int | None:
    return system.watcher.queue.first(since_ns, lambda one: not one.correction_cause and bool(np.any(one.correction)))


@pytest.mark.parametrize(
    ("how", "told", "noticed_s"),
    [
        ("killed", "camera top: newest frame", FRAME_TIMEOUT_S),
        ("hangs", "camera top: newest frame", FRAME_TIMEOUT_S),
        ("frozen: sends one frame again and again", "camera top: the same frame", FROZEN_S),
    ],
)
def test_a_camera_that_gives_nothing_new_ends_the_correction_and_the_rows_go_on(
    system: System, table: FaultTable, how: str, told: str, noticed_s: float
) -> None:
    with table.case(25, f"camera of a correction {how}") as case:
        began_ns = time.monotonic_ns()
        frame = next(system.pictures.iterdir()).read_bytes()
        freeze = functools.partial(system.show_pictures, frame)
        inject = {"killed": system.camera.kill, "hangs": system.camera.pause}.get(how, freeze)

        def faded(since_ns: int) -> int | None:
            return system.watcher.queue.first(
                since_ns, lambda one: told in one.correction_cause and not np.any(one.correction)
            )

        # Named after noticed_s, then faded. Both are seen at a tick; frames on their way and files that are exchanged
        # one by one cost some more.
        bound_s = noticed_s + FADE_S + 5 * FRAME_S
        faded_ns = case.run(system, inject, faded, "its name is told and nothing is added", bound_s)
        system.wait(
            lambda: system.watcher.first_tick(faded_ns, lambda one: one.state == QueueStatus.RUNNING), "the rows go on"
        )
        again_ns = time.monotonic_ns()
        if how == "killed":
            system.camera.start()
        elif how == "hangs":
            system.camera.resume()
        else:
            system.show_pictures()
        system.wait(lambda: corrects(system, again_ns), "setpoints are corrected again")
        assert system.motion.violations(system.bounds(), began_ns) == []
