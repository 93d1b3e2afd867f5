# SPDX-License-Identifier: Apache-2.0
"""What a dataset needs of a bag: joints as whole arrays, images one after another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from so101_node.protocol.units import UnitConverter, Units, UnitsError

from so101_bag.dataset.alignment import Stream
from so101_bag.dataset.camera_topics import StoredImage, find_cameras
from so101_bag.dataset.episode_spans import UNMARKED, EpisodeSpan, Marker, episode_spans
from so101_bag.dataset.joint_streams import check_joints, read_joints, read_limits
from so101_bag.dataset.mapping import NEXT_STATE, JointTopic, Mapping
from so101_bag.errors import DatasetError
from so101_bag.storage.reader import Bag, BagTopic

PURPOSE = "a dataset"


@dataclass(frozen=True, slots=True)
class BagStreams:
    """One open bag, its small streams read.

    Attributes:
        joint_names: order of the columns of states and commands.
        states: measured positions, rad.
        commands: commanded positions, rad.
        converter: rad to LeRobot's units, by the calibration of the arm that was recorded.
        cameras: camera name -> topic of its images.
        episodes: in order.
    """

    bag: Bag
    joint_names: tuple[str, ...]
    states: Stream
    commands: Stream
    converter: UnitConverter
    cameras: dict[str, BagTopic]
    episodes: list[EpisodeSpan]


def read_streams(
    bag: Bag,
    units: Units,
    cameras: Sequence[str],
    mapping: Mapping | None = None,
    fps: float = 30.0,
    whole: bool = False,
) -> BagStreams:
    """Read all but the images.

    Args:
        bag: open.
        units: of the arm's joints in the dataset.
        cameras: those that are wanted; empty: all there are.
        mapping: where things are; None: under our names.
        fps: frames a second, where the action is the next frame's state.
        whole: make one episode of the bag, whatever its markers say.

    Raises:
        BagError: a topic is missing or of another version.
        DatasetError: joints or cameras do not fit.
    """
    mapping = mapping or Mapping()
    limits = read_limits(bag, mapping, PURPOSE)
    check_joints(mapping, limits.names)
    try:
        converter = limits.converter(units)
    except UnitsError as error:
        raise DatasetError(f"{bag.folder}: {error}") from error
    states = read_joints(bag, mapping.joint_states, mapping, limits, PURPOSE)
    if mapping.joint_command == (JointTopic(NEXT_STATE),):
        earlier = states.times - round(1e9 / fps)
        there = earlier >= states.times[0]
        commands = Stream(earlier[there], states.rows[there])
    else:
        commands = read_joints(bag, mapping.joint_command, mapping, limits, PURPOSE)
    images_of = find_cameras(bag, mapping, cameras, PURPOSE)
    episodes = _episodes(bag, int(states.times[0]), int(states.times[-1]), whole)
    return BagStreams(bag, limits.names, states, commands, converter, images_of, episodes)


def stored_images(streams: BagStreams, start_ns: int) -> Iterator[tuple[str, StoredImage]]:
    """Give (camera, image) of every image from then on, in order."""
    camera_of = {topic.name: camera for camera, topic in streams.cameras.items()}
    topics = {topic.name: topic for topic in streams.cameras.values()}
    for name, time_ns, serialized in streams.bag.serialized(camera_of, start_ns):
        yield camera_of[name], StoredImage(topics[name], time_ns, serialized)


def images_begin_ns(streams: BagStreams) -> int:
    """Return when every camera has delivered an image, ns."""
    first = (next(streams.bag.serialized([topic.name]), None) for topic in streams.cameras.values())
    return max((found[1] for found in first if found is not None), default=0)


def _episodes(bag: Bag, start_ns: int, end_ns: int, whole: bool) -> list[EpisodeSpan]:
    topics = bag.find("episode", "so101_msgs/msg/EpisodeEvent")
    markers = [Marker(r.time_ns, int(r.message.event), str(r.message.task)) for r in bag.messages(topics)]
    if whole:
        task = next((marker.task for marker in markers if marker.task), "")
        return [EpisodeSpan(start_ns, end_ns, task, UNMARKED)]
    return episode_spans(markers, start_ns, end_ns)


def recorded_task(bag: Bag) -> str:
    """Return the task that the queue told the policy, or ""."""
    specs = bag.find("policy_spec", "so101_msgs/msg/PolicySpec")
    return next((str(received.message.task) for received in bag.messages(specs) if received.message.task), "")
