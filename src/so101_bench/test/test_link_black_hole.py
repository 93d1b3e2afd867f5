# SPDX-License-Identifier: Apache-2.0
"""The doctor at a link whose wire swallows long packets without a word. Root."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from so101_bench.two_hosts.hosts import TwoHosts, why_not
from so101_bench.two_hosts.link import INTERFACE
from so101_bench.two_hosts.wire import NO_WIRE
from so101_link.keys.authority import Authority

RUN_SERVER = "import sys; from so101_link.ros.start import link_server; sys.exit(link_server())"
REASON = why_not()


@pytest.mark.skipif(REASON is not None, reason=REASON or "")
@pytest.mark.long
@pytest.mark.parametrize("swallowed", [False, True])
def test_a_wire_that_swallows_long_packets_is_told_from_one_that_only_takes_short_ones(
    swallowed: bool, tmp_path: Path
) -> None:
    """In both the server's interface takes 1280 bytes; in one it tells the robot that it takes 1500."""
    keys = tmp_path / "keys"
    Authority.create(keys, time.time()).make(["server", "root"], 100, time.time())
    env = {**os.environ, "FASTRTPS_DEFAULT_PROFILES_FILE": "", "ROS_DOMAIN_ID": "7"}
    with TwoHosts(NO_WIRE) as network:
        at_server, address = network.prefix("server"), network.address("server")
        subprocess.run([*at_server, "ip", "link", "set", "dev", INTERFACE, "mtu", "1280"], check=True)
        if swallowed:
            route = ["ip", "route", "change", "10.98.0.0/24", "dev", INTERFACE, "advmss", "1460"]
            subprocess.run([*at_server, *route], check=True)
        parameters = ["-p", "link_port:=7447", "-p", f"link_keys:={keys}/server"]
        command = [*at_server, sys.executable, "-c", RUN_SERVER, "--ros-args", *parameters]
        with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as server:
            try:
                assert server.stderr is not None
                while "listens on port" not in server.stderr.readline():
                    assert server.poll() is None
                report = tmp_path / "report.json"
                doctor = ["network", "--listen", "0.1", "--report", str(report)]
                link = ["--link", f"{address}:7447", "--link-keys", str(keys / "robots" / "root")]
                subprocess.run(
                    [*network.prefix("robot"), sys.executable, "-m", "so101_doctor", *doctor, *link],
                    env=env, capture_output=True, check=False, timeout=120,
                )  # fmt: skip
            finally:
                server.terminate()
    checks = {check["name"]: check for check in json.loads(report.read_text())["checks"]}
    red = {name for name, check in checks.items() if check["state"] == "red"}
    if swallowed:
        assert red == {"link MTU"}, checks
        assert "only short packets get through" in checks["link MTU"]["text"]
        assert "net.ipv4.tcp_mtu_probing=1" in checks["link MTU"]["remedy"]
    else:
        assert red == set(), checks
        assert checks["link MTU"]["text"] in (
            "segments of 1228 bytes get through",
            "segments of 1240 bytes get through",
        )
