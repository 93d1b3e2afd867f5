# SPDX-License-Identifier: Apache-2.0
"""Images of a bag, compressed or raw, unpacked only where they are wanted."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from so101_camera.errors import ImageCodecError
from so101_camera.ros.raw_image import pixels_of_message
from so101_node.topics.serialized import SerializedError, compressed_file

from so101_bag.dataset.joint_streams import draft_command, find_topic
from so101_bag.dataset.mapping import Mapping
from so101_bag.errors import BagError, DatasetError
from so101_bag.storage.reader import Bag, BagTopic

COMPRESSED, RAW = "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/Image"
OURS = (("*/image_raw/compressed", COMPRESSED), ("*/image_raw", RAW))


class UnusableImageError(BagError, ValueError):
    """A message holds no image that can be used. The message says why, in a few words."""


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
            raise DatasetError(f"{bag.folder} has no images on {OURS[0][0]} or {OURS[1][0]}{_instead(bag, purpose)}")
    missing = [camera for camera in wanted if camera not in found]
    if missing:
        raise DatasetError(f"{bag.folder} has no images of camera {', '.join(missing)}; it has {', '.join(found)}")
    return {camera: found[camera] for camera in (wanted or sorted(found))}


def _instead(bag: Bag, purpose: str) -> str:
    others = [topic.name for topic in bag.topics if topic.type_name in (COMPRESSED, RAW) and topic.message_count]
    if not others:
        return f", which {purpose} needs"
    return f", but on {', '.join(others)}: name the cameras in a mapping, starting from {draft_command(bag)}"


class StoredImage:
    """One image as it lies in the bag, unpacked when it is first wanted: not every one is."""

    def __init__(self, topic: BagTopic, taken_ns: int, serialized: bytes) -> None:
        self.taken_ns = taken_ns
        self._raw = topic.type_name == RAW
        self._serialized = serialized
        self._pixels: NDArray[np.uint8] | None = None

    def pixels(self) -> NDArray[np.uint8]:
        """Return it as (height, width, 3) uint8 RGB.

        Raises:
            UnusableImageError: it cannot be read.
        """
        if self._pixels is None:
            self._pixels = _raw(self._serialized) if self._raw else _compressed(self._serialized)
        return self._pixels


def _compressed(serialized: bytes) -> NDArray[np.uint8]:
    try:
        file = compressed_file(serialized)
    except SerializedError as error:
        raise UnusableImageError(str(error)) from error
    bgr = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR) if file else None
    if bgr is None:
        raise UnusableImageError("cannot be decoded as JPEG or PNG")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _raw(serialized: bytes) -> NDArray[np.uint8]:
    try:
        bgr = pixels_of_message(deserialize_message(serialized, Image))
    except ImageCodecError as error:
        raise UnusableImageError(str(error)) from error
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
