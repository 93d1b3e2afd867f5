# SPDX-License-Identifier: Apache-2.0
"""Entry point of the executable `driver_pair`."""

from so101_node.early_signals import start


def main() -> None:
    """Run the node until a signal."""
    start("so101_driver.ros.driver_pair_node")


if __name__ == "__main__":
    main()
