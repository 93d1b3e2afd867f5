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
    from so101_bench.two_hosts.hosts import TwoHosts, why_not
    from so101_bench.two_hosts.wire import Wire
except ImportError:  # a robot computer has no bench
    needs_hosts = pytest.mark.skip("so101_bench is not installed here")
else:
    needs_hosts = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

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
            times = []
            for cut_s in (1.0, 5.0):
                hosts.cut()
                time.sleep(cut_s)
                hosts.heal()
                times.append(robot.first_asked_after(time.monotonic(), 20.0))
            longest_s = max(chunk["longest_publish_s"] for chunk in robot.chunks)
            print(json.dumps({"cut_1_s": times[0], "cut_5_s": times[1], "longest_publish_s": longest_s}))
            assert max(times) < 4.0, (times, server_end.log(), robot_end.log())
        finally:
            for echo in echoes:
                echo.close()
