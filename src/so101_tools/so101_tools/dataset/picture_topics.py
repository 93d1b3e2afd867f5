"""Pictures of a bag, compressed or raw, unpacked only where they are wanted."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image

from so101_tools.bag.reader import Bag, BagTopic
from so101_tools.dataset.errors import DatasetError
from so101_tools.dataset.joint_streams import draft_command, find_topic
from so101_tools.dataset.mapping import Mapping
from so101_tools.serialized import SerializedError, compressed_picture

COMPRESSED, RAW = "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/Image"
OURS = (("*/image_raw/compressed", COMPRESSED), ("*/image_raw", RAW))
# Encoding of sensor_msgs/Image -> bytes of a pixel, and OpenCV's conversion. The plain types are OpenCV's, whose order
# is BGR; distances and 16 bits are not among them, since no policy of pictures takes those.
_LAYOUTS: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "8UC3": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "8UC4": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
    "8UC1": (1, cv2.COLOR_GRAY2RGB),
    "yuv422": (2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": (2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": (2, cv2.COLOR_YUV2RGB_YUY2),
    "bayer_rggb8": (1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": (1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": (1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": (1, cv2.COLOR_BayerGB2RGB),
}


class PictureError(ValueError):
    """A message holds no picture that can be used. The message says why, in a few words."""


def find_cameras(bag: Bag, mapping: Mapping, wanted: Sequence[str], purpose: str) -> dict[str, BagTopic]:
    """Return the topic of each camera; of one that is there both ways the compressed one.

    Raises:
        BagError: a topic is missing.
        DatasetError: a camera is missing.
    """
    if mapping.cameras:
        kinds = (COMPRESSED, RAW)
        found = {camera: find_topic(bag, name, kinds, purpose, mapping.own) for camera, name in mapping.cameras.items()}
    else:
        found = {}
        for name, kind in OURS:
            for topic in bag.find(name, kind):
                found.setdefault(topic.name.strip("/").split("/")[-name.count("/") - 1], topic)
        if not found:
            raise DatasetError(f"{bag.folder} has no pictures on {OURS[0][0]} or {OURS[1][0]}{_instead(bag, purpose)}")
    missing = [camera for camera in wanted if camera not in found]
    if missing:
        raise DatasetError(f"{bag.folder} has no pictures of camera {', '.join(missing)}; it has {', '.join(found)}")
    return {camera: found[camera] for camera in (wanted or sorted(found))}


def _instead(bag: Bag, purpose: str) -> str:
    others = [topic.name for topic in bag.topics if topic.type_name in (COMPRESSED, RAW) and topic.message_count]
    if not others:
        return f", which {purpose} needs"
    return f", but on {', '.join(others)}: name the cameras in a mapping, starting from {draft_command(bag)}"


class Picture:
    """One picture as it lies in the bag, unpacked when it is first wanted: not every one is."""

    def __init__(self, topic: BagTopic, taken_ns: int, serialized: bytes) -> None:
        self.taken_ns = taken_ns
        self._raw = topic.type_name == RAW
        self._serialized = serialized
        self._pixels: NDArray[np.uint8] | None = None

    def pixels(self) -> NDArray[np.uint8]:
        """Return it as (height, width, 3) uint8 RGB.

        Raises:
            PictureError: it cannot be read.
        """
        if self._pixels is None:
            self._pixels = _raw(self._serialized) if self._raw else _compressed(self._serialized)
        return self._pixels


def _compressed(serialized: bytes) -> NDArray[np.uint8]:
    try:
        file = compressed_picture(serialized)
    except SerializedError as error:
        raise PictureError(str(error)) from error
    bgr = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR) if file else None
    if bgr is None:
        raise PictureError("cannot be decoded as JPEG or PNG")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _raw(serialized: bytes) -> NDArray[np.uint8]:
    message: Any = deserialize_message(serialized, Image)
    height, width, encoding = message.height, message.width, message.encoding
    what = f"{width} x {height} {encoding or 'without encoding'}, {len(message.data)} bytes"
    if encoding not in _LAYOUTS:
        raise PictureError(f"{what}: cannot be read, expected one of {', '.join(_LAYOUTS)}")
    channels, code = _LAYOUTS[encoding]
    if not width or not height or message.step < width * channels or len(message.data) < height * message.step:
        raise PictureError(
            f"{what}: expected {height} rows of {message.step} bytes, each of at least {width * channels}"
        )
    rows = np.frombuffer(message.data, np.uint8)[: height * message.step].reshape(height, message.step)
    pixels = np.ascontiguousarray(rows[:, : width * channels]).reshape(height, width, channels)
    return np.asarray(pixels if code is None else cv2.cvtColor(pixels, code), np.uint8)
