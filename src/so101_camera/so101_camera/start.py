"""Entry point of the executable `camera`."""

from so101_node.early_signals import start


def main() -> None:
    """Run the node until a signal."""
    start("so101_camera.camera_node")


if __name__ == "__main__":
    main()
