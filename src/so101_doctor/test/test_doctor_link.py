# SPDX-License-Identifier: Apache-2.0
"""`doctor network --link` at a real link_server of the test: a sound link is green, each planted fault is named."""

import http.server
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from so101_doctor.__main__ import main
from so101_doctor.check import Check, Light
from so101_link.keys.authority import Authority
from so101_msgs.msg import PolicyStatus
from so101_node.topics.qos import LATCHED

from so101_doctor import link

DAY_S = 86400.0
RUN_SERVER = "import sys; from so101_link.ros.start import link_server; sys.exit(link_server())"


def make_keys(folder: Path, *robots: str, now_s: float | None = None) -> Path:
    now_s = time.time() if now_s is None else now_s
    Authority.create(folder, now_s).make(["server", *robots], 100, now_s)
    return folder


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(tmp_path_factory.mktemp("link") / "keys", "arm1", "arm2")


@pytest.fixture(scope="module")
def port(keys: Path) -> Iterator[int]:
    """Where a link_server listens, with these keys."""
    chosen = free_port()
    parameters = ["-p", f"link_port:={chosen}", "-p", "link_address:=127.0.0.1", "-p", f"link_keys:={keys}/server"]
    with subprocess.Popen([sys.executable, "-c", RUN_SERVER, "--ros-args", *parameters]) as server:
        try:
            end_s = time.monotonic() + 30.0
            while time.monotonic() < end_s:
                try:
                    socket.create_connection(("127.0.0.1", chosen), timeout=1.0).close()
                    break
                except OSError:
                    assert server.poll() is None
                    time.sleep(0.1)
            yield chosen
        finally:
            server.terminate()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_STEP_TIMEOUT_S", 2.0)


def checked(target: str | int, folder: Path) -> dict[str, Check]:
    target = f"127.0.0.1:{target}" if isinstance(target, int) else target
    return {check.name: check for check in link.check_link(target, folder)}


def only_red(checks: dict[str, Check]) -> Check:
    (red,) = [check for check in checks.values() if check.state is Light.RED]
    return red


def test_a_sound_link_is_green_to_the_policy_server_behind_it(
    port: int, keys: Path, peer_in: Callable, domain: int
) -> None:
    peer = peer_in(domain)
    publisher = peer.node.create_publisher(PolicyStatus, "arm1/policy_status", LATCHED)
    publisher.publish(PolicyStatus(server_id=5, server_name="gpu", state=PolicyStatus.READY))
    checks = checked(port, keys / "robots" / "arm1")
    wanted = ("keys", "address", "TCP", "TLS", "version", "round trip", "speed", "MTU", "policy server")
    for name in wanted:
        assert checks[f"link {name}"].state is Light.GREEN, checks
    assert "TLSv1.3" in checks["link TLS"].text
    assert "in a tunnel or a proxy on this computer" in checks["link MTU"].text  # as 127.0.0.1 looks
    assert "Mbit/s to the server; three cameras, three requests a second need 3.6" in checks["link speed"].text
    assert checks["link congestion control"].text.partition(";")[0] in ("bbr", "cubic", "reno")


def test_without_a_policy_server_the_last_step_is_yellow(port: int, keys: Path) -> None:
    checks = checked(port, keys / "robots" / "arm2")
    assert checks["link policy server"].state is Light.YELLOW
    assert "none is heard behind the link, as robot arm2" in checks["link policy server"].text
    assert [check for check in checks.values() if check.state is Light.RED] == []


def test_a_port_where_nothing_listens(keys: Path) -> None:
    red = only_red(checked(free_port(), keys / "robots" / "arm1"))
    assert red.name == "link TCP" and "nothing listens there" in red.text
    assert "outside port" in red.remedy


def test_a_name_that_does_not_resolve_and_a_target_that_is_none(keys: Path) -> None:
    red = only_red(checked("gpu..example:7447", keys / "robots" / "arm1"))
    assert red.name == "link address" and "gpu..example" in red.text
    for target in ("gpu", "gpu:", ":7447", "gpu:70000"):
        red = only_red(checked(target, keys / "robots" / "arm1"))
        assert red.name == "link address" and "must be HOST:PORT" in red.text


