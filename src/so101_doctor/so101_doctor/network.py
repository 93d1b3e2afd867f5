# SPDX-License-Identifier: Apache-2.0
"""The network between robot and server: settings of this machine, the way to the other, and what DDS finds."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from rclpy.impl.implementation_singleton import rclpy_implementation
from so101_msgs.msg import DriverStatus, PolicyStatus
from so101_node.process.own_node import OwnNode
from so101_node.protocol import PolicyState, name_of
from so101_node.ros_domain import LAST_DOMAIN, is_domain
from so101_node.topics.qos import LATCHED

from so101_doctor import environment, exposure
from so101_doctor.check import Checks, Part
from so101_doctor.path_mtu import confirmed_mtu, known_mtu

_PART = Part("network")
_BUFFER_BYTES = 4_194_304  # what config/fastdds_*.xml request
_RAW_IMAGE_BYTES = 921_600  # 640x480
_LOCAL_PROFILE = "fastdds_udp.xml"
_LIMITS = Path("/proc/sys/net/core")
_ONE_WAY_GOAL_MS = 50.0
_UNSPLIT_BYTES = 1400
_SHORT_BYTES = 56
_ETHERNET_BYTES = 1500
_HEADERS_BYTES = 28  # IPv4 and UDP
_PROFILES = {"network": 1400, "vpn": 1200}  # bytes of their datagrams: fastdds.max_message_size in config/fastdds_*.xml
_PINGS = 5
_PING_LIMIT_S = 30.0  # a name that no name server resolves takes ping longer than its packets


def check_network(
    peer: str, listen_s: float, shell: Mapping[str, str] = os.environ, *, trusted_network: bool = False
) -> Checks:
    """Settings, those of `shell` among them, the peer if one is named, and what is heard within `listen_s` seconds.

    With `trusted_network` an arm that other computers can command is yellow, else red.
    """
    yield from _check_settings()
    yield from environment.check_environment(peer, shell)
    if peer:
        yield from _check_path_mtu(peer)
        yield from _check_peer(peer)
    if is_domain(_domain()) and not environment.middleware_is_missing(shell):
        yield from _check_graph(listen_s, trusted_network=trusted_network)


def _domain() -> str:
    return os.environ.get("ROS_DOMAIN_ID") or "0"


def _check_settings() -> Checks:
    domain = _domain()
    text = f"ROS_DOMAIN_ID {domain}; the other computer needs the same"
    if not is_domain(domain):
        text = f"ROS_DOMAIN_ID {domain!r} is no whole number from 0 to {LAST_DOMAIN}"
        yield _PART.red("domain", text, "export ROS_DOMAIN_ID=0, or what the other computer has; or unset it on both")
    else:
        yield _PART.green("domain", text)
    profile = Path(os.environ.get("FASTRTPS_DEFAULT_PROFILES_FILE", ""))
    if profile.name == _LOCAL_PROFILE:
        text = f"FASTRTPS_DEFAULT_PROFILES_FILE: {profile.name} keeps everything on this computer"
        yield _PART.yellow(
            "profile", text, "for two computers: dds_profile:=network on both, or unset it in this shell"
        )
    yield from _check_buffers(_LIMITS)


def _check_buffers(limits: Path) -> Checks:
    """What the kernel grants of the socket buffers that the DDS profiles request."""
    granted = {name: int((limits / name).read_text()) for name in ("rmem_max", "wmem_max") if (limits / name).exists()}
    if not granted:
        return
    text = ", ".join(f"net.core.{name} {size}" for name, size in granted.items()) + " bytes"
    small = [name for name, size in granted.items() if size < _BUFFER_BYTES]
    if not small:
        yield _PART.green("buffers", text)
        return
    text += f"; {_BUFFER_BYTES} are needed"
    remedy = "sudo sysctl -w " + " ".join(f"net.core.{name}={_BUFFER_BYTES}" for name in small)
    remedy += "; to keep it: the same without sudo sysctl -w, one a line, in /etc/sysctl.d/60-so101.conf"
    if granted.get("rmem_max", _BUFFER_BYTES) < _RAW_IMAGE_BYTES:
        text += f": less than one raw 640x480 image ({_RAW_IMAGE_BYTES}), so viewers of image_raw miss many"
    yield _PART.yellow("buffers", text, remedy)


def _check_path_mtu(peer: str) -> Checks:
    """A datagram longer than the path takes is split, and a part that is lost loses it whole; or it never arrives."""
    known = known_mtu(peer)
    if known is None:
        return  # no address, or no route: the next check says so
    needed = _PROFILES["network"] + _HEADERS_BYTES
    mtu = known
    text = f"packets of {known} bytes get through to {peer}"
    if known >= needed:
        replied = confirmed_mtu(peer) if not _pinged(peer, _UNSPLIT_BYTES) else None
        if replied is None or replied >= needed:
            yield _PART.green("MTU", f"{text} in one piece, as far as this computer knows")
            return
        mtu = replied
        text = f"{peer} replies to packets of {replied} bytes and to none that is longer, and no router reports it"
    text += f": {needed} bytes, with dds_profile network, are too long, as is usual with a VPN"
    if mtu >= _PROFILES["vpn"] + _HEADERS_BYTES:
        yield _PART.yellow("MTU", text, "dds_profile:=vpn on both computers")
        return
    remedy = (
        f"copy config/fastdds_vpn.xml, set fastdds.max_message_size in it to {mtu - _HEADERS_BYTES}, and on both "
        "computers: export FASTRTPS_DEFAULT_PROFILES_FILE=COPY, dds_profile:=none"
    )
    yield _PART.yellow("MTU", text, remedy)


def _pinged(peer: str, size: int) -> bool:
    """Whether one packet with `size` bytes of data gets a reply, or cannot be tried."""
    ping = shutil.which("ping")
    if ping is None:
        return True
    command = [ping, "-n", "-c", "2", "-i", "0.2", "-W", "1", "-M", "do", "-s", str(size), peer]
    try:
        return subprocess.run(command, capture_output=True, timeout=_PING_LIMIT_S, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return True  # the next check says so


def _check_peer(peer: str) -> Checks:
    ping = shutil.which("ping")
    if ping is None:
        try:
            socket.getaddrinfo(peer, None)
        except OSError as error:
            text = f"{peer} is no address and no name that is known here ({error.strerror or error})"
            yield _PART.red("peer", text, "name the other computer's IP address: hostname -I prints it there")
            return
        yield _PART.yellow("peer", f"{peer} not tried: no ping on this machine", "apt-get install iputils-ping")
        return
    size = min(_UNSPLIT_BYTES, (known_mtu(peer) or _ETHERNET_BYTES) - _HEADERS_BYTES)
    if not _pinged(peer, size):
        size = _SHORT_BYTES  # the check of the MTU says that long ones do not arrive
    command = [ping, "-n", "-c", str(_PINGS), "-i", "0.2", "-W", "1", "-M", "do", "-s", str(size), peer]
    try:
        outcome = subprocess.run(command, capture_output=True, text=True, timeout=_PING_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        text = f"{peer}: ping has not ended within {_PING_LIMIT_S:g} s"
        yield _PART.red("peer", text, "name the peer by its address in numbers: the name server may be down")
        return
    received = re.search(r"(\d+) received", outcome.stdout)
    if received is None or int(received.group(1)) == 0:
        said = (outcome.stderr or outcome.stdout).strip().splitlines()
        text = f"{peer} does not reply to ping, packets of {size} bytes" + (f" ({said[-1]})" if said else "")
        yield _PART.red("peer", text, "check the address, the cable or radio, and firewalls on both computers")
        return
    times = [float(value) for value in re.findall(r"time=([\d.]+) ms", outcome.stdout)]
    lost = _PINGS - int(received.group(1))
    median = sorted(times)[len(times) // 2]
    text = f"{peer}: {median:.1f} ms there and back, {lost} of {_PINGS} lost"
    if lost or median / 2 > _ONE_WAY_GOAL_MS:
        remedy = "use a cable, or 5 GHz; request_policy: adaptive requests early enough for a slow network"
        yield _PART.yellow("peer", text, remedy)
    else:
        yield _PART.green("peer", text)


@dataclass(slots=True)
class _Heard:
    servers: dict[int, PolicyStatus] = field(default_factory=dict)
    drivers: dict[int, DriverStatus] = field(default_factory=dict)
    topics: dict[str, list[str]] = field(default_factory=dict)
    commanded: set[int] = field(default_factory=set)  # numbers of the processes that subscribe to a joint_command
    processes: set[int] = field(default_factory=set)  # the same of all that have announced a topic

    def add_server(self, status: PolicyStatus) -> None:
        self.servers[status.server_id] = status

    def add_driver(self, status: DriverStatus) -> None:
        self.drivers[status.driver_id] = status


def _check_graph(listen_s: float, *, trusted_network: bool) -> Checks:
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        try:
            elsewhere = pool.submit(environment.other_domains, listen_s, int(_domain()), stop)
            heard = _listen(listen_s)
        except rclpy_implementation.RCLError as error:
            yield _PART.red("ROS", str(error).partition("\n")[0], environment.remedy(str(error)))
            return
        finally:
            stop.set()  # leaving the pool waits for its thread, also after Ctrl-C
    if not heard.servers or not heard.drivers:
        for domain, addresses in sorted(elsewhere.result().items()):
            text = f"ROS nodes of {', '.join(sorted(addresses))} are in domain {domain}, this shell is in {_domain()}"
            yield _PART.yellow("other domains", text, f"if they are yours: export ROS_DOMAIN_ID={domain}")
    for server in heard.servers.values():
        text = f"{server.server_name}: {name_of(PolicyState, server.state)}"
        if server.state == PolicyStatus.ERROR:
            yield _PART.red("policy server", f"{text}: {server.message}")
        else:
            yield _PART.green("policy server", text)
    if not heard.servers:
        text = f"none heard within {listen_s:g} s"
        yield _PART.yellow("policy server", text, "start it; if it runs: same ROS_DOMAIN_ID, UDP not filtered")
    for _driver in heard.drivers.values():
        yield _PART.green("driver", "heard")
    if not heard.drivers:
        yield _PART.yellow("driver", f"none heard within {listen_s:g} s", "start the robot's half, if it should run")
    cameras = [topic for topic, types in heard.topics.items() if "so101_msgs/msg/ObservationImage" in types]
    if cameras:
        yield _PART.green("cameras", ", ".join(sorted(topic.split("/")[-2] for topic in cameras)))
    yield from exposure.check_exposure(int(_domain()), heard.commanded, heard.processes, trusted=trusted_network)


def _listen(listen_s: float) -> _Heard:
    """Listen in every namespace that shows itself; nothing is published."""
    heard = _Heard()
    own = OwnNode("so101_doctor")
    node = own.node
    joined: set[str] = set()
    try:
        end = time.monotonic() + listen_s
        while time.monotonic() < end:
            heard.topics = dict(node.get_topic_names_and_types())
            for topic, types in heard.topics.items():
                if topic in joined:
                    continue
                if "so101_msgs/msg/PolicyStatus" in types:
                    node.create_subscription(PolicyStatus, topic, heard.add_server, LATCHED)
                elif "so101_msgs/msg/DriverStatus" in types:
                    node.create_subscription(DriverStatus, topic, heard.add_driver, LATCHED)
                else:
                    continue
                joined.add(topic)
            own.spin(0.1)
        for topic in heard.topics:
            subscribers = exposure.process_numbers(node.get_subscriptions_info_by_topic(topic))
            heard.processes |= subscribers | exposure.process_numbers(node.get_publishers_info_by_topic(topic))
            if topic.endswith("/joint_command"):
                heard.commanded |= subscribers
    finally:
        own.close()
    return heard
