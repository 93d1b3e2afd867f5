# SPDX-License-Identifier: Apache-2.0
"""Can a neighbour on the arm's network command it? Tried over a wire, and held against what the doctor says. Root."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_share_directory
from so101_bench.two_hosts.hosts import TwoHosts, why_not
from so101_bench.two_hosts.wire import NO_WIRE

CONFIG = Path(get_package_share_directory("so101_config"))
ARM = Path(__file__).with_name("joint_command_tap.py")
DOMAIN = "7"
REASON = why_not()


def environment(profile: str, discovery: str) -> dict[str, str]:
    env = {**os.environ, "ROS_DOMAIN_ID": DOMAIN, "ROS_AUTOMATIC_DISCOVERY_RANGE": discovery}
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "ROS_STATIC_PEERS"):
        env.pop(name, None)
    if profile:
        env["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(CONFIG / f"fastdds_{profile}.xml")
    return env


@pytest.mark.skipif(REASON is not None, reason=REASON or "")
@pytest.mark.long
@pytest.mark.parametrize(
    ("profile", "discovery", "open_"),
    [
        ("loopback", "SYSTEM_DEFAULT", False),  # as the launch files set them
        ("loopback", "SUBNET", False),
        ("udp", "SYSTEM_DEFAULT", False),
        ("network", "SUBNET", True),
        ("", "LOCALHOST", True),
    ],
)
def test_the_doctor_is_red_where_commands_of_a_neighbour_arrive_and_only_there(
    profile: str, discovery: str, open_: bool
) -> None:
    with TwoHosts(NO_WIRE) as network:
        robot, neighbour = network.prefix("robot"), network.prefix("server")
        taps = [*robot, sys.executable, str(ARM), "listen", "11"]
        env = environment(profile, discovery)
        with subprocess.Popen(taps, env=env, stdout=subprocess.PIPE, text=True) as arm:
            try:
                assert arm.stdout is not None and arm.stdout.readline() == "up\n"
                env = {**environment("", "SUBNET"), "ROS_STATIC_PEERS": network.address("robot")}
                with subprocess.Popen([*neighbour, sys.executable, str(ARM), "command", "10"], env=env) as commands:
                    doctor = [*robot, sys.executable, "-m", "so101_doctor", "network", "--listen", "5"]
                    said = subprocess.run(
                        doctor, env=environment("", "SUBNET"), capture_output=True, text=True, check=False
                    )
                    commands.wait(timeout=60)
                arrived = int(arm.stdout.readline())
            finally:
                arm.kill()
    assert (arrived > 0) == open_, arrived
    (line,) = [line for line in said.stdout.splitlines() if "network: joint_command:" in line]
    assert line.startswith("red" if open_ else "green"), line
