# SPDX-License-Identifier: Apache-2.0
"""The core needs neither ROS nor messages, a port or a thread."""

import subprocess
import sys
from pathlib import Path

import so101_driver.core

MODULES = sorted(path.stem for path in Path(so101_driver.core.__file__).parent.glob("[a-z]*.py"))
FOREIGN = ("rclpy", "so101_msgs", "sensor_msgs", "diagnostic_msgs", "serial", "scservo_sdk", "yaml")
ROOMS = ("so101_driver.ros", "so101_driver.servos", "so101_driver.configure", "so101_driver.testing")


def test_no_module_of_the_core_brings_ros_in_or_another_room_of_the_driver() -> None:
    """In a process of its own: here others have imported them already."""
    assert "safety_gate" in MODULES
    imports = "; ".join(f"import so101_driver.core.{name}" for name in MODULES)
    code = f"import sys; {imports}; print(*sorted(m for m in sys.modules if m.startswith({(*FOREIGN, *ROOMS)!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