def test_another_service_behind_the_port(keys: Path) -> None:
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    try:
        red = only_red(checked(web.server_port, keys / "robots" / "arm1"))
    finally:
        web.shutdown()
        web.server_close()
    assert red.name == "link TLS" and "no link" in red.text


def test_a_port_that_accepts_and_says_nothing(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_STEP_TIMEOUT_S", 0.3)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        red = only_red(checked(server.getsockname()[1], keys / "robots" / "arm1"))
    assert red.name == "link TLS" and "no reply in time" in red.text


def test_keys_of_another_authority(port: int, tmp_path: Path) -> None:
    red = only_red(checked(port, make_keys(tmp_path / "other", "arm1") / "robots" / "arm1"))
    assert red.name == "link TLS" and "signed by another authority than these keys" in red.text
    assert "of one ./so101 link keys" in red.remedy


@pytest.mark.parametrize(
    ("made", "says", "remedy"),
    [
        (-200, "expired on", "--renew arm1"),
        (200, "this computer's clock says", "timedatectl"),
    ],
)
def test_keys_outside_their_time_end_it_before_anything_is_tried(
    made: int, says: str, remedy: str, port: int, tmp_path: Path
) -> None:
    folder = make_keys(tmp_path / "keys", "arm1", now_s=time.time() + made * DAY_S)
    checks = checked(port, folder / "robots" / "arm1")
    assert list(checks) == ["link keys"]
    assert checks["link keys"].state is Light.RED
    assert says in checks["link keys"].text and remedy in checks["link keys"].remedy


def test_keys_that_end_soon_are_yellow_and_the_link_is_looked_at(port: int, keys: Path, tmp_path: Path) -> None:
    Authority.open(keys).make(["arm3"], 10, time.time())
    checks = checked(port, keys / "robots" / "arm3")
    assert checks["link keys"].state is Light.YELLOW and "in 9 days" in checks["link keys"].text
    assert "link policy server" in checks


def test_revoked_keys(port: int, keys: Path) -> None:
    authority = Authority.open(keys)
    authority.make(["arm4"], 100, time.time())
    authority.revoke("arm4", time.time())
    red = only_red(checked(port, keys / "robots" / "arm4"))
    assert red.name in ("link TLS", "link version") and "revoked" in red.text


def test_another_version_on_the_server(port: int, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    types = {name: "0" if name.endswith("ActionChunk") else value for name, value in link.type_hashes().items()}
    monkeypatch.setattr(link, "type_hashes", lambda: types)
    red = only_red(checked(port, keys / "robots" / "arm1"))
    assert red.name == "link version"
    assert "ActionChunk" in red.text and "same version" in red.text


def test_keys_that_are_not_a_robots_or_not_there(port: int, keys: Path, tmp_path: Path) -> None:
    assert "keys of the server" in only_red(checked(port, keys / "server")).text
    assert "is the folder of the authority" in only_red(checked(port, keys)).text
    assert "no such folder of keys" in only_red(checked(port, tmp_path / "none")).text


def test_a_private_key_that_others_can_read_is_yellow(port: int, tmp_path: Path) -> None:
    key = make_keys(tmp_path / "keys", "arm1") / "robots" / "arm1" / "private.key"
    key.chmod(0o644)
    check = checked(free_port(), key.parent)["link keys"]
    assert check.state is Light.YELLOW and check.remedy == f"chmod 600 {key}"


def test_the_authoritys_key_beside_a_robots_is_yellow(port: int, keys: Path) -> None:
    check = checked(port, keys / "robots" / "arm2")["link authority"]
    assert check.state is Light.YELLOW and str(keys / "authority" / "ca.key") in check.text


def test_the_options_belong_together(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["network", "--link", "gpu:7447"], ["network", "--link-keys", "keys"]):
        with pytest.raises(SystemExit) as error:
            main(arguments)
        assert error.value.code == 2
        [said] = capsys.readouterr().err.splitlines()
        assert "--link HOST:PORT and --link-keys DIR go together" in said
