# SPDX-License-Identifier: Apache-2.0
"""Each variable that keeps robot and server apart is named with what to type."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from so101_doctor.check import Light
from so101_doctor.machine import check_machine
from so101_doctor.network import check_network

from so101_doctor import environment, machine

SERVER = "192.0.2.7"


@pytest.mark.parametrize(
    ("name", "value", "alone", "with_peer", "words"),
    [
        ("ROS_LOCALHOST_ONLY", "1", Light.YELLOW, Light.RED, ("only those of this", "unset ROS_LOCALHOST")),
        ("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST", Light.YELLOW, Light.RED, ("only those of", "unset ROS_AUTO")),
        ("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF", Light.YELLOW, Light.RED, ("find no others", "unset ROS_AUTOMATIC")),
        ("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNETS", Light.YELLOW, Light.RED, ("none of SUBNET", "unset ROS_AUTO")),
        ("ROS_DISCOVERY_SERVER", "10.0.0.1:11811", Light.YELLOW, Light.RED, ("discovery server", "unset ROS_DISC")),
        ("ROS_SECURITY_ENABLE", "true", Light.YELLOW, Light.RED, ("keys", "unset ROS_SECURITY")),
        ("ROS_STATIC_PEERS", "10.0.0.9", Light.GREEN, Light.YELLOW, ("10.0.0.9",)),
        ("ROS_STATIC_PEERS", f"10.0.0.9;{SERVER}", Light.GREEN, Light.GREEN, ("10.0.0.9;192.0.2.7",)),
        ("RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp", Light.RED, Light.RED, ("not installed", "unset RMW_IMPL")),
        ("FASTRTPS_DEFAULT_PROFILES_FILE", "/no/such.xml", Light.YELLOW, Light.YELLOW, ("no such file", "unset FAST")),
        ("FASTRTPS_DEFAULT_PROFILES_FILE", __file__, Light.YELLOW, Light.YELLOW, ("dds_profile:=none",)),
        ("FASTDDS_BUILTIN_TRANSPORTS", "LARGE_DATA", Light.YELLOW, Light.YELLOW, ("unset FASTDDS_BUILTIN_TRANSPORTS",)),
        ("ROS_NAMESPACE", "left", Light.YELLOW, Light.YELLOW, ("/left", "unset ROS_NAMESPACE")),
    ],
)
def test_a_variable_of_the_shell_is_named(name, value, alone, with_peer, words) -> None:
    for peer, state in (("", alone), (SERVER, with_peer)):
        (check,) = environment.check_environment(peer, {name: value})
        assert (check.name, check.state) == (name, state), check
        assert f"{name}={value}" in check.text
        assert all(word in check.line() for word in words), check.line()


def test_the_range_of_the_udp_profile_is_told_where_an_address_would_be_ignored() -> None:
    shell = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"}
    assert list(environment.check_environment("", shell)) == []
    (check,) = environment.check_environment(SERVER, shell)
    assert check.state is Light.YELLOW and "server_address:= and ROS_STATIC_PEERS are ignored" in check.text


@pytest.mark.parametrize(
    "shell",
    [
        {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"},
        {"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"},
        {"ROS_LOCALHOST_ONLY": "1"},
    ],
)
def test_peers_that_are_ignored_are_not_said_to_be_contacted(shell: dict[str, str]) -> None:
    for peer in ("", SERVER):
        (check,) = environment.check_environment(peer, {**shell, "ROS_STATIC_PEERS": SERVER})
        assert check.state is not Light.GREEN and "ROS_STATIC_PEERS are ignored" in check.text


def test_a_shell_without_them_is_not_spoken_of() -> None:
    harmless = {"ROS_LOCALHOST_ONLY": "0", "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp", "ROS_STATIC_PEERS": ""}
    assert list(environment.check_environment(SERVER, harmless)) == []
    assert list(environment.check_distribution({"ROS_DISTRO": "jazzy"})) == []


def test_doctor_shows_them_and_survives_a_middleware_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_zenoh_cpp")
    monkeypatch.setenv("ROS_LOCALHOST_ONLY", "1")
    found = {check.name: check.state for check in check_network("", 0.1)}
    assert found["RMW_IMPLEMENTATION"] is Light.RED and found["ROS_LOCALHOST_ONLY"] is Light.YELLOW
    assert "policy server" not in found  # a node would have ended this process
    monkeypatch.setenv("ROS_DISTRO", "humble")
    assert "ROS_DISTRO" in {check.name for check in check_machine()}


SHARED = {"so101_msgs"}
ROBOT = SHARED | {"so101_bringup", "so101_driver", "so101_action_queue", "so101_camera"}


@pytest.mark.parametrize(
    ("built", "state", "text"),
    [
        (ROBOT | {"so101_policy_server"}, Light.GREEN, "all built"),
        (ROBOT, Light.GREEN, "those of so101_bringup are built"),
        (SHARED | {"so101_policy_server"}, Light.GREEN, "those of so101_policy_server are built"),
        (ROBOT - {"so101_camera"}, Light.RED, "not built: so101_camera"),
        (SHARED, Light.RED, "so101_driver, so101_action_queue, so101_camera, so101_policy_server"),
    ],
)
def test_a_computer_may_have_one_half_of_the_packages(
    built: set[str], state: Light, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_is_built", built.__contains__)
    packages = next(check for check in check_machine() if check.name == "packages")
    assert packages.state is state and text in packages.text


def test_peers_that_no_node_starts_with_have_their_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    monkeypatch.setenv("ROS_STATIC_PEERS", "10.0.0.1,10.0.0.2")
    found = list(check_network("", 0.1))
    (red,) = [check for check in found if check.state is Light.RED]
    assert red.name == "ROS" and "separated by ;" in red.remedy
    assert [check for check in found if check.name == "ROS_STATIC_PEERS"] == []  # one verdict


def test_nodes_in_another_domain_are_found(lease_domain: Callable[[], AbstractContextManager[int]]) -> None:
    code = "import rclpy; rclpy.init(); node = rclpy.create_node('elsewhere'); print('up', flush=True); input()"
    with lease_domain() as domain:
        # Neither the range nor the profile of these tests: with them nodes announce themselves to this computer alone.
        own = {**os.environ, "ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
        own.pop("FASTRTPS_DEFAULT_PROFILES_FILE", None)
        node = subprocess.Popen(
            [sys.executable, "-c", code], env=own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert node.stdout is not None and node.stdout.readline() == "up\n"
            heard = environment.other_domains(4.0, domain + 1, threading.Event())  # it announces itself every 3 s
            assert heard.get(domain), heard
            assert domain not in environment.other_domains(0.1, domain, threading.Event())
        finally:
            node.communicate("\n", timeout=20)


def test_the_profiles_of_this_workspace_are_green() -> None:
    from ament_index_python.packages import get_package_share_directory

    file = Path(get_package_share_directory("so101_config")) / "fastdds_network.xml"
    (check,) = environment.check_environment(SERVER, {"FASTRTPS_DEFAULT_PROFILES_FILE": str(file)})
    assert check.state is Light.GREEN


def test_a_middleware_that_is_not_there_ends_no_doctor() -> None:
    """Importing rclpy with it ends the process."""
    done = subprocess.run(
        [sys.executable, "-m", "so101_doctor", "network", "--listen", "0.1"],
        env={**os.environ, "RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "RMW_IMPLEMENTATION=rmw_cyclonedds_cpp: not installed here, no node starts -> unset" in done.stdout
    assert " checks: 1 red" in done.stdout and "instead found" not in done.stderr
