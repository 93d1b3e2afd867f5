# SPDX-License-Identifier: Apache-2.0
"""Pixels of `sensor_msgs/Image` messages."""

import numpy as np
from sensor_msgs.msg import Image as ImageMessage
from so101_node.raw_image import RawImageError, RawLayout, pixels_of

from so101_camera.core.frame import Pixels
from so101_camera.errors import ImageCodecError


def pixels_of_message(message: ImageMessage) -> Pixels:
    """Return the message as (height, width, 3) uint8 BGR pixels.

    Raises:
        ImageCodecError: it cannot be read; the line says what it is and what can be.
    """
    layout = RawLayout(message.encoding, message.height, message.width, message.step)
    try:
        return pixels_of(np.frombuffer(message.data, np.uint8), layout, rgb=False)
    except RawImageError as error:
        raise ImageCodecError(str(error)) from error
