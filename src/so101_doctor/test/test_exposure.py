# SPDX-License-Identifier: Apache-2.0
"""Who can command the arm, by what the kernel says of the sockets: tables written here, and a node of the test."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from so101_doctor.check import Check, Light
from so101_doctor.exposure import check_exposure, dds_processes
from so101_doctor.network import check_network

ANY, LOCAL, LAN, GROUP = "00000000", "0100007F", "0A00A8C0", "0100FFEF"
ANY6, LOCAL6, MAPPED6 = "0" * 32, "0" * 24 + "01000000", "0000000000000000FFFF00000100007F"
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
DRIVER = ["/usr/bin/python3", "/w/install/so101_driver/lib/so101_driver/so101_driver", "--ros-args"]


class Kernel:
    """A /proc of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "net").mkdir()
        (folder / "sys/net/ipv4").mkdir(parents=True)
        (folder / "sys/net/ipv4/ip_local_port_range").write_text("32768\t60999\n")
        for table in ("udp", "udp6"):
            (folder / "net" / table).write_text(HEADER)
        self._inode = 100

    def socket(self, address: str, port: int, state: str = "07") -> int:
        self._inode += 1
        table = self.folder / "net" / ("udp" if len(address) == 8 else "udp6")
        remote = "0" * len(address) + ":0000"
        line = f"  1: {address}:{port:04X} {remote} {state} 00000000:00000000 00:00000000 00000000  0        0 "
        table.write_text(f"{table.read_text()}{line}{self._inode} 2 0000000000000000 0\n")
        return self._inode

    def process(
        self, pid: int, sockets: Sequence[int], words: Sequence[str] = DRIVER, env: Mapping[str, str] | None = None
    ) -> None:
        descriptors = self.folder / str(pid) / "fd"
        descriptors.mkdir(parents=True)
        for number, inode in enumerate(sockets):
            (descriptors / str(number)).symlink_to(f"socket:[{inode}]")
        (descriptors / "9").symlink_to("/dev/null")
        (self.folder / str(pid) / "cmdline").write_text("\0".join([*words, ""]))
        (self.folder / str(pid) / "environ").write_text("".join(f"{k}={v}\0" for k, v in (env or {}).items()))

    def verdict(
        self,
        domain: int = 0,
        subscribers: Sequence[int] = (),
        heard: Sequence[int] = range(1 << 16),
        *,
        trusted: bool = False,
    ) -> Check | None:
        checks = list(check_exposure(domain, subscribers, heard, trusted=trusted, proc=self.folder))
        assert len(checks) <= 1
        return checks[0] if checks else None


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def test_where_no_node_runs_there_is_nothing_to_say(kernel: Kernel) -> None:
    kernel.process(50, [kernel.socket(ANY, 5353)], ["avahi-daemon"])
    assert kernel.verdict() is None


@pytest.mark.parametrize("address", [ANY, LAN, ANY6])
def test_a_driver_that_other_computers_reach_is_red_with_what_closes_it(address: str, kernel: Kernel) -> None:
    kernel.process(50, [kernel.socket(address, 7410), kernel.socket(address, 7411)])
    check = kernel.verdict()
    assert check is not None and check.state is Light.RED
    shown = {ANY: "0.0.0.0", LAN: "192.168.0.10", ANY6: "::"}[address]
    assert f"so101_driver (process 50) listens on {shown}: every computer that reaches this one" in check.text
    assert "RANGE" not in check.text
    for words in ("dds_profile:=loopback", "server_link:=", "UDP 7400 to 7649", "SROS2", "--trusted-network"):
        assert words in check.remedy


@pytest.mark.parametrize("address", [LOCAL, LOCAL6, MAPPED6])
def test_a_driver_on_the_loopback_interface_is_green(address: str, kernel: Kernel) -> None:
    """The socket of the multicast group takes announcements only."""
    sockets = [kernel.socket(GROUP, 7400), kernel.socket(address, 7410), kernel.socket(address, 7411)]
    kernel.process(50, sockets)
    check = kernel.verdict()
    assert check is not None and check.state is Light.GREEN
    assert "listens on 127.0.0.1 only" in check.text


def test_the_discovery_range_is_named_where_a_user_relies_on_it(kernel: Kernel) -> None:
    kernel.process(50, [kernel.socket(ANY, 7410)], env={"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"})
    check = kernel.verdict()
    assert check is not None and check.state is Light.RED
    assert "ROS_AUTOMATIC_DISCOVERY_RANGE does not prevent that" in check.text


def test_only_nodes_that_take_commands_matter(kernel: Kernel) -> None:
    kernel.process(50, [kernel.socket(LOCAL, 7410)])
    kernel.process(51, [kernel.socket(ANY, 7412)], ["/usr/bin/rviz2"])
    check = kernel.verdict()
    assert check is not None and check.state is Light.GREEN and "so101_driver (process 50)" in check.text
    # Another package's driver is known by its subscription, whatever its name.
    check = kernel.verdict(subscribers=[51])
    assert check is not None and check.state is Light.RED and "rviz2 (process 51)" in check.text


