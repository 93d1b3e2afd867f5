"""Entry point of the executable `action_queue`."""

from so101_node.early_signals import start


def main() -> None:
    """Run the node until a signal."""
    start("so101_action_queue.action_queue_node")


if __name__ == "__main__":
    main()
