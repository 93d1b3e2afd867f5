# SPDX-License-Identifier: Apache-2.0
"""The pixels of a received frame, compressed or raw, in the size that the policy reads."""

from __future__ import annotations

from so101_policy_server.core.image import Pixels
from so101_policy_server.core.intake import DecodeFrame
from so101_policy_server.inference.image_decode import decode_image, frame_size
from so101_policy_server.inference.raw_image import decode_raw


def pixels_of(wanted: DecodeFrame) -> tuple[Pixels, tuple[int, int]]:
    """The pixels of a frame as its need has them, and the height and width that it came with.

    Raises:
        ImageDecodeError: see `decode_image`.
    """
    frame, need = wanted.frame, wanted.need
    height, width = (None, None) if need.native else (need.height, need.width)
    if frame.raw is not None:
        return decode_raw(frame.data, frame.raw, height, width), (frame.raw.height, frame.raw.width)
    given = frame_size(frame.data, frame.format)
    return decode_image(frame.data, frame.format, height, width), given
