# SPDX-License-Identifier: Apache-2.0
"""A policy server that is killed and comes back, which more than one row is about."""

import time

from fault_rig.rows import Case
from fault_rig.system import System
from so101_msgs.msg import PolicyStatus, QueueDecision

FIRST_CHUNK_S = 0.5
ASKED_SHORTLY_BEFORE_NS = 60_000_000


def measure_restart(system: System, case: Case) -> None:
    """Kill the server, start it again, and measure from its READY for this robot to its first chunk in the queue.

    A queue that still has rows asks later: then from its first request. A chunk may be heard of before READY is.
    """
    killed: list[int] = []
    before = system.watcher.servers.newest.server_id
    spec_id = system.watcher.servers.newest.spec_id

    def is_ready_for_us(status: PolicyStatus) -> bool:
        return status.server_id != before and status.state == PolicyStatus.READY and status.spec_id == spec_id

    def restart() -> int:
        began_ns = time.monotonic_ns()
        killed.append(began_ns)
        system.server.kill()
        system.server.start()
        return system.wait(lambda: system.watcher.servers.first(began_ns, is_ready_for_us), "the next server is READY")

    def first_request(ready_ns: int, at_ns: int) -> int:
        asked = [at for at, one in system.watcher.decisions.since(killed[-1]) if one.request and ready_ns < at <= at_ns]
        return asked[0] if asked and not took_before(ready_ns) else ready_ns

    def took_before(ready_ns: int) -> bool:
        """Whether a request that was asked shortly before READY was heard of is the one answered."""
        recent_ns = ready_ns - ASKED_SHORTLY_BEFORE_NS
        return any(one.request and at <= ready_ns for at, one in system.watcher.decisions.since(recent_ns))

    case.run(
        system,
        restart,
        lambda since: system.watcher.first_verdict(
            killed[-1] if killed else since, QueueDecision.ACCEPTED, lambda chunk: chunk.server_id != before
        ),
        "first chunk of the new server in the queue, after READY",
        FIRST_CHUNK_S,
        counted_from=first_request,
    )
