# SPDX-License-Identifier: Apache-2.0
"""virtual_arm: an SO-101 that is not there. An emulated servo bus on a pty, MuJoCo behind it, no ROS, no graphics.

`virtual_arm --sim-dir DIR` offers DIR/ttySO101 (serial port), DIR/calibration/virtual.json (LeRobot's file), DIR/state
(see arm.shared_state) and DIR/control (see arm.control_commands), and runs until SIGINT or SIGTERM. This module imports
next to nothing: a signal ends the process quietly from its first moment on.
"""

import sys

from so101_node.early_signals import start


def main() -> int:
    """Run until a signal; returns the exit code."""
    return start("so101_sim.arm.virtual_arm_process")


if __name__ == "__main__":
    sys.exit(main())
