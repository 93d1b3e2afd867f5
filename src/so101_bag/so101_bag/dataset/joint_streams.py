# SPDX-License-Identifier: Apache-2.0
"""Joint positions of a bag, ours or from elsewhere, as radians in the order of the calibration."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from so101_driver.core.calibration import load_calibration
from so101_driver.core.errors import CalibrationError
from so101_node.protocol import JOINT_NAMES, FloatArray
from so101_node.protocol.units import UnitConverter, Units, UnitsError

from so101_bag.dataset.alignment import Stream, TimeArray
from so101_bag.dataset.mapping import JointTopic, Mapping
from so101_bag.errors import BagError, DatasetError
from so101_bag.storage.reader import Bag, BagTopic

LIMITS = ("joint_limits", "so101_msgs/msg/JointLimits")
RAD_LIKE = 3.3  # no joint turns farther from its middle in rad, and no arm that does anything stays as near in degrees
STRAY = 0.1  # of its range that a joint may lie outside of it: ends are found by hand, and compliance does the rest

Positions = tuple[Sequence[str] | None, Sequence[float]]
"""Names, None where the message has none, and values of one message."""


def _of_joint_state(message: Any) -> Positions:
    return list(message.name), message.position


def _of_array(message: Any) -> Positions:
    return None, message.data


def _of_trajectory(message: Any) -> Positions:
    if len(message.points) != 1:
        raise DatasetError(f"a trajectory of {len(message.points)} points: only a stream of single points can be read")
    return list(message.joint_names), message.points[0].positions


READERS: dict[str, Callable[[Any], Positions]] = {
    "sensor_msgs/msg/JointState": _of_joint_state,
    "std_msgs/msg/Float64MultiArray": _of_array,
    "trajectory_msgs/msg/JointTrajectory": _of_trajectory,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Calibrated ranges of the arm that was recorded, rad, and LeRobot's drive modes, in order of the names."""

    names: tuple[str, ...]
    lower: Sequence[float]
    upper: Sequence[float]
    drive_mode: Sequence[int]

    def converter(self, units: Units) -> UnitConverter:
        """Return what converts between radians and these units. Raises UnitsError."""
        return UnitConverter(self.names, units, self.lower, self.upper, self.drive_mode)


def read_limits(bag: Bag, mapping: Mapping, purpose: str) -> Limits:
    """Return the limits by the calibration file where one is named, else by the bag.

    Raises:
        BagError: the bag has none.
        DatasetError: the calibration cannot be used.
    """
    if mapping.calibration is not None:
        try:
            calibration = load_calibration(mapping.calibration)
        except CalibrationError as error:
            raise DatasetError(str(error)) from error
        modes = [joint.drive_mode for joint in calibration.joints]
        return Limits(JOINT_NAMES, calibration.lower_rad().tolist(), calibration.upper_rad().tolist(), modes)
    try:
        topic = bag.require(*LIMITS, purpose)
    except BagError as error:
        raise BagError(
            f"{error}: name LeRobot's calibration file of that arm with --calibration FILE"
            f"{'' if not mapping.own else f', and where topics differ start from {draft_command(bag)}'}"
        ) from error
    message = next(received.message for received in bag.messages([topic]))
    names = tuple(message.joint_names)
    return Limits(names, message.range_lower, message.range_upper, [int(mode) for mode in message.drive_mode])


def draft_command(bag: Bag) -> str:
    """Return the command that writes a draft of a mapping."""
    return f"./so101 dataset {bag.folder} --draft-mapping mapping.yaml"


def read_joints(bag: Bag, wanted: Sequence[JointTopic], mapping: Mapping, limits: Limits, purpose: str) -> Stream:
    """Read the positions on one topic, or those of several put together.

    Raises:
        BagError: a topic is missing, or its joints are others.
        DatasetError: the positions cannot be of that arm.
    """
    sources = [_Source(bag, item, mapping, limits.names, purpose) for item in wanted]
    by_topic = {source.topic.name: source for source in sources}
    row = np.full(len(limits.names), np.nan)
    times: list[int] = []
    rows: list[FloatArray] = []
    for received in bag.messages([source.topic for source in sources]):
        by_topic[received.topic].take(received.message, row)
        if not np.isnan(row).any():
            times.append(received.time_ns)
            rows.append(row.copy())
    named = ", ".join(by_topic)
    hint = f", or the bag of another driver: then start from {draft_command(bag)}" if mapping.own else ""
    if not rows:
        missing = [name for name, value in zip(limits.names, row, strict=True) if np.isnan(value)]
        raise BagError(
            f"{bag.folder}: {named} lacks joint {', '.join(missing)} of joint_limits (it has "
            f"{', '.join(sorted({name for source in sources for name in source.seen}))}): not the same arm{hint}"
        )
    positions = _radians(np.array(rows), mapping, limits, f"{bag.folder}: {named}")
    times_ns: TimeArray = np.maximum.accumulate(np.array(times, dtype=np.int64))
    return Stream(times_ns, positions)


def check_joints(mapping: Mapping, names: Sequence[str]) -> None:
    """Refuse a mapping of joints that would be passed over, or of one that two of ours would take.

    Raises:
        DatasetError: naming it.
    """
    for name in mapping.joints:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            meant = f", meant {near[0]}?" if near else ""
            raise DatasetError(f"joints of the mapping: {name!r} is none of our joints{meant} ({', '.join(names)})")
    taken: dict[str, str] = {}
    for name in names:
        there = mapping.source(name).name
        if there in taken:
            raise DatasetError(f"joints of the mapping: {taken[there]} and {name} are both the bag's {there}")
        taken[there] = name


