# SPDX-License-Identifier: Apache-2.0
"""Variables of this shell that keep robot and server apart, each with what to type; and other domains nearby."""

from __future__ import annotations

import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from ament_index_python.resources import has_resource
from so101_node.ros_domain import LAST_DOMAIN

from so101_doctor.check import Check, Checks, Part

_PART = Part("network")
_DISTRIBUTION = "jazzy"
_RMW = "rmw_fastrtps_cpp"
_RANGES = ("SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT")
_GROUP, _FIRST_PORT, _PORTS_EACH = "239.255.0.1", 7400, 250  # where DDS participants announce themselves, by domain


def check_environment(peer: str, environment: Mapping[str, str] = os.environ) -> Checks:
    """One check for each variable that is set and matters. What keeps `peer` from being found is red."""
    peer = "" if peer == "localhost" or peer.startswith("127.") else peer

    def keeps_apart(name: str, text: str, remedy: str) -> Check:
        return (_PART.red if peer else _PART.yellow)(name, f"{name}={environment[name]}: {text}", remedy)

    if environment.get("ROS_LOCALHOST_ONLY") == "1":
        text = "nodes find only those of this computer; server_address:= and ROS_STATIC_PEERS are ignored"
        yield keeps_apart("ROS_LOCALHOST_ONLY", text, "unset ROS_LOCALHOST_ONLY")
    peers = [part.strip() for part in environment.get("ROS_STATIC_PEERS", "").split(";") if part.strip()]
    found = environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "")
    yield from _check_range(keeps_apart, found, addressed=bool(peers or peer))
    if _peers_are_ignored(environment) or any(map(_is_unknown, peers)):
        pass  # another line says so: the variable's with which they are ignored, or the error with which no node starts
    elif peers and peer and peer not in peers:
        text = f"ROS_STATIC_PEERS={';'.join(peers)}: {peer} is not among them; without multicast it is not found"
        yield _PART.yellow("ROS_STATIC_PEERS", text, f"export ROS_STATIC_PEERS={peer}, or server_address:={peer}")
    elif peers:
        text = f"ROS_STATIC_PEERS={';'.join(peers)}: contacted besides multicast; server_address:= takes its place"
        yield _PART.green("ROS_STATIC_PEERS", text)
    if environment.get("ROS_DISCOVERY_SERVER"):
        text = "nodes find others only through that discovery server, never by multicast or address"
        yield keeps_apart("ROS_DISCOVERY_SERVER", text, "unset ROS_DISCOVERY_SERVER, or set the same on both computers")
    yield from _check_middleware(environment)
    yield from _check_profiles(environment)
    if environment.get("ROS_SECURITY_ENABLE", "").lower() == "true":
        text = "nodes talk only to those with keys of the same keystore"
        yield keeps_apart("ROS_SECURITY_ENABLE", text, "unset ROS_SECURITY_ENABLE, or set it up on both computers")
    namespace = environment.get("ROS_NAMESPACE", "").strip("/")
    if namespace:
        text = f"ROS_NAMESPACE={namespace}: nodes that are started without a launch file are in /{namespace}"
        yield _PART.yellow("ROS_NAMESPACE", text, "unset ROS_NAMESPACE; launch files have namespace:=")


def _peers_are_ignored(environment: Mapping[str, str]) -> bool:
    ranges = ("SYSTEM_DEFAULT", "OFF")
    is_local = environment.get("ROS_LOCALHOST_ONLY") == "1"
    return is_local or environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE") in ranges


def _is_unknown(peer: str) -> bool:
    """Whether this is neither an address nor a name that this computer knows."""
    try:
        socket.getaddrinfo(peer, None)
    except (OSError, UnicodeError):
        return True
    return False


def remedy(error: str) -> str:
    """Return what to type against an error with which no node starts."""
    if "resolve peer" in error:
        return "unset ROS_STATIC_PEERS, or give it addresses separated by ;"
    return "correct the variables ROS_* of this shell"


