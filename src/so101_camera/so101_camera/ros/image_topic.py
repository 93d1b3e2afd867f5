# SPDX-License-Identifier: Apache-2.0
"""What there is on the topic of another package's camera, and where its images are if not there."""

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

ImageType = type[CompressedImage] | type[Image]
_KINDS: dict[str, ImageType] = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}
_SHOWN = 5


def published_kind(node: Node, topic: str) -> ImageType | None:
    """Return the type of the images that are published on `topic`, its full name; None where there are none."""
    published = _types(node, topic)
    return next((kind for name, kind in _KINDS.items() if name in published), None)


def lack(node: Node, topic: str) -> str:
    """Return in words why no image comes on `topic`, its full name, as far as the ROS graph tells."""
    published = _types(node, topic)
    if not published:
        others = [name for name, _ in sorted(node.get_topic_names_and_types()) if published_kind(node, name)]
        more = ", ..." if len(others) > _SHOWN else ""
        where = f"images are on {', '.join(others[:_SHOWN])}{more}" if others else "no image topic is published at all"
        return f"nobody publishes {topic}; {where}"
    if not published & set(_KINDS):
        return f"{topic} is {', '.join(sorted(published))}, no image"
    return f"nothing new on {topic}, though it is published"


def _types(node: Node, topic: str) -> set[str]:
    return {info.topic_type for info in node.get_publishers_info_by_topic(topic)}