def test_a_node_that_was_not_heard_is_never_green_where_others_reach_it(kernel: Kernel) -> None:
    kernel.process(71, [kernel.socket(ANY, 7410)], ["python3", "someones_driver.py"])
    check = kernel.verdict(heard=[4])
    assert check is not None and check.state is Light.YELLOW and "did not announce what it takes" in check.text
    check = kernel.verdict(heard=[4, 71])
    assert check is not None and check.state is Light.GREEN


def test_a_server_alone_is_green(kernel: Kernel) -> None:
    kernel.process(70, [kernel.socket(ANY, 7410)], ["python3", "-m", "so101_policy_server"])
    check = kernel.verdict(subscribers=[4])  # a driver on another computer
    assert check is not None and check.state is Light.GREEN
    assert check.text == "no node on this computer takes it, among so101_policy_server (process 70)"


def test_a_process_that_may_not_be_looked_at_is_taken_for_the_one_that_subscribes(kernel: Kernel) -> None:
    kernel.socket(ANY, 7410)
    check = kernel.verdict(subscribers=[51])
    assert check is not None and check.state is Light.RED and "a process of another user" in check.text
    check = kernel.verdict()
    assert check is not None and check.state is Light.GREEN


def test_keys_of_sros2_close_it_only_where_they_are_enforced(kernel: Kernel) -> None:
    env = {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce"}
    kernel.process(50, [kernel.socket(ANY, 7410)], env=env)
    check = kernel.verdict()
    assert check is not None and check.state is Light.GREEN and "demands keys of SROS2" in check.text
    for entries in (
        "ROS_SECURITY_ENABLE=true\0",
        "ROS_SECURITY_ENABLE=true\0ROS_SECURITY_STRATEGY=enforce\0",  # ROS takes it for Permissive
        "ROS_SECURITY_ENABLE=True\0ROS_SECURITY_STRATEGY=Enforce\0",
    ):
        (kernel.folder / "50" / "environ").write_text(entries)
        check = kernel.verdict()
        assert check is not None and check.state is Light.RED, entries


def test_who_trusts_the_network_sees_yellow(kernel: Kernel) -> None:
    kernel.process(50, [kernel.socket(ANY, 7410)])
    check = kernel.verdict(trusted=True)
    assert check is not None and check.state is Light.YELLOW and check.remedy == ""


def test_sockets_of_another_domain_connected_ones_and_the_doctors_own_do_not_count(kernel: Kernel) -> None:
    kernel.process(50, [kernel.socket(ANY, 7660), kernel.socket(ANY, 7410, state="01")])
    kernel.process(os.getpid(), [kernel.socket(ANY, 7412)])
    assert kernel.verdict() is None
    check = kernel.verdict(domain=1)
    assert check is not None and check.state is Light.RED and "UDP 7650 to 7899" in check.remedy


def test_among_the_ports_of_senders_a_process_listens_on_two_neighbours(kernel: Kernel) -> None:
    """Domain 110 begins at 34900, where the kernel takes ports for sockets that only send."""
    kernel.process(50, [kernel.socket(LOCAL, 34910), kernel.socket(LOCAL, 34911), kernel.socket(ANY, 34933)])
    check = kernel.verdict(domain=110)
    assert check is not None and check.state is Light.GREEN
    kernel.process(51, [kernel.socket(ANY, 34912), kernel.socket(ANY, 34913)])
    check = kernel.verdict(domain=110)
    assert check is not None and check.state is Light.RED and "process 51" in check.text


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (DRIVER, "so101_driver"),
        (["python3", "-u", "-m", "so101_bag.record"], "so101_bag.record"),
        (["python3", "-m", "so101_node.verb", "so101_bag.record", "DIR"], "so101_bag.record"),
        (["/opt/ros/jazzy/lib/rviz2/rviz2"], "rviz2"),
        (["python3", "-c", "code"], "python3"),
        ([], "a process"),
    ],
)
def test_a_process_is_named_as_people_know_it(words: list[str], name: str, kernel: Kernel) -> None:
    kernel.process(50, [kernel.socket(ANY, 7410)], words)
    assert [one.name for one in dds_processes(0, kernel.folder)] == [name]


SUBSCRIBER = (
    "import rclpy; from sensor_msgs.msg import JointState; rclpy.init(); node = rclpy.create_node('foreign_driver');"
    "node.create_subscription(JointState, 'arm_1/joint_command', print, 1); print('up', flush=True); rclpy.spin(node)"
)


@pytest.mark.parametrize(("profile", "state"), [("udp", Light.GREEN), ("", Light.RED)])
def test_a_running_node_is_found_by_its_subscription(profile: str, state: Light, domain: int) -> None:
    """Which process an endpoint belongs to is read out of its identifier: of this version of Fast DDS."""
    env = {**os.environ, "ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
    env.pop("FASTRTPS_DEFAULT_PROFILES_FILE", None)
    if profile:
        env |= {
            "FASTRTPS_DEFAULT_PROFILES_FILE": str(Path(__file__).parents[3] / f"config/fastdds_{profile}.xml"),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT",
        }
    with subprocess.Popen([sys.executable, "-c", SUBSCRIBER], env=env, stdout=subprocess.PIPE, text=True) as node:
        try:
            assert node.stdout is not None and node.stdout.readline() == "up\n"
            checks = [check for check in check_network("", 3.0) if check.name == "joint_command"]
        finally:
            node.kill()
    assert [check.state for check in checks] == [state], checks
    assert f"(process {node.pid})" in checks[0].text
