"""Reading bags: ours, and what `ros2 bag record` makes (MCAP or SQLite, split or compressed)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.errors import ReaderError

from so101_tools.bag.errors import BagError
from so101_tools.bag.message_types import UnknownTypeError, message_class, message_type
from so101_tools.bag.metadata import read_information


@dataclass(frozen=True, slots=True)
class BagTopic:
    """One topic of a bag; `type_hash` "" where the bag does not tell it."""

    name: str
    type_name: str
    type_hash: str
    message_count: int


class Received(NamedTuple):
    """One message: on which topic, when it was recorded (ns since the epoch), and what it was."""

    topic: str
    time_ns: int
    message: Any
    serialized: bytes


class Bag:
    """An open bag. Use as a context manager."""

    def __init__(self, folder: Path, namespace: str | None = None) -> None:
        """Open a bag.

        Args:
            folder: of the bag.
            namespace: of the robot whose topics are looked up; None = the only one in the bag.

        Raises:
            BagError: it is missing, is none, or its recorder was killed.
        """
        if not folder.is_dir():
            raise BagError(f"{folder}: no such bag; a bag is a folder with {'metadata.yaml'}")
        self.folder = folder
        self._namespace = None if namespace is None else "/" + namespace.strip("/")
        read_information(folder)
        self._reader = Reader(folder)
        try:
            self._reader.open()
        except (ReaderError, OSError, AssertionError, ValueError) as error:
            raise BagError(self._damaged(error)) from error
        self.topics = tuple(
            BagTopic(item.topic, item.msgtype, item.digest, item.msgcount) for item in self._reader.connections
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its files."""
        if self._reader.is_open:
            self._reader.close()

    @property
    def start_ns(self) -> int:
        """Time of the first message, ns since the epoch."""
        return int(self._reader.start_time)

    @property
    def duration_s(self) -> float:
        """Time from the first message to the last."""
        return float(self._reader.duration / 1e9)

    def find(self, name: str, type_name: str) -> list[BagTopic]:
        """Return the topics with messages of that relative name (`*` stands for one part of it) and type.

        Raises:
            BagError: they belong to several robots, or are of another version than the one installed here.
        """
        found = [
            topic
            for topic in self.topics
            if topic.type_name == type_name and topic.message_count and self._namespace_of(topic.name, name) is not None
        ]
        namespaces = {self._namespace_of(topic.name, name) or "/" for topic in found}
        if len(namespaces) > 1:
            raise BagError(
                f"{self.folder} holds several robots ({', '.join(sorted(namespaces))}): choose one with --namespace"
            )
        for topic in found:
            self._check_version(topic)
        return found

    def require(self, name: str, type_name: str, purpose: str) -> BagTopic:
        """Return the one topic of that name and type.

        Raises:
            BagError: it is missing; the line says what it is needed for.
        """
        found = self.find(name, type_name)
        if not found:
            raise BagError(f"{self.folder} has no messages on {name} ({type_name}), which {purpose} needs")
        return found[0]

    def messages(self, topics: Sequence[BagTopic], start_ns: int | None = None) -> Iterator[Received]:
        """Give the messages of these topics in the order they were recorded.

        Raises:
            BagError: the bag is damaged, or a message does not fit its type.
        """
        if not topics:
            return
        names = {topic.name for topic in topics}
        classes = {topic.name: message_class(topic.type_name) for topic in topics}
        for name, time_ns, serialized in self.serialized(names, start_ns):
            try:
                message = deserialize_message(serialized, classes[name])
            except Exception as error:
                raise BagError(f"{self.folder}: a message on {name} cannot be read ({error})") from error
            yield Received(name, time_ns, message, serialized)

    def serialized(self, names: Iterable[str], start_ns: int | None = None) -> Iterator[tuple[str, int, bytes]]:
        """Give (topic, time in ns, serialized message) of these topics in the order they were recorded.

        Raises:
            BagError: the bag is damaged.
        """
        wanted = set(names)
        connections = [item for item in self._reader.connections if item.topic in wanted]
        if not connections:
            return
        try:
            for connection, time_ns, data in self._reader.messages(connections, start=start_ns):
                yield connection.topic, time_ns, bytes(data)
        except (ReaderError, OSError, AssertionError, ValueError, IndexError, EOFError) as error:
            raise BagError(self._damaged(error)) from error

    def _namespace_of(self, topic: str, name: str) -> str | None:
        """Return the namespace in which the topic has that relative name, or None where it has another."""
        wanted, parts = name.strip("/").split("/"), topic.strip("/").split("/")
        head, tail = parts[: -len(wanted)], parts[-len(wanted) :]
        if len(parts) < len(wanted) or any(w not in ("*", p) for w, p in zip(wanted, tail, strict=True)):
            return None
        namespace = "/" + "/".join(head)
        return namespace if self._namespace in (None, namespace) else None

    def _check_version(self, topic: BagTopic) -> None:
        try:
            here = message_type(topic.type_name).type_hash
        except UnknownTypeError as error:
            raise BagError(f"{self.folder}: {topic.name}: {error}") from error
        if topic.type_hash and topic.type_hash != here:
            raise BagError(
                f"{self.folder}: {topic.name} was recorded with another version of {topic.type_name} "
                f"({topic.type_hash[:19]}..., here {here[:19]}...): replay it with the software that recorded it"
            )

    def _damaged(self, error: BaseException) -> str:
        text = " ".join(str(error).split()) or type(error).__name__
        return f"{self.folder} is damaged ({text}): try ./so101 record --repair {self.folder}"
