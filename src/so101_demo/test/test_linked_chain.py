# SPDX-License-Identifier: Apache-2.0
"""The far side of `demo --link`: one TCP port and nothing else, or another ROS domain where there is no root."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from so101_demo.link import linked_chain
from so101_demo.link.linked_chain import DOMAINS, NAMESPACES, LinkedChain
from so101_link.core.framing import DEFAULT_PORT
from so101_link.keys.folder import KeyFolder

from so101_launch_runner import ProcessSpec

CHAIN = [
    ProcessSpec("so101_driver", "so101_driver", "so101_driver", name="so101_driver"),
    ProcessSpec("so101_policy_server", "policy_server", "policy_server", name="policy_server"),
]


def test_the_server_moves_to_the_far_side_and_the_link_has_an_end_on_either(tmp_path):
    chain = LinkedChain(tmp_path)
    try:
        specs = {spec.name: spec for spec in chain.apart(CHAIN, ("policy_server",))}
        assert set(specs) == {"so101_driver", "policy_server", "link_robot", "link_server"}
        moved = {name for name, spec in specs.items() if spec.prefix or spec.environment}
        assert moved == {"policy_server", "link_server"}
        for name, role in (("link_robot", "robot"), ("link_server", "server")):
            (values,) = specs[name].parameters
            assert KeyFolder.read(values["link_keys"]).role == role
        assert not (tmp_path / "keys" / "server" / "ca.key").exists()
    finally:
        chain.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")
def test_only_the_forwarded_port_reaches_the_far_host(tmp_path):
    outside = socket.create_server(("127.0.0.1", 0))
    chain = LinkedChain(tmp_path)
    try:
        assert chain.separation == NAMESPACES
        specs = {spec.name: spec for spec in chain.apart(CHAIN, ("policy_server",))}
        code = (
            "import socket; s = socket.create_server(('127.0.0.1', int(__import__('sys').argv[1])));"
            "print([n for _, n in socket.if_nameindex()], flush=True);"
            "p = socket.socket(); p.settimeout(1);"
            "print(p.connect_ex(('127.0.0.1', int(__import__('sys').argv[2]))) == 0, flush=True);"
            "c, _ = s.accept(); c.sendall(c.recv(100).upper()); c.close()"
        )
        ports = str(DEFAULT_PORT), str(outside.getsockname()[1])
        far = subprocess.Popen(
            [*specs["policy_server"].prefix, sys.executable, "-c", code, *ports], stdout=subprocess.PIPE, text=True
        )
        assert far.stdout is not None
        interfaces, reaches_outside = far.stdout.readline().strip(), far.stdout.readline().strip()
        assert "lo" in interfaces and "eth0" not in interfaces and reaches_outside == "False"
        (values,) = specs["link_robot"].parameters
        host, _, port = values["server_link"].rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5.0) as near:
            near.sendall(b"hello")
            assert near.recv(100) == b"HELLO"
        assert far.wait(5.0) == 0
        far.stdout.close()
    finally:
        outside.close()
        chain.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")
def test_a_cut_lets_nothing_through_and_loses_nothing(tmp_path):
    chain = LinkedChain(tmp_path, (0.8, 1.2))
    try:
        specs = {spec.name: spec for spec in chain.apart(CHAIN, ("policy_server",))}
        code = (
            f"import socket; s = socket.create_server(('127.0.0.1', {DEFAULT_PORT})); print('listens', flush=True);"
            "c, _ = s.accept(); [c.sendall(block) for block in iter(lambda: c.recv(100), b'')]"
        )
        command = [*specs["policy_server"].prefix, sys.executable, "-c", code]
        far = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert far.stdout is not None and far.stdout.readline() == "listens\n"
            (values,) = specs["link_robot"].parameters
            host, _, port = values["server_link"].rpartition(":")
            took_s: list[float] = []
            with socket.create_connection((host, int(port)), timeout=5.0) as near:
                end_s = time.monotonic() + 3.6
                while time.monotonic() < end_s:
                    begun_s = time.monotonic()
                    near.sendall(b"%05d" % len(took_s))
                    assert near.recv(100) == b"%05d" % len(took_s)
                    took_s.append(time.monotonic() - begun_s)
                    time.sleep(0.02)
            assert 2 <= sum(one_s > 0.4 for one_s in took_s) <= 4, took_s
            assert far.wait(5.0) == 0
        finally:
            far.kill()
            far.communicate()
    finally:
        chain.close()


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root cannot be laid down here")
def test_without_the_right_to_make_a_namespace_the_far_side_is_another_domain(tmp_path, monkeypatch):
    if os.geteuid() == 0:
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\nexec setpriv --bounding-set -sys_admin {sys.executable} "$@"\n')
        python.chmod(0o755)
        monkeypatch.setattr(linked_chain.sys, "executable", str(python))
    (folder := tmp_path / "run").mkdir()
    chain = LinkedChain(Path(folder))
    try:
        assert chain.separation == DOMAINS
        specs = {spec.name: spec for spec in chain.apart(CHAIN, ("policy_server",))}
        domain = specs["policy_server"].environment["ROS_DOMAIN_ID"]
        assert domain == specs["link_server"].environment["ROS_DOMAIN_ID"] != os.environ["ROS_DOMAIN_ID"]
        assert not specs["link_robot"].environment
    finally:
        chain.close()
