"""A policy server that is killed and comes back, which more than one row is about."""

import time

from so101_msgs.msg import PolicyStatus, QueueDecision

from fault_rig.rows import Case
from fault_rig.system import System

FIRST_CHUNK_S = 1.0


def measure_restart(system: System, case: Case) -> None:
    """Kill the server, start it again, and measure from its READY for this robot to its first chunk in the queue."""
    before = system.watcher.servers.newest.server_id
    spec_id = system.watcher.servers.newest.spec_id

    def is_ready_for_us(status: PolicyStatus) -> bool:
        return status.server_id != before and status.state == PolicyStatus.READY and status.spec_id == spec_id

    def restart() -> int:
        began_ns = time.monotonic_ns()
        system.server.kill()
        system.server.start()
        return system.wait(lambda: system.watcher.servers.first(began_ns, is_ready_for_us), "the next server is READY")

    case.run(
        system,
        restart,
        lambda since: system.watcher.first_verdict(
            since, QueueDecision.ACCEPTED, lambda chunk: chunk.server_id != before
        ),
        "first chunk of the new server in the queue, after READY",
        FIRST_CHUNK_S,
    )
