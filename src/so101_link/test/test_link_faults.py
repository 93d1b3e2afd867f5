# SPDX-License-Identifier: Apache-2.0
"""Either end killed or frozen, and the network cut: the link flows again, and nobody has to do anything."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from link_rig import LinkProcess, Rig, RobotSide, link_rig

try:
    from link_cuts import cut_and_watch
    from link_nat import OUTSIDE_PORT, behind_nat, set_mtu, why_no_nat
    from so101_bench.two_hosts.hosts import TwoHosts, why_not
    from so101_bench.two_hosts.wire import Wire
except ImportError:  # a robot computer has no bench
    needs_hosts = needs_nat = pytest.mark.skip("so101_bench is not installed here")
else:
    needs_hosts = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
    needs_nat = pytest.mark.skipif(why_no_nat() is not None, reason=str(why_no_nat()))

ECHO = Path(__file__).with_name("link_echo.py")


@pytest.fixture
def rig(tmp_path: Path, lease_domain: Callable[[], AbstractContextManager[int]]) -> Iterator[Rig]:
    with link_rig(tmp_path, lease_domain, "arm1") as made:
        yield made


def back_within(robot: RobotSide, first: int, limit_s: float) -> float:
    """How long it takes until a request that is sent from now on has its chunk, s."""
    begun_s = time.monotonic()
    robot.ask_until_replied(first, limit_s, every_s=0.1)
    return time.monotonic() - begun_s


@pytest.mark.long
def test_either_end_killed_or_frozen_flows_again_once_it_is_back(rig: Rig) -> None:
    robot, _ = rig.both_sides()
    server_end, robot_end = rig.server(), rig.robot()
    robot_end.wait_for("is up")
    robot.ask_until_replied(1, 10.0)
    server_end.signal(signal.SIGKILL)
    server_end.wait()
    time.sleep(3.0)
    server_end = rig.server()
    server_end.wait_for("listens on port")
    times = {"server killed": back_within(robot, 1000, 10.0)}
    robot_end.signal(signal.SIGKILL)
    robot_end.wait()
    robot_end = rig.robot()
    robot_end.wait_for("is up")
    times["robot killed"] = back_within(robot, 2000, 10.0)
    for name, end, first in (("server", server_end, 3000), ("robot", robot_end, 4000)):
        end.signal(signal.SIGSTOP)
        time.sleep(5.0)
        robot.ask(first)
        end.signal(signal.SIGCONT)
        times[f"{name} frozen"] = back_within(robot, first + 1, 10.0)
    print(json.dumps(times))
    assert max(times.values()) < 3.0, times
    assert "nothing heard for" in robot_end.log()


@pytest.mark.long
def test_a_late_joiner_never_gets_the_status_of_a_server_that_is_gone(rig: Rig) -> None:
    robot, _ = rig.both_sides()
    server_end, robot_end = rig.server(), rig.robot()
    robot_end.wait_for("is up")
    robot.ask_until_replied(1, 10.0)
    assert robot.statuses
    server_end.signal(signal.SIGKILL)
    robot_end.wait_for("no link to")
    time.sleep(0.5)
    late = RobotSide(rig.robot_domain, "/arm1", ())
    rig.sides.append(late)
    time.sleep(2.0)
    assert late.statuses == []


@pytest.mark.long
def test_a_late_joiner_gets_no_status_of_a_policy_server_that_is_gone_behind_a_link_that_is_up(rig: Rig) -> None:
    robot, server = rig.both_sides()
    rig.server()
    rig.robot().wait_for("is up")
    robot.ask_until_replied(1, 10.0)
    rig.sides.remove(server)
    server.close()
    time.sleep(3.0)
    late = RobotSide(rig.robot_domain, "/arm1", ())
    rig.sides.append(late)
    time.sleep(2.0)
    assert late.statuses == []


def test_an_end_that_is_told_to_stop_says_goodbye(rig: Rig) -> None:
    server_end, robot_end = rig.server(), rig.robot()
    robot_end.wait_for("is up")
    server_end.signal(signal.SIGTERM)
    assert server_end.wait() == 0
    robot_end.wait_for("the other end has left: the server's link has been stopped")
    robot_end.signal(signal.SIGINT)
    assert robot_end.wait() == 0
    assert "Traceback" not in server_end.log() + robot_end.log()


class Echo:
    """link_echo.py on one host, with what it has written."""

    def __init__(self, prefix: Sequence[str], domain: int, *words: str) -> None:
        self._process = subprocess.Popen(
            [*prefix, sys.executable, str(ECHO), *words],
            env={**os.environ, "ROS_DOMAIN_ID": str(domain)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.chunks: list[dict[str, float]] = []
        self.is_up = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                self.chunks.append(json.loads(line))
            else:
                self.is_up.set()

    def first_asked_after(self, moment_s: float, timeout_s: float) -> float:
        """How long after the moment the first chunk came that was asked for later, s."""
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            for chunk in tuple(self.chunks):
                if chunk["asked_s"] > moment_s:
                    return chunk["asked_s"] + chunk["took_s"] - moment_s
            time.sleep(0.02)
        raise AssertionError(f"no chunk within {timeout_s} s")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@needs_hosts
@pytest.mark.long
def test_after_a_cut_of_the_network_it_flows_within_3_s(rig: Rig) -> None:
    with TwoHosts(Wire(rate_mbit=100, delay_ms=2)) as hosts:
        robot_prefix, server_prefix = hosts.prefix("robot"), hosts.prefix("server")
        echoes = [Echo(server_prefix, 7, "server"), Echo(robot_prefix, 7, "robot")]
        try:
            rig.robot_domain = rig.server_domain = 7  # two hosts: nothing but the link crosses
            server_end: LinkProcess = rig.server(prefix=server_prefix)
            robot_end = rig.robot(prefix=robot_prefix, address=f"{hosts.address('server')}:{rig.port}")
            robot_end.wait_for("is up")
            robot = echoes[1]
            robot.first_asked_after(time.monotonic(), 15.0)
            cuts = [cut_and_watch(hosts, robot, (server_end, robot_end), cut_s, 10.0) for cut_s in (1.0, 5.0)]
            print(cuts)
            logs = server_end.log(), robot_end.log()
            assert max(cut.flowing_after_s for cut in cuts) < 4.0, (cuts, logs)
            assert max(cut.longest_publish_s for cut in cuts) < 0.5, "publish() waits for the network"
            assert max(cuts[1].grown_kb) < 4096 and cuts[1].missed <= 2, (cuts, logs)
        finally:
            for echo in echoes:
                echo.close()


@needs_hosts
@needs_nat
@pytest.mark.long
def test_it_flows_through_nat_with_another_port_outside_over_a_wire_of_short_packets_that_loses_some(rig: Rig) -> None:
    wire = Wire(rate_mbit=20, delay_ms=40, loss_pct=0.1)
    with TwoHosts(wire) as hosts, behind_nat(hosts, rig.port) as inside:
        set_mtu(hosts, 1280)
        near = hosts.prefix("robot")
        rig.robot_domain = rig.server_domain = 7
        echoes = [Echo(inside, 7, "server"), Echo(near, 7, "robot")]
        try:
            rig.server(prefix=inside)
            robot_end = rig.robot(prefix=near, address=f"{hosts.address('server')}:{OUTSIDE_PORT}")
            robot_end.wait_for("is up")
            robot = echoes[1]
            begun_s = time.monotonic()
            robot.first_asked_after(begun_s, 15.0)
            time.sleep(6.0)
            chunks = [chunk for chunk in tuple(robot.chunks) if chunk["asked_s"] > begun_s]
            asked = chunks[-1]["request"] - chunks[0]["request"] + 1
            assert len(chunks) >= 0.9 * asked and asked > 10, (len(chunks), asked, robot_end.log())
            assert hosts.counts()["carried"][0] > 100 * len(chunks), "an observation is over 100 packets of 1280 bytes"
        finally:
            for echo in echoes:
                echo.close()


def test_the_measuring_of_wires_says_in_one_line_what_nat_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    link_wires = pytest.importorskip("link_wires")
    monkeypatch.setattr(link_wires, "why_not", lambda: None)
    monkeypatch.setattr("link_nat.shutil.which", lambda _: None)
    with pytest.raises(SystemExit) as told:
        link_wires.main(["--nat"])
    assert told.value.code == "link_wires: NAT needs the command iptables (apt-get install iptables)"


@needs_hosts
@pytest.mark.long
def test_a_wire_too_slow_for_the_frames_is_told_in_numbers_and_chunks_do_not_age(rig: Rig) -> None:
    with TwoHosts(Wire(rate_mbit=2, delay_ms=20)) as hosts:
        rig.robot_domain = rig.server_domain = 7
        near, far = hosts.prefix("robot"), hosts.prefix("server")
        echoes = [Echo(far, 7, "server"), Echo(near, 7, "robot")]
        try:
            rig.server(prefix=far)
            robot_end = rig.robot(prefix=near, address=f"{hosts.address('server')}:{rig.port}")
            robot_end.wait_for("is up")
            robot_end.wait_for("frames dropped in 5 s", 30.0)
            begun_s = time.monotonic()
            time.sleep(10.0)
            took_s = [chunk["took_s"] for chunk in tuple(echoes[1].chunks) if chunk["asked_s"] > begun_s]
            # 4 Mbit/s are offered: an observation takes 0.6 s, and waits for the one before it.
            assert len(took_s) >= 5 and max(took_s[len(took_s) // 2 :]) < 4.0, (took_s, robot_end.log())
            line = next(line for line in robot_end.lines if "frames dropped in 5 s" in line)
            assert "Mbit/s offered" in line and "fewer or smaller camera frames" in line
        finally:
            for echo in echoes:
                echo.close()
