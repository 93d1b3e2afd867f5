# SPDX-License-Identifier: Apache-2.0
"""Two replicas on a real Ray cluster of this computer: killed one by one under load, then with the whole cluster."""

from __future__ import annotations

import importlib.util
import os
import queue
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from so101_bench.robots.code import frame_of, is_own, positions_of
from so101_bench.robots.stand_in import LIBRARY
from so101_node.protocol import ChunkStatus, PolicySpec, PolicyState, ReceivedSpec
from so101_node.protocol.units import Units
from so101_policy_server.core import causes
from so101_policy_server.core.request import PolicyRequest, ReceivedFrame, RequestKey, ServedChunk, SessionKey
from so101_policy_server.core.server import PolicyServer
from so101_policy_server.core.server_config import ServerConfig
from so101_policy_server.core.spec_check import ServedSettings
from so101_policy_server.inference.inference_thread import InferenceThread
from so101_policy_server.on_ray.cluster import Cluster
from so101_policy_server.on_ray.ray_policy import ray_loader
from so101_policy_server.policy import PolicySource

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: ./so101 setup ray"),
]

WAIT_S = 400.0
ROBOTS = 4
JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
LOOPBACK = {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Head:
    """`ray start --head` as docs/how-to/several_gpus.md has it, and all its processes."""

    def __init__(self, folder: str, port: int) -> None:
        self.port = port
        command = [
            *(str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--disable-usage-stats"),
            *("--include-dashboard=false", "--node-ip-address=127.0.0.1", f"--port={port}"),
            *(f"--ray-client-server-port={free_port()}", "--num-cpus=2", "--num-gpus=0"),
            *(f"--object-store-memory={256 << 20}", f"--temp-dir={folder}"),
        ]
        with Path(folder, f"head{port}.log").open("a") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + WAIT_S
        while not (Cluster(f"127.0.0.1:{port}").is_up() and self.named("raylet")):
            assert time.monotonic() < end
            assert self._process.poll() is None, Path(folder, f"head{port}.log").read_text()
            time.sleep(0.2)

    def processes(self) -> list[psutil.Process]:
        head = psutil.Process(self._process.pid)
        return [head, *head.children(recursive=True)]

    def named(self, word: str) -> list[psutil.Process]:
        found = []
        for process in self.processes():
            try:
                found += [process] if word in " ".join(process.cmdline()[:1]) else []
            except psutil.Error:
                continue
        return found

    def kill(self) -> None:
        if self._process.poll() is None:
            processes = self.processes()
            for process in processes:
                try:
                    process.kill()
                except psutil.Error:
                    continue
            psutil.wait_procs(processes, timeout=WAIT_S)
        self._process.wait()


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    made = tempfile.mkdtemp(prefix="ray")  # short: it holds Unix sockets
    token = Path(made, "token")
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    yield made
    shutil.rmtree(made, ignore_errors=True)


class Served:
    """The core, its threads and four robots."""

    def __init__(self, address: str) -> None:
        self.answers: queue.Queue[ServedChunk] = queue.Queue()
        self.lines: list[str] = []
        source = PolicySource("", library=LIBRARY)
        core = PolicyServer(ServerConfig(source, ServedSettings(JOINTS, Units.DEGREES, 30.0, 50), replicas=2))
        core.activate()
        spec = PolicySpec(*("", "", "", 50, 30.0, ("front",), JOINTS, 0), (-1.5,) * 6, (1.5,) * 6, (0,) * 6, (), ())
        for robot in range(ROBOTS):
            core.spec(f"/robot{robot}", ReceivedSpec(7, 9, "pick", spec), 0)
        loader = ray_loader(LIBRARY, 2, Cluster(address), 30.0)
        self.thread = InferenceThread(
            core, loader, self.answers.put, lambda line: self.lines.append(line.text), lambda: None, replicas=2
        )
        self.thread.start()

    def wait(self, condition) -> None:
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end, self.lines
            time.sleep(0.02)

    def report(self):
        return self.thread.status("/robot0")

    def ask(self, robot: int, request_id: int) -> None:
        key = RequestKey(SessionKey(f"/robot{robot}", 7), request_id)
        positions = positions_of(robot, request_id)[None]
        request = PolicyRequest(key, 9, 10 * request_id, False, "", JOINTS, positions, np.zeros((0, 6)), 0, 0)
        data = np.frombuffer(frame_of(robot, request_id), np.uint8)
        self.thread.call(lambda core, now: core.request(request, now))
        self.thread.call(
            lambda core, now: core.frame(ReceivedFrame(key, "front", 0, request_id, 0.01, "png", data, now))
        )

    def get(self) -> ServedChunk:
        return self.answers.get(timeout=WAIT_S)


def test_replicas_and_their_cluster_are_killed_and_every_request_is_answered_once(folder: str) -> None:
    port = free_port()
    head = Head(folder, port)
    served = Served(f"127.0.0.1:{port}")
    try:
        served.wait(lambda: served.report().replicas == 2)
        replicas = {process.pid for process in head.named("ray::PolicyActor")}
        assert len(replicas) == 2

        listening = {
            connection.laddr.ip
            for process in head.processes()
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening <= LOOPBACK

        answered: Counter[tuple[str, int]] = Counter()
        killed, next_id = 0, dict.fromkeys(range(ROBOTS), 1)
        for robot in range(ROBOTS):
            served.ask(robot, 1)
        total = 200
        while sum(answered.values()) < total:
            answer = served.get()
            key = answer.request.key
            robot = int(key.session.robot[-1])
            answered[key.session.robot, key.request_id] += 1
            if answer.status is ChunkStatus.OK:
                assert is_own(robot, key.request_id, answer.positions[0])
            else:  # both replicas were away: said so, to be asked again
                assert answer.status in (ChunkStatus.NOT_READY, ChunkStatus.POLICY_ERROR), answer.message
                time.sleep(answer.retry_after_s)
            done = sum(answered.values())
            if done in (60, 120):
                served.wait(lambda: served.report().replicas == 2)
                psutil.Process(head.named("ray::PolicyActor")[0].pid).kill()
                killed += 1
            if done + ROBOTS <= total:
                next_id[robot] += 1
                served.ask(robot, next_id[robot])
        assert killed == 2
        assert set(answered.values()) == {1}
        assert len(answered) == total
        served.wait(lambda: served.report().replicas == 2)
        now = {process.pid for process in head.named("ray::PolicyActor")}
        assert len(now) == 2
        assert now != replicas
        assert served.answers.empty()

        head.kill()
        served.ask(0, 1000)
        assert served.get().status in (ChunkStatus.NOT_READY, ChunkStatus.POLICY_ERROR)
        served.ask(1, 1000)
        assert served.get().status in (ChunkStatus.NOT_READY, ChunkStatus.POLICY_ERROR)
        served.wait(lambda: "Ray cluster" in served.report().message)
        assert (served.report().state, served.report().cause) == (PolicyState.ERROR, causes.REPLICAS_LOST)

        head = Head(folder, port)
        served.wait(lambda: served.report().replicas == 2)
        served.ask(0, 1001)
        assert served.get().status is ChunkStatus.OK
    finally:
        print(*served.lines, sep="\n")
        served.thread.stop(30.0)
        if sys.modules.get("ray") is not None:
            sys.modules["ray"].shutdown()
        head.kill()
        for name in ("RAY_RAYLET_PID", "RAY_gcs_rpc_server_reconnect_timeout_s"):
            os.environ.pop(name, None)
