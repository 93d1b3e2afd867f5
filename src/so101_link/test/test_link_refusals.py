# SPDX-License-Identifier: Apache-2.0
"""Who is not let in over real TLS, and that both ends say why, each in one line."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from link_ends import DAY_S, RobotEnd, ServerEnd, eventually, make_keys, robot_keys
from so101_link.core import causes
from so101_link.errors import LinkAddressError, ListenError
from so101_link.keys.authority import Authority
from so101_link.keys.folder import NAME_OF_SERVER, KeyFolder
from so101_link.transport import tls
from so101_link.transport.dialer import LinkAddress, keys_fault, open_tls
from so101_link.transport.listener import MAX_HANDSHAKES, Listener
from so101_link.transport.reasons import LinkFailure, explain
from so101_link.transport.stream import TlsStream


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_keys(tmp_path / "keys", "arm1", "arm2")


@pytest.fixture
def server(folder: Path) -> Iterator[ServerEnd]:
    end = ServerEnd(folder)
    yield end
    end.close()


@pytest.fixture
def dial() -> Iterator[Callable[..., RobotEnd]]:
    ends: list[RobotEnd] = []

    def dialled(address: LinkAddress, keys: KeyFolder, name: str = "arm1") -> RobotEnd:
        ends.append(RobotEnd(address, lambda: keys, name))
        return ends[-1]

    yield dialled
    for end in ends:
        end.close()


def shown_by(server: ServerEnd, words: str) -> bool:
    return eventually(lambda: any(words in line for line in server.lines))


def failure_of(address: LinkAddress, keys: KeyFolder) -> LinkFailure:
    """What a client is told that asks nobody whether its keys are any good."""
    try:
        with (
            socket.create_connection((address.host, address.port), timeout=3.0) as connection,
            tls.wrap_client(tls.client_context(keys), connection) as wrapped,
        ):
            wrapped.do_handshake()
            wrapped.recv(1000)
            assert not wrapped.recv(1000), "the server has welcomed it"
    except OSError as error:
        return explain(error)
    raise AssertionError("closed without a word")


def test_a_robot_with_keys_of_this_authority_is_let_in(
    server: ServerEnd, folder: Path, dial: Callable[..., RobotEnd]
) -> None:
    robot = dial(server.address, robot_keys(folder))
    assert eventually(lambda: robot.ups)
    robot.request(b"request")
    assert eventually(lambda: server.received) and server.received[0].data == b"request"


def test_no_certificate(server: ServerEnd, folder: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(folder / "server" / "ca.pem")
    with socket.create_connection((server.address.host, server.address.port), timeout=3.0) as connection:
        wrapped = tls.wrap_client(context, connection)
        wrapped.do_handshake()
        with pytest.raises(ssl.SSLError) as told:
            wrapped.recv(1000)
    assert "none was shown" in explain(told.value).text
    assert shown_by(server, "the other end shows no certificate")


def test_keys_of_another_authority(
    server: ServerEnd, folder: Path, tmp_path: Path, dial: Callable[..., RobotEnd]
) -> None:
    other = robot_keys(make_keys(tmp_path / "other", "arm1"))
    robot = dial(server.address, other)  # it trusts another authority too, and is the first to say no
    assert eventually(lambda: robot.ends)
    assert robot.ends[0].failure.cause == causes.CERTIFICATE_REFUSED
    assert "signed by another authority than these keys" in robot.ends[0].failure.text
    assert shown_by(server, "the other end refuses this end's certificate")
    hostile = replace(other, ca=folder / "server" / "ca.pem")
    assert "signed by another authority than the other end's keys" in failure_of(server.address, hostile).text
    assert shown_by(server, "the other end's certificate is signed by another authority than these keys")


def test_an_expired_certificate(server: ServerEnd, folder: Path, dial: Callable[..., RobotEnd]) -> None:
    Authority.open(folder).make(["arm3"], 1, time.time() - 10 * DAY_S)
    expired = robot_keys(folder, "arm3")
    robot = dial(server.address, expired, "arm3")
    assert eventually(lambda: robot.ends) and "expired" in robot.ends[0].failure.text
    told = failure_of(server.address, expired)  # a robot whose own clock is wrong
    assert told.cause == causes.CERTIFICATE_REFUSED and "expired" in told.text
    assert shown_by(server, "has expired by this computer's clock")


def test_a_certificate_that_is_not_valid_yet_is_a_matter_of_the_clock(
    server: ServerEnd, folder: Path, dial: Callable[..., RobotEnd]
) -> None:
    Authority.open(folder).make(["arm4"], 30, time.time() + 400 * DAY_S)
    early = robot_keys(folder, "arm4")
    fault = keys_fault(early)
    assert fault is not None and fault.cause == causes.CLOCK_WRONG and "clock" in fault.text
    assert "clock" in failure_of(server.address, early).text
    assert shown_by(server, "not valid yet by this computer's clock")


def test_the_servers_keys_on_a_robot(server: ServerEnd, folder: Path) -> None:
    swapped = KeyFolder.read_whatever_its_age(folder / "server")
    told = failure_of(server.address, swapped)
    assert told.cause == causes.CERTIFICATE_REFUSED and "other role" in told.text
    assert shown_by(server, "is for the other role")


def test_a_robots_keys_on_a_server(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as port:
        context = tls.server_context(robot_keys(folder, "arm2"))
        address = LinkAddress("127.0.0.1", port.getsockname()[1])
        with pytest.raises(ssl.SSLCertVerificationError) as told:
            _handshake_with(port, context, address, robot_keys(folder))
    assert explain(told.value).cause == causes.CERTIFICATE_REFUSED


def _handshake_with(port: socket.socket, context: ssl.SSLContext, address: LinkAddress, keys: KeyFolder) -> None:
    def accept() -> None:
        connection, _ = port.accept()
        connection.settimeout(3.0)
        try:
            context.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        open_tls(address, keys).close()
    finally:
        thread.join(5.0)


def test_a_revoked_certificate_from_the_next_connection_on(
    server: ServerEnd, folder: Path, dial: Callable[..., RobotEnd]
) -> None:
    dial(server.address, robot_keys(folder))
    Authority.open(folder).revoke("arm2", time.time())
    robot = dial(server.address, robot_keys(folder, "arm2"), "arm2")
    assert eventually(lambda: robot.ends)
    assert robot.ends[0].failure.cause == causes.REFUSED and "is revoked" in robot.ends[0].failure.text
    assert shown_by(server, "the certificate of arm2") and not robot.ups


def test_a_server_that_cannot_read_what_is_revoked_admits_nobody(
    server: ServerEnd, folder: Path, dial: Callable[..., RobotEnd]
) -> None:
    (folder / "server" / "revoked.txt").unlink()
    robot = dial(server.address, robot_keys(folder))
    assert eventually(lambda: robot.ends) and "admits none" in robot.ends[0].failure.text and not robot.ups


def test_another_robots_name(server: ServerEnd, folder: Path, dial: Callable[..., RobotEnd]) -> None:
    robot = dial(server.address, robot_keys(folder), "arm2")
    assert eventually(lambda: robot.ends)
    assert "its certificate is that of 'arm1'" in robot.ends[0].failure.text and not robot.ups
    assert shown_by(server, "its certificate is that of 'arm1'")


def test_a_refused_robot_asks_ever_more_seldom(server: ServerEnd, folder: Path, dial: Callable[..., RobotEnd]) -> None:
    robot = dial(server.address, robot_keys(folder), "arm2")
    time.sleep(3.0)
    assert 2 <= len(robot.ends) <= 6


def test_a_port_that_is_in_use_and_a_name_that_does_not_resolve(
    server: ServerEnd, folder: Path, dial: Callable[..., RobotEnd]
) -> None:
    keys = robot_keys(folder)
    with pytest.raises(ListenError, match=f"port {server.listener.port} is in use"):
        Listener(
            server.listener.port, lambda: KeyFolder.read_whatever_its_age(folder / "server"), lambda _: None, print,
            "127.0.0.1",
        )  # fmt: skip
    robot = dial(LinkAddress("no-such-host.invalid", 7447), keys)
    assert eventually(lambda: robot.ends) and robot.ends[0].failure.cause == causes.NAME_UNKNOWN
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    nobody = dial(LinkAddress("127.0.0.1", port), keys)
    assert eventually(lambda: nobody.ends) and nobody.ends[0].failure.cause == causes.NO_LISTENER


def test_a_forward_with_nobody_behind_it_is_told_from_a_server_that_refuses(
    folder: Path, dial: Callable[..., RobotEnd]
) -> None:
    """`ssh -L` accepts, and closes once it finds that nothing listens at its far end."""
    with socket.create_server(("127.0.0.1", 0)) as forward:
        forward.settimeout(5.0)
        robot = dial(LinkAddress("127.0.0.1", forward.getsockname()[1]), robot_keys(folder))
        forward.accept()[0].close()
        assert eventually(lambda: robot.ends)
    assert robot.ends[0].failure.cause == causes.CLOSED_BETWEEN


def test_a_port_that_accepts_and_says_nothing_is_told_from_one_that_does_not_reply(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = LinkAddress("127.0.0.1", silent.getsockname()[1])
        with socket.create_connection((address.host, address.port)) as connection:
            stream = TlsStream(connection, tls.client_context(robot_keys(folder)), NAME_OF_SERVER)
            with pytest.raises(OSError) as told:
                stream.do_handshake_within(0.1)
    failure = explain(told.value)
    assert failure.cause == causes.LOST and failure.text.startswith("connected, and then nothing came for 0.1 s: ")


def test_a_port_of_ssh_is_none_of_a_link(folder: Path, dial: Callable[..., RobotEnd]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as ssh:
        ssh.settimeout(5.0)
        robot = dial(LinkAddress("127.0.0.1", ssh.getsockname()[1]), robot_keys(folder))
        with ssh.accept()[0] as connection:
            connection.sendall(b"SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13.5\r\n")
            assert eventually(lambda: robot.ends)
    assert robot.ends[0].failure.cause == causes.REFUSED and "it speaks no TLS" in robot.ends[0].failure.text


@pytest.mark.parametrize(
    ("host", "says"), [("::1", ""), ("gpu.invalid", "is no address"), ("192.0.2.1", "is no address")]
)
def test_a_server_listens_on_the_address_that_it_is_given(folder: Path, host: str, says: str) -> None:
    def listen() -> Listener:
        return Listener(0, lambda: KeyFolder.read_whatever_its_age(folder / "server"), lambda _: None, print, host)

    if says:
        with pytest.raises(ListenError, match=says) as told:
            listen()
        assert f"link_address = '{host}'" in str(told.value) and "\n" not in str(told.value)
        return
    listener = listen()
    thread = threading.Thread(target=listener.run)
    thread.start()
    socket.create_connection((host, listener.port), timeout=3.0).close()
    listener.stop()
    thread.join(5.0)


def test_a_flood_of_connections_that_say_nothing_keeps_only_its_own_address_out(
    server: ServerEnd, folder: Path
) -> None:
    with contextlib.ExitStack() as stack:
        door = (server.address.host, server.address.port)
        slow = stack.enter_context(socket.create_connection(door, timeout=5.0))
        for _ in range(2 * MAX_HANDSHAKES):
            stack.enter_context(socket.create_connection(door, timeout=5.0, source_address=("127.0.0.2", 0)))
        assert eventually(lambda: server.listener.strangers.count >= MAX_HANDSHAKES)
        wrapped = stack.enter_context(tls.wrap_client(tls.client_context(robot_keys(folder)), slow))
        wrapped.do_handshake()
        assert wrapped.recv(1000), "the oldest connection was dropped, though it is the only one of its address"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("gpu.example.org:7447", "gpu.example.org", 7447),
        ("[::1]:7447", "::1", 7447),
        ("[fe80::1%eth0]:1", "fe80::1%eth0", 1),
        ("my_robot_gpu:65535", "my_robot_gpu", 65535),
        ("gpu.example.org.:7447", "gpu.example.org.", 7447),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    assert LinkAddress.parse(text) == LinkAddress(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "", "gpu", "gpu:", ":7447", "gpu:0", "gpu:70000", "gpu:-1", "gpu:7447.0", "gpu:7447/", "gpu:\u0667",
        "https://gpu:7447", "gpu:7447:7447", "user@gpu:7447", "g pu:7447", "gpu..org:7447", f"{'a' * 64}.org:7447",
        "tls://gpu:7447", "::1", "::1:7447", "2001:db8::1", "[::1]", "[::1:7447", f"gpu:{'1' * 5000}",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(LinkAddressError) as told:
        LinkAddress.parse(text)
    assert "must be HOST:PORT" in str(told.value) and "\n" not in str(told.value)


def test_a_thousand_garbage_connections_leave_the_flow_undisturbed(
    server: ServerEnd, folder: Path, dial: Callable[..., RobotEnd]
) -> None:
    robot = dial(server.address, robot_keys(folder))
    assert eventually(lambda: robot.ups)
    strangers: list[socket.socket] = []
    latest_s = []
    for number in range(1000):
        stranger = socket.create_connection((server.address.host, server.address.port), timeout=5.0)
        strangers.append(stranger)
        if number % 3:  # every third says nothing at all
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" if number % 3 == 1 else bytes(range(256)))
        if number % 20 == 0:
            begun_s = time.monotonic()
            robot.request(f"request {number}".encode())
            assert eventually(lambda wanted=number: any(m.data.endswith(b" %d" % wanted) for m in server.received), 2.0)
            latest_s.append(time.monotonic() - begun_s)
        if len(strangers) > 400:
            strangers.pop(0).close()
    assert sorted(latest_s)[len(latest_s) // 2] < 0.1 and len(robot.ups) == 1 and not robot.ends
    assert eventually(lambda: server.listener.strangers.count >= 1000 - MAX_HANDSHAKES)
    assert len(server.lines) < 40, "the log is flooded"
    newcomer = dial(server.address, robot_keys(folder, "arm2"), "arm2")
    assert eventually(lambda: newcomer.ups, 3.0), "a robot cannot connect while strangers hang about"
    for stranger in strangers:
        stranger.close()
