# SPDX-License-Identifier: Apache-2.0
"""What the link says on /diagnostics: every cause is in the table, and a slow connection is told in numbers."""

import socket
import ssl
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from link_ends import DAY_S, make_keys, robot_keys
from so101_link.core import causes
from so101_link.core.outbox import LinkRequestKey, Outbox
from so101_link.core.topics import Urgency, frames_of
from so101_link.keys.authority import Authority
from so101_link.ros import robot_diagnosis, server_diagnosis
from so101_link.ros.diagnosis import CERTIFICATE_EXPIRES, CERTIFICATE_REFUSED, CLOCK_WRONG, keys_cause, slow_words
from so101_link.transport import reasons
from so101_link.transport.reasons import explain

from so101_link import RELEASE


def test_every_way_in_which_connecting_fails_has_its_entry() -> None:
    named = {cause for cause, _ in (*reasons._VERIFICATION.values(), *reasons._ALERTS.values())}
    errors = (
        socket.gaierror(-2, "Name not known"), ConnectionRefusedError(), ConnectionResetError(), TimeoutError(),
        ssl.SSLEOFError(), ssl.SSLError(1, "x"), OSError(101, "Network is unreachable"), OSError("odd"),
    )  # fmt: skip
    named |= {explain(error).cause for error in errors}
    assert named | {causes.LOST, causes.REFUSED} <= set(robot_diagnosis.BY_NAME)
    assert all("\n" not in explain(error).text and explain(error).text for error in errors)


def test_every_cause_of_the_core_is_in_a_table() -> None:
    told = {cause.name for cause in (*robot_diagnosis.CAUSES, *server_diagnosis.CAUSES)}
    named = {value for name, value in vars(causes).items() if name.isupper()}
    assert named - {causes.STRANGERS} == told


def test_a_connection_that_is_too_slow_is_told_in_numbers() -> None:
    front = frames_of("front")
    assert front is not None
    outbox = Outbox()
    outbox.open(0)
    for step in range(50):  # 6 Mbit/s offered for 5 s, two thirds of it taken
        now_ns = step * 100_000_000
        outbox.put(front, bytes(75_000), now_ns, LinkRequestKey(1, step))
        if step % 3:
            taken = outbox.take(Urgency.FRAME)
            assert taken is not None
            outbox.traffic.sent(len(taken.data), now_ns)
    words = slow_words(outbox.traffic.numbers(4_900_000_000))
    assert words == "6.0 Mbit/s offered, 4.0 sent, 17 frames dropped in 5 s"
    assert slow_words(outbox.traffic.numbers(20_000_000_000)) == ""


@pytest.mark.parametrize(
    ("days", "from_days", "cause"),
    [(300, 0, None), (20, 0, CERTIFICATE_EXPIRES), (1, -10, CERTIFICATE_REFUSED), (30, 400, CLOCK_WRONG)],
)
def test_the_keys_are_watched(tmp_path: Path, days: int, from_days: float, cause: object) -> None:
    folder = make_keys(tmp_path / "keys")
    Authority.open(folder).make(["arm1"], days, time.time() + from_days * DAY_S)
    found = keys_cause(robot_keys(folder))
    assert (found[0] if found else None) is cause


def test_an_end_tells_the_version_of_its_package() -> None:
    manifest = ElementTree.parse(Path(__file__).parents[1] / "package.xml").getroot()
    assert manifest.findtext("version") == RELEASE
