# SPDX-License-Identifier: Apache-2.0
"""Two real network namespaces and the wire between them. Root only; nothing of it is left behind."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from so101_bench.errors import TwoHostsError
from so101_bench.two_hosts import hosts as two_hosts
from so101_bench.two_hosts.hosts import TwoHosts, why_not
from so101_bench.two_hosts.wire import NO_WIRE, Wire

REASON = why_not()
needs_hosts = pytest.mark.skipif(REASON is not None, reason=REASON or "")

# One datagram there and back, again and again; prints the median time, ms, or `lost`.
ECHO_SERVER = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.98.0.2", 7000))
print("up", flush=True)
while True:
    data, peer = s.recvfrom(2000)
    s.sendto(data, peer)
"""
ECHO_CLIENT = """
import socket, statistics, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1.0)
times = []
for _ in range(int(sys.argv[1])):
    began = time.monotonic()
    s.sendto(bytes(1000), ("10.98.0.2", 7000))
    try:
        s.recv(2000)
    except TimeoutError:
        continue
    times.append(time.monotonic() - began)
print(statistics.median(times) * 1e3 if times else "lost")
"""


@pytest.fixture(scope="module")
def network() -> Iterator[TwoHosts]:
    with TwoHosts(NO_WIRE) as made:
        yield made


@pytest.fixture(scope="module")
def echo(network: TwoHosts) -> Iterator[None]:
    command = [*network.prefix("server"), sys.executable, "-SE", "-c", ECHO_SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stdout.readline() == "up\n"
        yield
        server.kill()


def on(network: TwoHosts, host: str, *command: str) -> str:
    done = subprocess.run([*network.prefix(host), *command], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def round_trip_ms(network: TwoHosts, count: int = 5) -> float | None:
    reply = on(network, "robot", sys.executable, "-SE", "-c", ECHO_CLIENT, str(count))
    return None if reply == "lost" else float(reply)


@needs_hosts
@pytest.mark.usefixtures("echo")
def test_the_delay_is_added_both_ways(network: TwoHosts) -> None:
    network.shape(NO_WIRE)
    plain = round_trip_ms(network)
    network.shape(Wire(delay_ms=50))
    delayed = round_trip_ms(network)
    assert plain is not None and delayed is not None
    assert 90 < delayed - plain < 200


@needs_hosts
@pytest.mark.usefixtures("echo")
def test_nothing_crosses_a_cut_wire_and_all_does_after_healing(network: TwoHosts) -> None:
    network.shape(NO_WIRE)
    network.cut()
    assert round_trip_ms(network, count=1) is None
    network.heal()
    assert round_trip_ms(network) is not None
    assert network.counts()["lost"][0] >= 1


@needs_hosts
def test_a_rate_limits_how_fast_a_stream_goes(network: TwoHosts) -> None:
    network.shape(Wire(rate_mbit=20))
    receive = (
        "import socket; s = socket.create_server(('10.98.0.2', 7001)); print('up', flush=True); c, _ = s.accept()\n"
        "while c.recv(1 << 16): pass"
    )
    send = (
        "import socket, time; s = socket.create_connection(('10.98.0.2', 7001)); t = time.monotonic()\n"
        "s.sendall(bytes(1_000_000)); s.shutdown(1); s.recv(1); print(time.monotonic() - t)"
    )
    command = [*network.prefix("server"), sys.executable, "-SE", "-c", receive]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stdout.readline() == "up\n"
        seconds = float(on(network, "robot", sys.executable, "-SE", "-c", send))
    assert seconds >= 0.4  # 8 Mbit at 20 Mbit/s; how much longer is the machine's business


@needs_hosts
def test_shared_memory_connects_one_host_and_not_the_other(network: TwoHosts) -> None:
    on(network, "robot", "sh", "-c", "echo there > /dev/shm/so101_two_hosts_test")
    assert on(network, "robot", "cat", "/dev/shm/so101_two_hosts_test") == "there"
    assert "so101_two_hosts_test" not in on(network, "server", "ls", "/dev/shm")
    assert not Path("/dev/shm/so101_two_hosts_test").exists()


@needs_hosts
def test_a_command_keeps_its_process_id_and_its_folder(network: TwoHosts, tmp_path: Path) -> None:
    command = [*network.prefix("robot"), "sh", "-c", "echo $$; pwd"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.read().split() == [str(process.pid), str(tmp_path)]


@needs_hosts
def test_hosts_end_with_the_process_that_made_them() -> None:
    with TwoHosts(NO_WIRE) as made:
        prefix = made.prefix("robot")
    done = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1 and "cannot be entered" in done.stderr


@needs_hosts
def test_a_command_that_is_not_there_is_told_from_a_host_that_is_not_there(network: TwoHosts) -> None:
    done = subprocess.run([*network.prefix("robot"), "no-such-command"], capture_output=True, text=True, check=False)
    assert done.returncode == 127 and done.stderr.count("\n") == 1 and "cannot be entered" not in done.stderr
    assert "no-such-command cannot be run on the other host: No such file or directory" in done.stderr


@needs_hosts
def test_a_wire_whose_process_is_gone_says_so_on_one_line() -> None:
    with TwoHosts(NO_WIRE) as made:
        made._process.kill()
        made._process.wait()
        with pytest.raises(TwoHostsError, match="has ended"):
            made.cut()


def test_without_root_the_reason_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_hosts.os, "geteuid", lambda: 1000)
    began = time.monotonic()
    with pytest.raises(TwoHostsError, match="need root"):
        TwoHosts(NO_WIRE)
    assert time.monotonic() - began < 5
