# SPDX-License-Identifier: Apache-2.0
"""A node starts where ROS cannot write its log files, and says so; an impossible ROS_DOMAIN_ID is one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from so101_node.process.command_line import CommandLineError, check_domain
from so101_node.process.log_folder import why_not_writable

NODE = """
import sys
from rclpy.node import Node
from so101_node.process import NodeError, run_node
class Node(Node):
    def __init__(self):
        super().__init__("node")
        raise NodeError("it was made")
sys.exit(run_node(Node))
"""


def test_a_folder_that_can_be_written_is_nothing_to_tell(tmp_path: Path) -> None:
    assert why_not_writable({"ROS_LOG_DIR": str(tmp_path / "log")}) == ""
    assert why_not_writable({"ROS_HOME": str(tmp_path)}) == ""


def test_without_a_home_and_without_a_folder_there_is_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", no_home)
    told = why_not_writable({})
    assert told == "no log file is kept (this user has no home folder); for one: export ROS_LOG_DIR=FOLDER"


def run(**environment: str) -> tuple[int, list[str]]:
    env = {**os.environ, **environment}
    done = subprocess.run([sys.executable, "-c", NODE], env=env, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr.splitlines()


def test_a_node_starts_without_a_log_file() -> None:
    code, lines = run(ROS_LOG_DIR="/proc/nowhere")
    assert code == 1 and len(lines) == 2, lines
    assert lines[0].startswith("[node] warning: no log file is kept (/proc/nowhere: ")
    assert lines[1] == "[node] error: it was made"


def test_a_domain_that_is_none_is_one_line() -> None:
    code, lines = run(ROS_DOMAIN_ID="300")
    assert (code, lines) == (78, ["[node] error: ROS_DOMAIN_ID=300: must be a whole number from 0 to 232, or unset"])
    for domain in ("", "0", "232"):
        check_domain({"ROS_DOMAIN_ID": domain})
    with pytest.raises(CommandLineError):
        check_domain({"ROS_DOMAIN_ID": "1.0"})