def middleware_is_missing(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether RMW_IMPLEMENTATION names a middleware that is not installed: every ROS process would end at once."""
    named = environment.get("RMW_IMPLEMENTATION", "")
    return bool(named and not has_resource("rmw_typesupport", named))


def check_distribution(environment: Mapping[str, str] = os.environ) -> Checks:
    """Another ROS than ours in this shell."""
    found = environment.get("ROS_DISTRO", _DISTRIBUTION)
    if found != _DISTRIBUTION:
        text = f"ROS_DISTRO={found}: this shell has another ROS than {_DISTRIBUTION} set up"
        yield Part("machine").yellow("ROS_DISTRO", text, "open a shell that does not source it (look into ~/.bashrc)")


def other_domains(listen_s: float, own: int, stop: threading.Event) -> dict[int, set[str]]:
    """Return the addresses that announce themselves in other domains, by domain.

    Listens for `listen_s` seconds, or until `stop` is set: seen within 0.1 s.
    """
    heard: dict[int, set[str]] = {}
    with selectors.DefaultSelector() as selector:
        for domain in range(LAST_DOMAIN + 1):
            if domain == own:
                continue
            with suppress(OSError):  # a port in use by something else, or too many open files: one domain less
                selector.register(_listening(_FIRST_PORT + _PORTS_EACH * domain), selectors.EVENT_READ, domain)
        end = time.monotonic() + listen_s
        while (left_s := end - time.monotonic()) > 0 and not stop.is_set():
            for key, _events in selector.select(min(left_s, 0.1)):
                data, (address, _port) = key.fileobj.recvfrom(4)  # type: ignore[union-attr]
                if data == b"RTPS":
                    heard.setdefault(key.data, set()).add(address)
        for key in list(selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
    return heard


def _listening(port: int) -> socket.socket:
    """A socket that hears the announcements of one domain on every interface."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((_GROUP, port))
        for index, _name in socket.if_nameindex():
            with suppress(OSError):  # an interface without an address, or without multicast
                membership = struct.pack("=4s4si", socket.inet_aton(_GROUP), b"\0\0\0\0", index)
                made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    except OSError:
        made.close()
        raise
    return made


def _check_range(keeps_apart: Callable[[str, str, str], Check], found: str, addressed: bool) -> Checks:
    name, remedy = "ROS_AUTOMATIC_DISCOVERY_RANGE", "unset ROS_AUTOMATIC_DISCOVERY_RANGE"
    if found == "LOCALHOST":
        yield keeps_apart(name, "nodes find only those of this computer", remedy)
    elif found == "OFF":
        yield keeps_apart(name, "nodes find no others; server_address:= and ROS_STATIC_PEERS are ignored", remedy)
    elif found == "SYSTEM_DEFAULT" and addressed:
        yield _PART.yellow(name, f"{name}={found}: server_address:= and ROS_STATIC_PEERS are ignored", remedy)
    elif found and found not in _RANGES:
        yield keeps_apart(name, f"none of {', '.join(_RANGES)}: taken for LOCALHOST", remedy)


def _check_middleware(environment: Mapping[str, str]) -> Checks:
    name, remedy = "RMW_IMPLEMENTATION", "unset RMW_IMPLEMENTATION"
    found = environment.get(name, "")
    if middleware_is_missing(environment):
        yield _PART.red(name, f"{name}={found}: not installed here, no node starts", remedy)
    elif found not in ("", _RMW):
        text = f"{name}={found}: the profiles of config/ are for {_RMW} alone, and nothing here was tried with another"
        yield _PART.yellow(name, text, f"{remedy}, on both computers")


def _check_profiles(environment: Mapping[str, str]) -> Checks:
    name = "FASTRTPS_DEFAULT_PROFILES_FILE"
    found = environment.get(name, "")
    if found and not Path(found).is_file():
        yield _PART.yellow(name, f"{name}={found}: no such file, Fast DDS leaves it out", f"unset {name}")
    elif found and not _is_ours(Path(found)):
        text = f"{name}={found}: used with dds_profile:=none only; else the launch files put theirs in its place"
        yield _PART.yellow(name, text, f"dds_profile:=none on both computers, or unset {name}")
    elif found:
        yield _PART.green(name, f"{name}={found}: the other computer needs the same")
    name = "FASTDDS_BUILTIN_TRANSPORTS"
    found = environment.get(name, "")
    if found and found not in ("DEFAULT", "UDPv4"):
        text = f"{name}={found}: nodes that are started without a launch file may not hear the others"
        yield _PART.yellow(name, text, f"unset {name}, or set the same on both computers")


def _is_ours(file: Path) -> bool:
    try:
        ours = Path(get_package_share_directory("so101_config")) / file.name
        return ours.is_file() and file.samefile(ours)
    except PackageNotFoundError:
        return False
