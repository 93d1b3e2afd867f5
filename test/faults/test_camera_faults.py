# SPDX-License-Identifier: Apache-2.0
"""Rows about cameras: gone, frozen, and full of rubbish."""

import os
import time

import pytest
from fault_rig.rows import FaultTable
from fault_rig.system import System
from so101_msgs.msg import ActionChunk, QueueStatus

pytestmark = pytest.mark.faults

FRAME_S = 1.0 / 30.0
FRAMES_TIMEOUT_S = 1.0  # obs_queue_timeout of the policy server
MEMORY_SLACK_BYTES = 10_000_000  # less than what 3 refusals would leave behind, if each kept its 10 MB


def refusal(system: System, since_ns: int) -> int | None:
    """When the first answer came that says what is wrong with the camera."""
    return system.watcher.chunks.first(
        since_ns, lambda one: one.status == ActionChunk.OBSERVATION_INCOMPLETE and "top" in one.message
    )


def asked(system: System, began_ns: int, at_ns: int) -> int:
    """When the question was asked that was refused: the fault cannot show before."""
    refused = next(one for at, one in system.watcher.chunks.since(at_ns) if one.status != ActionChunk.OK)
    return next(
        at for at, one in system.watcher.requests.since(began_ns - 10**10) if one.request_id == refused.request_id
    )


def wait_for_running(system: System, since_ns: int) -> None:
    system.wait(
        lambda: system.watcher.first_tick(since_ns, lambda one: one.state == QueueStatus.RUNNING), "rows are executed"
    )


@pytest.mark.parametrize("how", ["killed", "hangs", "unplugged: newest frame stays the same"])
def test_a_camera_that_gives_nothing_new_is_named_and_the_arm_holds_until_it_does(
    system: System, table: FaultTable, how: str
) -> None:
    with table.case(10, f"camera {how}") as case:
        began_ns = time.monotonic_ns()
        inject = {"killed": system.camera.kill, "hangs": system.camera.pause}.get(how, system.take_pictures_away)
        refused_ns = case.run(
            system,
            inject,
            lambda since: refusal(system, since),
            "OBSERVATION_INCOMPLETE names it, after the question",
            3 * FRAME_S + FRAMES_TIMEOUT_S,
            counted_from=lambda began, at: asked(system, began, at),
        )
        system.wait(
            lambda: system.watcher.first_tick(
                refused_ns, lambda one: one.state == QueueStatus.HOLDING and "OBSERVATION_INCOMPLETE" in one.cause
            ),
            "the queue holds and says why",
        )
        again_ns = time.monotonic_ns()
        if how == "killed":
            system.camera.start()
        elif how == "hangs":
            system.camera.resume()
        else:
            system.show_pictures()
        wait_for_running(system, again_ns)
        assert system.motion.violations(system.bounds(), began_ns) == []


RUBBISH = {
    "garbage instead of a JPEG": os.urandom(20_000),
    "10 MB of garbage": os.urandom(10_000_000),
    "an empty JPEG": b"",
    "a truncated JPEG": None,
}


@pytest.mark.parametrize("fault", list(RUBBISH))
def test_rubbish_from_a_camera_is_refused_and_costs_the_server_nothing(
    system: System, table: FaultTable, fault: str
) -> None:
    with table.case(23, fault) as case:
        began_ns = time.monotonic_ns()
        data = RUBBISH[fault]
        if data is None:
            whole = (system.pictures / "0.jpg").read_bytes()
            data = whole[: len(whole) // 2]
        refused_ns = case.run(
            system,
            lambda: system.show_pictures(data),
            lambda since: refusal(system, since),
            "OBSERVATION_INCOMPLETE, after the question",
            3 * FRAME_S + FRAMES_TIMEOUT_S,
            counted_from=lambda began, at: asked(system, began, at),
        )

        def refusals() -> int:
            answers = system.watcher.chunks.since(refused_ns)
            return len({one.request_id for _, one in answers if one.status != ActionChunk.OK})

        memory_bytes: dict[int, int] = {}  # after so many refusals

        def has_settled() -> bool:  # DDS makes room for a few frames of this size first
            count = refusals()
            memory_bytes[count] = system.server.memory_bytes()
            before = memory_bytes.get(count - 3)
            return count >= 7 and before is not None and memory_bytes[count] < before + MEMORY_SLACK_BYTES

        system.wait(has_settled, "three refusals in a row leave nothing behind", 60.0)
        assert system.server.is_running
        again_ns = time.monotonic_ns()
        system.show_pictures()
        wait_for_running(system, again_ns)
        assert system.motion.violations(system.bounds(), began_ns) == []
