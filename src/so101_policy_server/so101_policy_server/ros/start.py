# SPDX-License-Identifier: Apache-2.0
"""Entry point of the executable `policy_server`."""

from so101_node.early_signals import start


def main() -> None:
    """Run the node until a signal."""
    start("so101_policy_server.ros.policy_server_node")


if __name__ == "__main__":
    main()
