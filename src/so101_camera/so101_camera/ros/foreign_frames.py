# SPDX-License-Identifier: Apache-2.0
"""Image messages of any camera driver as frames: which are new, and what of them can be used."""

from sensor_msgs.msg import CompressedImage, Image

from so101_camera.core.frame import Frame
from so101_camera.image_codec import JPEG_START, decode_image
from so101_camera.ros.raw_image import pixels_of_message


class ForeignFrames:
    """Numbers the messages of one topic.

    A message that repeats the stamp of the one before is no new frame: a driver that sends the same again is frozen.
    Age counts from arrival on this host, because the driver's clock may be another host's.
    """

    def __init__(self) -> None:
        self._seq = 0
        self._stamp: tuple[int, int] | None = None

    def frame_of(self, message: CompressedImage | Image, now_ns: int) -> Frame | None:
        """Return the message as a frame, or None where it is the last one again.

        Raises:
            ImageCodecError: it cannot be read; one line.
        """
        stamp = (message.header.stamp.sec, message.header.stamp.nanosec)
        if stamp != (0, 0) and stamp == self._stamp:
            return None
        frame = self._read(message, self._seq + 1, now_ns)
        self._seq, self._stamp = self._seq + 1, stamp
        return frame

    def _read(self, message: CompressedImage | Image, seq: int, now_ns: int) -> Frame:
        if isinstance(message, CompressedImage):
            data = message.data.tobytes()
            if data.startswith(JPEG_START):
                return Frame(seq, now_ns, jpeg=data)  # passed on untouched
            return Frame(seq, now_ns, bgr=decode_image(data))
        return Frame(seq, now_ns, bgr=pixels_of_message(message))
