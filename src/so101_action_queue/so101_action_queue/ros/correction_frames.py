# SPDX-License-Identifier: Apache-2.0
"""The newest frame of each camera that a correction reads, as a thumbnail. Imported only where one is loaded."""

import threading
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Final

import cv2
import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage
from so101_correction.core.correction_file import CorrectionFile
from so101_correction.core.corrector import Corrector
from so101_correction.errors import ThumbnailError
from so101_correction.thumbnails import ThumbnailMaker
from so101_node.metrics.quantile import quantile
from so101_node.threads import FatalSlot, NewestValueThread
from so101_node.timing import clock
from so101_node.topics import qos

from so101_action_queue.core.camera_choice import names_of_robot

WINDOW_FRAMES: Final = 600


class CorrectionFrames:
    """Subscriptions to `<camera>/image_raw/compressed`, and the thread that decodes.

    A frame that comes while an older one of its camera waits takes its place. Nothing waits for a frame: the corrector
    is told of each when it is ready, with the time at which it was received.
    """

    def __init__(
        self, node: Node, file: CorrectionFile, corrector: Corrector, fatal: FatalSlot, rename: Mapping[str, str]
    ) -> None:
        """rename: observation key as the robot calls it -> as the policy, and so the correction, does."""
        cv2.setNumThreads(1)  # a thumbnail is too small to share, and the control thread needs the cores
        self._node = node
        self._makers = {camera: ThumbnailMaker(file.height, file.width) for camera in file.cameras}
        self._corrector = corrector
        self._lock = threading.Lock()
        self._times_s: deque[float] = deque(maxlen=WINDOW_FRAMES)
        takers = {camera: partial(self._decode, camera) for camera in file.cameras}
        self._thread = NewestValueThread("thumbnails", takers, fatal)
        self._thread.start()
        self._subscriptions = [
            node.create_subscription(
                CompressedImage, f"{own}/image_raw/compressed", partial(self._on_frame, camera), qos.IMAGE
            )
            for camera, own in names_of_robot(file.cameras, rename).items()
        ]

    def close(self) -> None:
        """Listen no more and end the thread."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []
        self._thread.stop()

    def decode_p99_s(self) -> float:
        """Return the 99th percentile of the time that a frame's decoding took, s; NaN before the first."""
        with self._lock:
            times = sorted(self._times_s)
        return quantile(times, 0.99)

    def _on_frame(self, camera: str, message: CompressedImage) -> None:
        self._thread.offer(camera, (message, clock.now_ns()))

    def _decode(self, camera: str, received: tuple[CompressedImage, int]) -> None:
        message, received_ns = received
        began_ns = clock.now_ns()
        try:
            thumbnail = self._makers[camera].of_compressed(np.frombuffer(message.data, np.uint8))
            self._corrector.see(camera, thumbnail, received_ns)
        except ThumbnailError as error:
            self._corrector.lost(camera, str(error))
        with self._lock:
            self._times_s.append((clock.now_ns() - began_ns) / 1e9)
