# SPDX-License-Identifier: Apache-2.0
"""Executables of nodes: a signal during their imports, which take a second, ends them quietly."""

import json
import subprocess
import sys
from importlib.metadata import distribution

import pytest

PACKAGES = (
    "so101_action_queue",
    "so101_bag",
    "so101_camera",
    "so101_demo",
    "so101_driver",
    "so101_policy_server",
    "so101_sim",
    "so101_viewer",
)
# Executables that are no nodes, and what they are.
NO_NODES = {
    "configure_servos": "a command, which ends by itself",
    "demo": "a command, which ends what it has started",
    "replay": "a command, which ends what it has started",
    "rviz2": "becomes another program at once",
    "rqt_gui": "becomes another program at once",
    "plotjuggler": "becomes another program at once",
    "aggregator_node": "becomes another program at once",
}
IMPORTED = """
import importlib, json, sys
before = set(sys.modules)
getattr(importlib.import_module(sys.argv[1]), sys.argv[2])
print(json.dumps(sorted({"numpy", "rclpy", "cv2", "mujoco", "torch"} & set(sys.modules) - before)))
"""
# A signal to the process itself in the midst of its imports, at the first that is not of early_signals.
INTERRUPTED = """
import importlib, os, signal, sys
number = getattr(signal, sys.argv[3])
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name in ("argparse", "numpy", "rclpy", "mujoco"):
            os.kill(os.getpid(), number)
module, function = sys.argv[1:3]
entry = getattr(importlib.import_module(module), function)
for name in ("argparse", "numpy"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Interrupt())
sys.argv = [function]
entry()
print("it went on")
"""


def executables() -> list[tuple[str, str]]:
    entries = [entry for package in PACKAGES for entry in distribution(package).entry_points]
    scripts = [(entry.name, entry.value) for entry in entries if entry.group == "console_scripts"]
    return [(name, value) for name, value in scripts if name not in NO_NODES]


@pytest.mark.parametrize(("name", "target"), executables())
def test_an_executable_imports_its_node_only_after_it_minds_signals(name: str, target: str) -> None:
    module, _, function = target.partition(":")
    command = [sys.executable, "-c", IMPORTED, module, function]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(found) == [], f"{name}: let the entry point be in a module that uses so101_node.early_signals"


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    ("name", "target"), [one for one in executables() if one[0] in ("queue_plot", "recorder", "virtual_arm")]
)
def test_a_signal_in_the_midst_of_the_imports_ends_it_without_a_word(name: str, target: str, signal: str) -> None:
    module, _, function = target.partition(":")
    command = [sys.executable, "-c", INTERRUPTED, module, function, signal]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", ""), name
