# SPDX-License-Identifier: Apache-2.0
"""A frame source whose frames are turned: LeRobot's camera option `rotation`."""

import cv2
import numpy as np

from so101_camera.core.frame import Frame, Pixels
from so101_camera.core.frame_source import FrameSource
from so101_camera.errors import ImageCodecError, SourceError
from so101_camera.image_codec import pixels_of

# Degrees clockwise, as LeRobot counts. It writes -90 for what it calls ROTATE_270; both are accepted.
ROTATIONS = (0, 90, 180, 270, -90)

_CODES = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def swaps_sides(rotation: int) -> bool:
    """Whether width and height change places."""
    return rotation % 180 == 90


def rotate(bgr: Pixels, rotation: int) -> Pixels:
    """Return (height, width, 3) pixels turned clockwise by `rotation` degrees, one of ROTATIONS."""
    code = _CODES.get(rotation % 360)
    return bgr if code is None else np.asarray(cv2.rotate(bgr, code), np.uint8)


def rotated_frame(frame: Frame, rotation: int) -> Frame:
    """Return the frame turned; one that came as JPEG is decoded for it and has pixels only. 0 returns it untouched.

    Raises:
        ImageCodecError: the frame's JPEG is broken.
    """
    if rotation % 360 == 0:
        return frame
    return Frame(frame.seq, frame.capture_ns, bgr=rotate(pixels_of(frame), rotation))


class RotatedSource:
    """Another source with its frames turned."""

    def __init__(self, source: FrameSource, rotation: int) -> None:
        """Keep the source; `rotation` is one of ROTATIONS other than 0."""
        self._source = source
        self._rotation = rotation

    def open(self) -> None:
        """Open the other source; see FrameSource."""
        self._source.open()

    def read(self) -> Frame:
        """Return the next frame, turned; see FrameSource. A torn JPEG is an error, as it is for the other source."""
        frame = self._source.read()
        try:
            return rotated_frame(frame, self._rotation)
        except ImageCodecError as error:
            raise SourceError(f"frame {frame.seq} cannot be rotated: {error}") from error

    def close(self) -> None:
        """Close the other source."""
        self._source.close()

    def mismatch(self) -> str:
        """Return in words what the device gives otherwise than asked."""
        return self._source.mismatch()
