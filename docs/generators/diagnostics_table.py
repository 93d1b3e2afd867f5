# SPDX-License-Identifier: Apache-2.0
"""Prints every cause on /diagnostics.

`./so101 ros python docs/generators/diagnostics_table.py > docs/reference/diagnostics.md`
"""

import importlib
import sys
from collections.abc import Iterable

from so101_node.diagnostics import Cause, Level

NODES = (
    ("so101_driver", "so101_driver.ros.diagnosis"),
    ("driver_pair", "so101_driver.ros.pair_diagnosis"),
    ("action_queue", "so101_action_queue.ros.diagnosis"),
    ("policy_server", "so101_policy_server.ros.diagnosis"),
    ("camera", "so101_camera.ros.camera_node"),
    ("frame_gate", "so101_camera.ros.frame_gate_node"),
    ("link_robot", "so101_link.ros.robot_diagnosis"),
    ("link_server", "so101_link.ros.server_diagnosis"),
    ("virtual_cameras", "so101_sim.ros.virtual_cameras_node"),
)

HEADER = """# Diagnostics

Written by `./so101 ros python docs/generators/diagnostics_table.py` from the code; a test keeps it current. Each node
publishes `diagnostic_msgs/DiagnosticArray` on `/diagnostics` once a second, and immediately when a level or cause
changes; see it with `rqt_robot_monitor`, `rqt` or `ros2 topic echo /diagnostics`. The name of an entry is the node's
full name without the first slash, and a part: `left/so101_driver: arm`. Its message begins with the cause; its first
two values are `cause` and `remedy`. An entry exists as long as its node runs, also while everything is OK.

The entry of `action_queue` also shows where the time of the last 50 chunks went, median and 95th percentile:
`mailbox_wait`, `wait_frames`, `decode`, `preprocess`, `inference`, `postprocess`, `server_other` (the server's own
measurements, and what they leave of its total), `network_both_ways` (what is left of the round trip; half of it is
given as an estimate of one way) and `queue` (until the first row is executed). What cameras wait on purpose
(`fresh_frames_within_s`) is in `wait_frames`. The entry of `policy_server` gives
`frame_age_p50_s` and `frame_age_p95_s`: from the capture of an observation's oldest frame to its publication, on its
camera's clock. No clocks of two computers are compared.
"""


def table(node: str, causes: Iterable[Cause]) -> str:
    """Return one node's causes as a Markdown table, worst first."""
    order = (Level.ERROR, Level.WARN, Level.OK)
    lines = [f"## {node}", "", "| Cause | Level | Meaning | Remedy |", "|---|---|---|---|"]
    for cause in sorted(causes, key=lambda cause: (order.index(cause.level), cause.name)):
        lines.append(f"| `{cause.name}` | {cause.level.name} | {cause.meaning} | {cause.remedy} |")
    return "\n".join(lines) + "\n"


def document() -> str:
    """Return the whole page."""
    tables = [table(node, importlib.import_module(module).CAUSES) for node, module in NODES]
    return "\n".join([HEADER, *tables])


if __name__ == "__main__":
    sys.stdout.write(document())
