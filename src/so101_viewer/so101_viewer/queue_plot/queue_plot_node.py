# SPDX-License-Identifier: Apache-2.0
"""Publishes an image of the action queue's last 30 s, five times a second, while somebody looks at it.

Without a listener it hears nothing and draws nothing; the plot then begins again with the first listener.
"""

import os
import time
from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image
from so101_node.parameters import parameter
from so101_node.parameters.declaring import declare
from so101_node.process import run_process
from so101_node.timing.timers import create_timer

from so101_viewer.queue_plot.drawing import HEIGHT, WIDTH, QueuePlotImage
from so101_viewer.queue_plot.history import WINDOW_S
from so101_viewer.queue_plot.listener import QueueListener

LOOK_PERIOD_S = 0.5
# Reliable: 1.5 MB in best-effort fragments rarely arrive whole, and a best-effort viewer can read a reliable writer.
_IMAGE = QoSProfile(history=QoSHistoryPolicy.KEEP_LAST, depth=1, reliability=QoSReliabilityPolicy.RELIABLE)


@dataclass(frozen=True, slots=True)
class QueuePlotParameters:
    """Parameters of the queue plot."""

    rate_hz: float = parameter(5.0, "images per second while there is a subscriber, Hz", lower=0.2, upper=30.0)
    window_s: float = parameter(WINDOW_S, "time shown, s", lower=5.0, upper=600.0)
    niceness: int = parameter(10, "how far the process steps back behind the ones it watches", lower=0, upper=19)


class QueuePlotNode(Node):
    """Connects the history to its topics while its image has listeners."""

    def __init__(self) -> None:
        super().__init__("queue_plot")
        self._settings = declare(self, QueuePlotParameters)
        os.nice(self._settings.niceness)
        self._image = QueuePlotImage(self._settings.window_s)
        # Drawn in the message's own memory: copies of 1.5 MB, five times a second, cost as much as the drawing.
        self._message = Image(height=HEIGHT, width=WIDTH, encoding="bgr8", step=3 * WIDTH)
        self._message.header.frame_id = "queue_plot"
        self._message.data = array("B", bytes(3 * WIDTH * HEIGHT))
        self._pixels = np.frombuffer(self._message.data, np.uint8).reshape(HEIGHT, WIDTH, 3)
        self._publisher = self.create_publisher(Image, "~/image", _IMAGE)
        self._listener: QueueListener | None = None
        self._draw_timer: Any = None
        create_timer(self, LOOK_PERIOD_S, self._look_for_listeners)

    def _look_for_listeners(self) -> None:
        wanted = self._publisher.get_subscription_count() > 0
        if wanted and self._listener is None:
            self._listener = QueueListener(self, self._settings.window_s)
            self._draw_timer = create_timer(self, 1.0 / self._settings.rate_hz, self._draw)
        elif not wanted and self._listener is not None:
            self.destroy_timer(self._draw_timer)
            self._listener.close()
            self._listener = None
        elif self._listener is not None:
            self._listener.find_cameras()

    def _draw(self) -> None:
        if self._listener is None:
            return
        now_ns = time.monotonic_ns()
        self._listener.look(now_ns)
        self._image.draw(self._listener.history, now_ns, self._pixels)
        self._message.header.stamp = self.get_clock().now().to_msg()
        self._publisher.publish(self._message)


def main() -> None:
    """Run the queue plot."""
    run_process(QueuePlotNode)


if __name__ == "__main__":
    main()
