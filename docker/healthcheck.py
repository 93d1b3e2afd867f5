#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is the node behind a latched status topic alive and well? Exit code 0: yes. Argument: policy_status or driver_status.

Alive: a status arrives within 5 s. Well: the server is not in ERROR, the driver has a bus and is not LATCHED.
"""

import sys
import time

import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile
from so101_msgs.msg import DriverStatus, PolicyStatus

WAIT_S = 5.0
TOPICS = {
    "policy_status": (PolicyStatus, {PolicyStatus.ERROR: "ERROR"}),
    "driver_status": (DriverStatus, {DriverStatus.NO_BUS: "NO_BUS", DriverStatus.LATCHED: "LATCHED"}),
}


def main(arguments: list[str]) -> int:
    """Wait for one status and judge it."""
    if len(arguments) != 1 or arguments[0] not in TOPICS:
        print(f"usage: healthcheck.py {'|'.join(TOPICS)}", file=sys.stderr)
        return 2
    message_type, ill = TOPICS[arguments[0]]
    heard: list[PolicyStatus | DriverStatus] = []
    rclpy.init()
    node = rclpy.create_node("healthcheck", enable_rosout=False, start_parameter_services=False)
    node.create_subscription(
        message_type, arguments[0], heard.append, QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    )
    end = time.monotonic() + WAIT_S
    while not heard and time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.1)
    node.destroy_node()
    rclpy.shutdown()
    if not heard:
        print(f"no {arguments[0]} within {WAIT_S:g} s")
        return 1
    state = ill.get(heard[0].state)
    print(f"{state}: {heard[0].message}" if state else "well")
    return 1 if state else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
