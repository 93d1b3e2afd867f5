# SPDX-License-Identifier: Apache-2.0
"""Entry points of the executables `camera` and `frame_gate`."""

from so101_node.early_signals import start


def main() -> None:
    """Run the node `camera` until a signal."""
    start("so101_camera.ros.camera_node")


def frame_gate() -> None:
    """Run the node until a signal."""
    start("so101_camera.ros.frame_gate_node")


if __name__ == "__main__":
    main()
