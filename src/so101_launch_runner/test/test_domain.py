# SPDX-License-Identifier: Apache-2.0
"""ROS domains of one's own."""

import os
import socket
from pathlib import Path

import pytest
from so101_launch_runner.domain import DomainLease, JoinedDomain, is_quiet, ports_in_use
from so101_launch_runner.errors import NoFreeDomainError


def ports_of(domains: range) -> set[int]:
    return {7400 + 250 * domain + 10 for domain in domains}


def test_a_domain_is_quiet_only_while_none_of_its_ports_is_in_use():
    assert is_quiet(3, {7400 + 250 * 3 - 1, 7400 + 250 * 4})
    assert not is_quiet(3, {7400 + 250 * 3})
    assert not is_quiet(3, {7400 + 250 * 4 - 1})


def test_two_leases_never_hold_the_same_domain(tmp_path: Path):
    ports = ports_of(range(3, 102))  # only 1 and 2 are quiet
    first, second = DomainLease(tmp_path, ports), DomainLease(tmp_path, ports)
    assert {first.id, second.id} == {1, 2}
    with pytest.raises(NoFreeDomainError, match="no ROS domain"):
        DomainLease(tmp_path, ports)
    first.close()
    assert DomainLease(tmp_path, ports).id == first.id


def test_a_lease_is_not_inherited_by_programs_that_are_started(tmp_path: Path):
    lease = DomainLease(tmp_path, ports_of(range(2, 102)))
    assert lease.id == 1
    assert not os.get_inheritable(lease._descriptor)


def test_ports_are_read_from_the_kernels_table(tmp_path: Path):
    table = tmp_path / "udp"
    table.write_text("  sl  local_address rem_address   st\n  1: 00000000:1CF2 00000000:0000 07\n")
    assert ports_in_use((table, tmp_path / "absent")) == {0x1CF2}


def test_a_socket_that_only_listens_to_a_group_takes_no_domain(tmp_path: Path):
    """The doctor hears the nodes of every domain so, while it runs."""
    table = tmp_path / "udp"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("239.255.0.1", 0))
        assert one.getsockname()[1] not in ports_in_use()
    table.write_text("  sl  local_address\n 1: 0100FFEF:1CE8 0:0 07\n 2: 0100007F:1CF2 0:0 07\n")
    assert ports_in_use((table,)) == {0x1CF2}


def test_a_process_that_joined_a_domain_leaves_it_as_it_came(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "0")
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE")
    joined = JoinedDomain()
    assert {name: os.environ[name] for name in joined.environment} == joined.environment
    assert os.environ["ROS_DOMAIN_ID"] == str(joined.id)
    for _ in range(2):
        joined.close()
        assert os.environ["ROS_DOMAIN_ID"] == "0"
        assert "FASTRTPS_DEFAULT_PROFILES_FILE" not in os.environ
