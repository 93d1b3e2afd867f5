# SPDX-License-Identifier: Apache-2.0
"""Another policy is named while the arm moves: no tick finds the queue empty, and nothing jumps."""

import time
from collections.abc import Iterator

import pytest
from fault_rig.light_server import HEIGHT, NONE, SMALL, WIDTH
from fault_rig.system import System
from rclpy.parameter import Parameter
from so101_msgs.msg import ActionChunk, PolicyStatus, QueueDecision

pytestmark = pytest.mark.faults

SEAM_RAD = 0.05  # max_seam_rad
WAVE_RAD = 0.012  # what the policy's own motion is from one tick to the next
SERVED_S = 1.5  # longer than from one request to the next


@pytest.fixture
def switchable(system: System) -> Iterator[System]:
    """The system with a server that keeps several policies; the queue asks for frames at the size of the named one."""
    server = system.make_server("policy_server_several", "allowed_policies:=[waving/*]", "max_policies_mb:=10")
    with system.in_place_of_server(server):
        server.start()
        system.recover()
        system.set_queue_parameter(Parameter("frame_size", value="policy"))
        yield system
        system.set_queue_parameter(Parameter("frame_size", value="camera"))
        system.set_queue_parameter(Parameter("pretrained_name_or_path", value=""))


def name_policy(system: System, path: str, is_told: str = "") -> int:
    """Name it to the queue, wait until the server says what came of it, and let it serve a while; returns since when.

    Args:
        system: whose queue is told.
        path: the policy; "" = the server's own.
        is_told: what the message of `policy_status` has in it where the first policy stays.
    """
    began_ns = time.monotonic_ns()
    system.set_queue_parameter(Parameter("pretrained_name_or_path", value=path))
    spec_id = system.wait(lambda: named(system, began_ns), "the queue has a spec of that policy")

    def told(one: PolicyStatus) -> bool:
        is_ready = one.spec_id == spec_id and one.state == PolicyStatus.READY
        return is_ready and (is_told in one.message if is_told else one.path == (path or "waving"))

    told_ns = system.wait(lambda: system.watcher.servers.first(began_ns, told), f"the server tells of {path}")
    time.sleep(SERVED_S)
    return told_ns


def named(system: System, since_ns: int) -> int:
    """The spec that the queue has had since it was told of another policy; 0 before."""
    changed_ns = system.watcher.decisions.first(since_ns, lambda one: one.input == QueueDecision.CONFIGURE)
    heard = system.watcher.queue.since(changed_ns) if changed_ns else []
    return heard[0][1].spec_id if heard else 0


def sizes_since(system: System, since_ns: int) -> list[tuple[int, ...]]:
    """The frame sizes of the requests since then, each run of equal ones once."""
    sizes = [tuple(one.frame_sizes) for _, one in system.watcher.requests.since(since_ns)]
    return [size for at, size in enumerate(sizes) if at == 0 or size != sizes[at - 1]]


def test_a_policy_named_while_the_arm_moves_takes_over_and_gives_way_without_a_starved_tick(
    switchable: System,
) -> None:
    system, server = switchable, switchable.server
    own, small = (HEIGHT, WIDTH), (HEIGHT // 2, WIDTH // 2)
    time.sleep(SERVED_S)
    began_ns = time.monotonic_ns()
    loads = server.said.count("Loading policy")

    name_policy(system, f"waving/{SMALL}")  # loaded beside the first, which serves meanwhile
    assert server.said.count("Loading policy") == loads + 1
    assert sizes_since(system, began_ns)[-1] == small

    name_policy(system, "")  # from the cache
    assert server.said.count("Loading policy") == loads + 1
    assert sizes_since(system, began_ns)[-1] == own

    failed_ns = name_policy(system, f"waving/{NONE}", "waving goes on: Failed to load policy")
    assert server.said.count("keeps its policy") == 1
    assert sizes_since(system, failed_ns) == [own]
    answered = [chunk.status for _, chunk in system.watcher.chunks.since(failed_ns)]
    assert answered and set(answered) == {ActionChunk.OK}

    refused = [one for _, one in system.watcher.chunks.since(began_ns) if one.status == ActionChunk.BAD_REQUEST]
    assert refused == []
    ticks, starved = system.starved_since(began_ns)
    assert ticks > 100 and starved == 0, system.story(began_ns)
    assert system.steps_of_setpoint(began_ns) < SEAM_RAD + WAVE_RAD
    assert system.motion.violations(system.bounds(), began_ns) == []