class _Source:
    """One topic, and which of our joints its values are."""

    def __init__(self, bag: Bag, wanted: JointTopic, mapping: Mapping, names: Sequence[str], purpose: str) -> None:
        self._bag = bag
        self._names = names
        self._there = [mapping.source(name).name for name in names]
        self._unnamed = list(wanted.joints or names)
        strange = [name for name in wanted.joints if name not in names]
        if strange:
            raise DatasetError(f"{wanted.topic}: {strange[0]} is none of the joints: {', '.join(names)}")
        self.topic = find_topic(bag, wanted.topic, tuple(READERS), purpose, mapping.own)
        self._read = READERS[self.topic.type_name]
        self.seen: list[str] = []
        self._pairs: list[tuple[int, int]] = []

    def take(self, message: Any, row: FloatArray) -> None:
        """Put the message's values into the row."""
        try:
            names, values = self._read(message)
        except DatasetError as error:
            raise DatasetError(f"{self._bag.folder}: {self.topic.name}: {error}") from error
        if names is None:
            if len(values) != len(self._unnamed):
                raise BagError(
                    f"{self._bag.folder}: {self.topic.name} has {len(values)} values without names, expected "
                    f"{len(self._unnamed)}: say which they are with {{topic: {self.topic.name}, joints: [...]}}"
                )
            self.seen = self._unnamed
            self._pairs = [(index, self._names.index(name)) for index, name in enumerate(self._unnamed)]
        elif names != self.seen:
            self.seen = list(names)
            self._pairs = [(self.seen.index(name), own) for own, name in enumerate(self._there) if name in self.seen]
        if not len(values):  # a JointState may tell velocities alone
            return
        if names is not None and len(values) != len(names):
            raise BagError(
                f"{self._bag.folder}: a message on {self.topic.name} has {len(names)} names and {len(values)} positions"
            )
        for there, own in self._pairs:
            row[own] = values[there]


def find_topic(bag: Bag, name: str, types: Sequence[str], purpose: str, own: bool) -> BagTopic:
    """Return the topic of that name and of one of the types.

    Raises:
        BagError: there is none; the line says what there is instead.
    """
    if not name.startswith("/"):
        for type_name in types:
            if found := bag.find(name, type_name):
                return found[0]
        try:
            return bag.require(name, types[0], purpose)
        except BagError as error:
            hint = f": if this bag is not of this workspace, start from {draft_command(bag)}" if own else ""
            raise BagError(f"{error}{hint}") from error
    there = [topic for topic in bag.topics if topic.name == name and topic.message_count]
    usable = [topic for topic in there if topic.type_name in types]
    if usable:
        return usable[0]
    if there:
        raise BagError(f"{bag.folder}: {name} is {there[0].type_name}, expected {' or '.join(types)}")
    others = [topic.name for topic in bag.topics if topic.message_count and topic.type_name in types]
    raise BagError(f"{bag.folder} has no messages on {name}; of that kind there is {', '.join(others) or 'nothing'}")


def _radians(values: FloatArray, mapping: Mapping, limits: Limits, where: str) -> FloatArray:
    """Return positions as radians, and refuse what cannot be of this arm: it would be learnt."""
    sources = [mapping.source(name) for name in limits.names]
    scaled = values * np.array([source.scale for source in sources])
    if mapping.unit != "rad" and np.abs(values).max() <= RAD_LIKE:
        raise DatasetError(
            f"{where}: no joint is ever farther than {np.abs(values).max():.3g} from 0: these are radians (or -1..1), "
            f"not {mapping.unit}: set `unit` of the mapping to rad, or `scale` of the joints"
        )
    if mapping.unit.startswith("lerobot_"):
        return _from_lerobot(scaled + [source.offset for source in sources], mapping.unit, limits, where)
    rad: FloatArray = (np.radians(scaled) if mapping.unit == "deg" else scaled) + [source.offset for source in sources]
    if not mapping.own or mapping.calibration is not None:
        _check_range(rad, np.asarray(limits.lower), np.asarray(limits.upper), "rad", limits.names, where)
    return rad


def _from_lerobot(values: FloatArray, unit: str, limits: Limits, where: str) -> FloatArray:
    units = Units[unit.removeprefix("lerobot_").upper()]
    try:
        converter = limits.converter(units)
    except UnitsError as error:
        raise DatasetError(f"{where}: {error}") from error
    ends = np.sort([converter.to_policy(limits.lower), converter.to_policy(limits.upper)], axis=0)
    _check_range(values, ends[0], ends[1], f"in {unit}", limits.names, where)
    rad: FloatArray = converter.to_radians(values)
    return rad


def _check_range(
    values: FloatArray, lower: FloatArray, upper: FloatArray, unit: str, names: Sequence[str], where: str
) -> None:
    if not np.isfinite(values).all():
        raise DatasetError(f"{where} holds positions that are no numbers")
    least, most = values.min(axis=0), values.max(axis=0)
    stray = STRAY * (upper - lower)
    for index in np.flatnonzero((least < lower - stray) | (most > upper + stray)):
        raise DatasetError(
            f"{where}: {names[index]} goes from {least[index]:.4g} to {most[index]:.4g} {unit}, its calibrated range "
            f"is {lower[index]:.4g} to {upper[index]:.4g}: the calibration of another arm, or `unit`, `scale` or "
            "`offset` of the mapping is wrong"
        )
