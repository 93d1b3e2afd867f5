"""What a dataset needs of a bag: joints as whole arrays, pictures one after another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from so101_policy_server.units import UnitConverter, Units, UnitsError

from so101_tools.bag.errors import BagError
from so101_tools.bag.reader import Bag, BagTopic
from so101_tools.dataset.alignment import Stream, TimeArray
from so101_tools.dataset.episode_spans import EpisodeSpan, Marker, episode_spans
from so101_tools.dataset.errors import DatasetError
from so101_tools.serialized import SerializedError, compressed_picture

JOINT_STATE = "sensor_msgs/msg/JointState"
PICTURES = ("*/image_raw/compressed", "sensor_msgs/msg/CompressedImage")
PURPOSE = "a dataset"


@dataclass(frozen=True, slots=True)
class BagStreams:
    """One open bag, its small streams read.

    Attributes:
        joint_names: order of the columns of states and commands.
        states: measured positions, rad.
        commands: commanded positions, rad.
        converter: rad to LeRobot's units, by the calibration of the arm that was recorded.
        cameras: camera name -> topic of its pictures.
        episodes: in order.
    """

    bag: Bag
    joint_names: tuple[str, ...]
    states: Stream
    commands: Stream
    converter: UnitConverter
    cameras: dict[str, BagTopic]
    episodes: list[EpisodeSpan]


def read_streams(bag: Bag, units: Units, cameras: Sequence[str]) -> BagStreams:
    """Read all but the pictures. `cameras` empty: all there are.

    Raises:
        BagError: a topic is missing or of another version.
        DatasetError: joints or cameras do not fit.
    """
    limits_topic = bag.require("joint_limits", "so101_msgs/msg/JointLimits", PURPOSE)
    limits = next(received.message for received in bag.messages([limits_topic]))
    names = tuple(limits.joint_names)
    try:
        converter = UnitConverter(
            names, units, limits.range_lower, limits.range_upper, [int(mode) for mode in limits.drive_mode]
        )
    except UnitsError as error:
        raise DatasetError(f"{bag.folder}: {error}") from error
    states = _joints(bag, "joint_states", names)
    commands = _joints(bag, "joint_command", names)
    start_ns, end_ns = int(states.times[0]), int(states.times[-1])
    return BagStreams(bag, names, states, commands, converter, _cameras(bag, cameras), _episodes(bag, start_ns, end_ns))


def pictures(streams: BagStreams, start_ns: int) -> Iterator[tuple[str, int, bytes]]:
    """Give (camera, time in ns, JPEG or PNG file) of every picture from then on, in order."""
    camera_of = {topic.name: camera for camera, topic in streams.cameras.items()}
    for name, time_ns, serialized in streams.bag.serialized(camera_of, start_ns):
        try:
            yield camera_of[name], time_ns, compressed_picture(serialized)
        except SerializedError as error:
            raise BagError(f"{streams.bag.folder}: a message on {name} cannot be read ({error})") from error


def _joints(bag: Bag, name: str, joint_names: tuple[str, ...]) -> Stream:
    topic = bag.require(name, JOINT_STATE, PURPOSE)
    times: list[int] = []
    rows: list[list[float]] = []
    order: list[int] = []
    seen: list[str] | None = None
    for received in bag.messages([topic]):
        message = received.message
        if seen != message.name:
            seen = list(message.name)
            missing = [joint for joint in joint_names if joint not in seen]
            if missing:
                raise BagError(
                    f"{bag.folder}: {topic.name} lacks joint {', '.join(missing)} of joint_limits (it has "
                    f"{', '.join(seen)}): not the same arm"
                )
            order = [seen.index(joint) for joint in joint_names]
        times.append(received.time_ns)
        rows.append([message.position[index] for index in order])
    times_ns: TimeArray = np.maximum.accumulate(np.array(times, dtype=np.int64))
    return Stream(times_ns, np.array(rows, dtype=np.float64))


def _cameras(bag: Bag, wanted: Sequence[str]) -> dict[str, BagTopic]:
    bag.require(*PICTURES, PURPOSE)
    found = {topic.name.split("/")[-3]: topic for topic in bag.find(*PICTURES)}
    missing = [camera for camera in wanted if camera not in found]
    if missing:
        raise DatasetError(f"{bag.folder} has no pictures of camera {', '.join(missing)}; it has {', '.join(found)}")
    return {camera: found[camera] for camera in (wanted or sorted(found))}


def _episodes(bag: Bag, start_ns: int, end_ns: int) -> list[EpisodeSpan]:
    topics = bag.find("episode", "so101_msgs/msg/EpisodeEvent")
    markers = [Marker(r.time_ns, int(r.message.event), str(r.message.task)) for r in bag.messages(topics)]
    return episode_spans(markers, start_ns, end_ns)


def recorded_task(bag: Bag) -> str:
    """Return the task that the queue told the policy, or ""."""
    specs = bag.find("policy_spec", "so101_msgs/msg/PolicySpec")
    return next((str(received.message.task) for received in bag.messages(specs) if received.message.task), "")
