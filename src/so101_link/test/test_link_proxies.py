# SPDX-License-Identifier: Apache-2.0
"""A proxy between both ends that closes what is idle, or closes everything now and then."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from link_ends import RobotEnd, ServerEnd, eventually, make_keys, robot_keys
from so101_link.core import causes
from so101_link.transport.dialer import LinkAddress


class Proxy:
    """Passes TCP on, and closes a connection on which nothing has come for `idle_s`."""

    def __init__(self, target: LinkAddress, idle_s: float) -> None:
        self._target, self._idle_s = target, idle_s
        self._door = socket.create_server(("127.0.0.1", 0))
        self._stop = threading.Event()
        self.drop_all = threading.Event()
        self.closed_idle = 0
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    @property
    def address(self) -> LinkAddress:
        return LinkAddress("127.0.0.1", self._door.getsockname()[1])

    def _serve(self) -> None:
        self._door.settimeout(0.05)
        while not self._stop.is_set():
            try:
                near, _ = self._door.accept()
            except TimeoutError:
                continue
            far = socket.create_connection((self._target.host, self._target.port), timeout=2.0)
            self._threads.append(threading.Thread(target=self._pass_on, args=(near, far), daemon=True))
            self._threads[-1].start()

    def _pass_on(self, near: socket.socket, far: socket.socket) -> None:
        heard_s = time.monotonic()
        with contextlib.suppress(ConnectionError), near, far:
            while not self._stop.is_set() and not self.drop_all.is_set():
                for source in select.select([near, far], [], [], 0.02)[0]:
                    block = source.recv(65536)
                    if not block:
                        return
                    (far if source is near else near).sendall(block)
                    heard_s = time.monotonic()
                if time.monotonic() - heard_s > self._idle_s:
                    self.closed_idle += 1
                    return

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(2.0)
        self._door.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_keys(tmp_path / "keys", "arm1")


@pytest.fixture
def proxy(folder: Path) -> Iterator[Proxy]:
    server = ServerEnd(folder)
    made = Proxy(server.address, idle_s=1.5)
    yield made
    made.close()
    server.close()


def test_a_link_that_carries_nothing_is_never_idle_for_a_proxy(proxy: Proxy, folder: Path) -> None:
    with socket.create_connection((proxy.address.host, proxy.address.port)) as idle:
        robot = RobotEnd(proxy.address, lambda: robot_keys(folder))
        try:
            assert eventually(lambda: robot.ups)
            assert eventually(lambda: proxy.closed_idle == 1) and idle.recv(10) == b"", "the proxy closes what is idle"
            time.sleep(2.0)
            assert len(robot.ups) == 1 and not robot.ends and proxy.closed_idle == 1
        finally:
            robot.close()


def test_a_proxy_that_closes_is_named_and_the_robot_connects_again(proxy: Proxy, folder: Path) -> None:
    robot = RobotEnd(proxy.address, lambda: robot_keys(folder))
    try:
        assert eventually(lambda: robot.ups)
        proxy.drop_all.set()
        assert eventually(lambda: robot.ends)
        assert robot.ends[0].failure.cause == causes.CLOSED_BETWEEN and robot.ends[0].was_up
        assert "a tunnel or proxy between has closed it" in robot.ends[0].failure.text
        proxy.drop_all.clear()
        assert eventually(lambda: len(robot.ups) == 2)
    finally:
        robot.close()
