# SPDX-License-Identifier: Apache-2.0
"""Saves the queue plot of a running robot: `./so101 ros python -m so101_viewer.queue_plot.save_plot FILE`."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rclpy
from PIL import Image
from so101_node.one_line_parser import OneLineParser

from so101_viewer.queue_plot.drawing import QueuePlotImage
from so101_viewer.queue_plot.history import WINDOW_S
from so101_viewer.queue_plot.listener import QueueListener

LOOK_S = 0.5


def main(arguments: Sequence[str] | None = None) -> None:
    """Listen, draw, write the file."""
    parser = OneLineParser(prog="save_plot", description="Save the queue plot of a running robot.")
    parser.add_argument("file", type=Path, help="image to write: .webp, .png or .jpg")
    parser.add_argument("--seconds", type=float, default=WINDOW_S, help="listen so long before (30)")
    given = parser.parse_args(arguments)
    rclpy.init(args=[])
    try:
        listener = QueueListener(rclpy.create_node("queue_plot_save", enable_rosout=False), WINDOW_S)
        end_s = time.monotonic() + given.seconds
        while time.monotonic() < end_s:
            time.sleep(LOOK_S)
            listener.find_cameras()
            listener.look(time.monotonic_ns())
        if listener.history.newest is None:
            print("error: no action queue heard: run this in the robot's ROS_DOMAIN_ID", file=sys.stderr)
            sys.exit(1)
        image = QueuePlotImage(WINDOW_S).draw(listener.history, time.monotonic_ns())
    finally:
        rclpy.try_shutdown()
    try:
        Image.fromarray(np.ascontiguousarray(image[:, :, ::-1])).save(given.file, quality=90, method=6)
    except (OSError, ValueError) as error:
        print(f"error: {given.file}: cannot be written ({error})", file=sys.stderr)
        sys.exit(1)
    print(f"{given.file}: {given.file.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
