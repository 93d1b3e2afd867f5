# SPDX-License-Identifier: Apache-2.0
"""`doctor network --link`: the way to the server's link, step by step, with the reason where it ends."""

from __future__ import annotations

import time
from pathlib import Path

from so101_link.core import causes
from so101_link.errors import KeysError, RobotLinkError
from so101_link.keys.expiry import Validity, expiry
from so101_link.keys.folder import KeyFolder, cautions
from so101_link.ros.type_hashes import type_hashes
from so101_link.transport.dialer import LinkAddress
from so101_link.transport.probe import ProbeReport, probe
from so101_link.transport.tcp import WANTED_CONGESTION_CONTROL

from so101_doctor.check import Check, Checks, Part

_PART = Part("network")
_STEP_TIMEOUT_S = 5.0
_SHORT_SEGMENT_BYTES = 500  # fits through everything: every IPv4 host takes packets of 576 bytes
_LONGEST_SEGMENT_BYTES = 9000  # of Ethernet with jumbo frames; the loopback interface has 65483
_ONE_WAY_GOAL_MS = 50.0
_OBSERVATION_BYTES = 150_000  # three frames of 50 kB, as cameras at 640x480 send them
_REQUESTS_HZ = 3.0
_NEEDED_MBIT = _OBSERVATION_BYTES * 8 * _REQUESTS_HZ / 1e6

# What to do, by cause where one is enough to tell, else by the step where it ends.
_BY_CAUSE = {
    causes.NO_LISTENER: "check the outside port, and that server.launch.xml runs there with link_port:=",
    causes.CERTIFICATE_REFUSED: (
        "both key folders must be of one ./so101 link keys, unrevoked, for their role: ./so101 link show FOLDER"
    ),
    causes.CLOCK_WRONG: "set the clocks of both computers: timedatectl",
}
_BY_STEP = {
    "resolve": "check the spelling, or give the address in numbers",
    "tcp": "check the address, what forwards the port, and firewalls between",
    "tls": "check that the port leads to the link of server.launch.xml (link_port:=), not to something else",
    "hello": "do what the text says on the computer that it names",
    "measure": "try again; if it ends there each time, something between the computers cuts the connection",
}
_NAMES = {"resolve": "link address", "tcp": "link TCP", "tls": "link TLS", "hello": "link version", "measure": "link"}
_PROBING = "on both computers: sudo sysctl -w net.ipv4.tcp_mtu_probing=1"


def check_link(target: str, folder: Path) -> Checks:
    """The keys in `folder`, then each step of the way to the link at `target`, HOST:PORT; about 5 s on a sound link."""
    try:
        address = LinkAddress.parse(target)
        keys = KeyFolder.read_whatever_its_age(folder)
    except KeysError as error:
        yield _PART.red("link keys", str(error))
        return
    except RobotLinkError as error:
        yield _PART.red("link address", str(error), "--link gpu.example.org:7447")
        return
    on_time = _check_keys(keys)
    yield on_time
    if keys.role != "robot":
        text = f"{folder} holds the keys of the server, and a server does not connect"
        yield _PART.red("link keys", text, "run this on the robot, with the keys of that robot")
        return
    if on_time.state == "red":
        return
    for caution in cautions(keys):
        yield _PART.yellow(f"link {caution.about}", caution.text, caution.remedy)
    types = type_hashes()
    report = probe(address.host, address.port, keys, _STEP_TIMEOUT_S, types)
    for step in report.steps:
        if step.ok:
            yield _PART.green(_NAMES[step.name], step.text)
    failed = next((step for step in report.steps if not step.ok), None)
    if failed is None:
        yield from _check_measured(report, keys.name)
        return
    if failed.name in ("tls", "measure"):
        short = probe(address.host, address.port, keys, _STEP_TIMEOUT_S, types, mss=_SHORT_SEGMENT_BYTES)
        if short.is_ok:
            yield _black_hole(report)
            return
    yield _PART.red(_NAMES[failed.name], failed.text, _BY_CAUSE.get(failed.cause) or _BY_STEP[failed.name])


def _check_keys(keys: KeyFolder) -> Check:
    state = expiry(keys.name, keys.not_before_s, keys.not_after_s, time.time())
    if not state.validity.usable:
        return _PART.red("link keys", state.text, state.remedy)
    if state.validity is Validity.EXPIRES_SOON:
        return _PART.yellow("link keys", state.text, state.remedy)
    return _PART.green("link keys", state.text)


def _black_hole(report: ProbeReport) -> Check:
    text = (
        f"only short packets get through: with segments of {report.mss} bytes nothing comes back, with "
        f"{_SHORT_SEGMENT_BYTES} all does; something on the way drops long packets and does not report it"
    )
    return _PART.red("link MTU", text, _PROBING)


def _segments(mss: int) -> str:
    if mss > _LONGEST_SEGMENT_BYTES:
        return "that of the wire is not seen: the connection ends in a tunnel or a proxy on this computer"
    return f"segments of {mss} bytes get through"


def _check_measured(report: ProbeReport, name: str) -> Checks:
    rtt_ms = (report.rtt_s or 0.0) * 1e3
    if rtt_ms / 2 > _ONE_WAY_GOAL_MS:
        remedy = "request_policy: adaptive requests early enough for a slow network"
        yield _PART.yellow("link round trip", f"{rtt_ms:.1f} ms", remedy)
    else:
        yield _PART.green("link round trip", f"{rtt_ms:.1f} ms")
    if report.congestion_control == WANTED_CONGESTION_CONTROL:
        yield _PART.green("link congestion control", report.congestion_control)
    else:
        text = (
            f"{report.congestion_control or 'unknown'}; with bbr requests after a pause and on a lossy wire are faster"
        )
        remedy = "sudo modprobe tcp_bbr && sudo sysctl -w net.ipv4.tcp_allowed_congestion_control='bbr cubic reno'"
        yield _PART.yellow("link congestion control", text, remedy)
    upload_mbit = report.upload_mbit or 0.0
    text = f"{upload_mbit:.1f} Mbit/s to the server; three cameras, three requests a second need {_NEEDED_MBIT:.1f}"
    if upload_mbit < _NEEDED_MBIT:
        yield _PART.yellow("link speed", text, "fewer cameras, smaller frames, or fewer requests: chunk_size_threshold")
    else:
        yield _PART.green("link speed", text)
    yield _PART.green("link MTU", _segments(report.mss or 0))
    if report.policy_status_heard:
        yield _PART.green("link policy server", f"heard, as robot {name}")
    else:
        text = f"none is heard behind the link, as robot {name}"
        yield _PART.yellow("link policy server", text, "start the policy server there; look at its log and namespaces")
