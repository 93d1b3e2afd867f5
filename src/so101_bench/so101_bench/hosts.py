# SPDX-License-Identifier: Apache-2.0
"""Where the two halves of a side run: both here, or each in a network namespace of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from so101_bench.two_hosts.hosts import TwoHosts


@dataclass(frozen=True, slots=True)
class Hosts:
    """Command prefixes that put a process on the robot's or the server's computer, and how they find each other."""

    robot: tuple[str, ...] = ()
    server: tuple[str, ...] = ()
    server_address: str = "127.0.0.1"
    ros_environment: Mapping[str, str] = field(
        default_factory=lambda: {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"}
    )
    dds_profile: str = "udp"


LOOPBACK = Hosts()


def across(hosts: TwoHosts) -> Hosts:
    """Robot and server on the two hosts."""
    return Hosts(
        robot=hosts.prefix("robot"),
        server=hosts.prefix("server"),
        server_address=hosts.address("server"),
        # Nobody else is on that network; the domain is leased all the same.
        ros_environment={"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"},
        dds_profile="network",
    )
