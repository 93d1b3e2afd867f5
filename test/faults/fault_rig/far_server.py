# SPDX-License-Identifier: Apache-2.0
"""The system on two hosts: the policy server beyond a wire, everything else on the robot's side."""

from pathlib import Path

from fault_rig.system import System, config_file
from so101_bench.two_hosts.hosts import TwoHosts

ROBOT_NODES = ("so101_driver", "action_queue", "top")


def system_on(
    hosts: TwoHosts, folder: Path, robot: dict[str, str] | None = None, server: dict[str, str] | None = None
) -> System:
    """A system that is not started yet; `robot` and `server` are environment variables of that side's nodes."""
    dds = {
        "FASTRTPS_DEFAULT_PROFILES_FILE": str(config_file("fastdds_network.xml")),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
    }
    prefix = hosts.prefix("robot")
    return System(
        folder,
        prefixes=dict.fromkeys(ROBOT_NODES, prefix) | {"policy_server": hosts.prefix("server")},
        environments=dict.fromkeys(ROBOT_NODES, dds | (robot or {})) | {"policy_server": dds | (server or {})},
        queue_parameters={"request_policy": "adaptive"},
        network=hosts.network("robot"),
    )
