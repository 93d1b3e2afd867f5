# SPDX-License-Identifier: Apache-2.0
"""Reading bags: ours, and what `ros2 bag record` makes (MCAP or SQLite, split or compressed, reindexed or not)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from rclpy.serialization import deserialize_message, serialize_message

from so101_bag.errors import BagError
from so101_bag.storage.folder import BagFolder
from so101_bag.storage.message_types import UnknownTypeError, message_class, message_type
from so101_bag.storage.older_messages import IncompatibleError, OlderMessages


@dataclass(frozen=True, slots=True)
class BagTopic:
    """One topic of a bag; `type_hash` and `definition` (its .msg text) are "" where the bag does not tell them."""

    name: str
    type_name: str
    type_hash: str
    message_count: int
    definition: str = ""


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
        self._files = BagFolder(folder)
        self.folder = folder
        self._namespace = None if namespace is None else "/" + namespace.strip("/")
        self.topics = tuple(
            BagTopic(item.name, item.type_name, item.type_hash, item.count, item.definition)
            for item in self._files.topics
            if item.encoding == "cdr"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its files."""
        self._files.close()

    @property
    def start_ns(self) -> int:
        """Time of the first message, ns since the epoch."""
        return self._files.start_ns

    @property
    def duration_s(self) -> float:
        """Time from the first message to the last."""
        return (self._files.end_ns - self._files.start_ns) / 1e9

    def find(self, name: str, type_name: str) -> list[BagTopic]:
        """Return the topics with messages of that relative name (`*` stands for one part of it) and type.

        Raises:
            BagError: they belong to several robots, are of a version that cannot be read here, or metadata.yaml
                promises messages of them that the files do not hold.
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
            self._reader_of(topic)
        if not found:
            self._check_promise(name, type_name)
        return found

    def require(self, name: str, type_name: str, purpose: str) -> BagTopic:
        """Return the one topic of that name and type.

        Raises:
            BagError: it is missing; the line says what it is needed for, and what there is.
        """
        found = self.find(name, type_name)
        if not found:
            instead = self._instead(type_name)
            raise BagError(f"{self.folder} has no messages on {name} ({type_name}), which {purpose} needs{instead}")
        return found[0]

    def messages(self, topics: Sequence[BagTopic], start_ns: int | None = None) -> Iterator[Received]:
        """Give the messages of these topics in the order they were recorded.

        Raises:
            BagError: the bag is damaged, or a message does not fit its type.
        """
        if not topics:
            return
        readers = {topic.name: self._reader_of(topic) for topic in topics}
        types = {topic.name: topic.type_name for topic in topics}
        awaited = {topic.name for topic in topics if topic.message_count and start_ns is None}
        for topic, time_ns, serialized in self._files.messages(set(readers), start_ns):
            if topic.type_name != types[topic.name]:  # a topic that had several types on the way
                continue
            awaited.discard(topic.name)
            try:
                message, content = readers[topic.name](serialized)
            except Exception as error:
                raise BagError(f"{self.folder}: a message on {topic.name} cannot be read ({error})") from error
            yield Received(topic.name, time_ns, message, content)
        if awaited:
            raise BagError(
                f"{self.folder} is damaged: its files count messages on {', '.join(sorted(awaited))} that are not "
                f"there: try ./so101 record --repair {self.folder}"
            )

    def serialized(self, names: Iterable[str], start_ns: int | None = None) -> Iterator[tuple[str, int, bytes]]:
        """Give (topic, time in ns, serialized message) of these topics in the order they were recorded.

        Raises:
            BagError: the bag is damaged.
        """
        for topic, time_ns, data in self._files.messages(set(names), start_ns):
            yield topic.name, time_ns, data

    def _namespace_of(self, topic: str, name: str) -> str | None:
        """Return the namespace in which the topic has that relative name, or None where it has another."""
        wanted, parts = name.strip("/").split("/"), topic.strip("/").split("/")
        head, tail = parts[: -len(wanted)], parts[-len(wanted) :]
        if len(parts) < len(wanted) or any(w not in ("*", p) for w, p in zip(wanted, tail, strict=True)):
            return None
        namespace = "/" + "/".join(head)
        return namespace if self._namespace in (None, namespace) else None

    def _reader_of(self, topic: BagTopic) -> "MessageReader":
        """Return what reads the messages of a topic.

        Raises:
            BagError: they are of a type that cannot be read here.
        """
        try:
            kind, here = message_class(topic.type_name), message_type(topic.type_name)
        except UnknownTypeError as error:
            raise BagError(f"{self.folder}: {topic.name}: {error}") from error
        if topic.type_hash == here.type_hash or not (topic.type_hash or topic.definition):
            return lambda serialized: (deserialize_message(serialized, kind), serialized)
        try:
            older = OlderMessages(topic.type_name, topic.definition)
            if topic.type_hash and older.type_hash != topic.type_hash:
                # `ros2 bag record` stores its own definition beside the hash of a publisher of another version.
                raise IncompatibleError(f"{topic.type_hash[:19]}..., here {here.type_hash[:19]}...")
        except IncompatibleError as error:
            raise BagError(
                f"{self.folder}: {topic.name} was recorded with another version of {topic.type_name} ({error}): "
                "replay it with the software that recorded it"
            ) from error
        if older.type_hash == here.type_hash:
            return lambda serialized: (deserialize_message(serialized, kind), serialized)

        def read(serialized: bytes) -> tuple[Any, bytes]:
            message = older.message(serialized)
            return message, serialize_message(message)

        return read

    def _check_promise(self, name: str, type_name: str) -> None:
        for topic in self.topics:
            promised = self._files.promised(topic.name)
            if topic.type_name == type_name and promised and self._namespace_of(topic.name, name) is not None:
                raise BagError(
                    f"{self.folder}: metadata.yaml promises {promised} messages on {topic.name}, the files hold none: "
                    f"try ./so101 record --repair {self.folder}"
                )

    def _instead(self, type_name: str) -> str:
        if not any(topic.message_count for topic in self.topics):
            return ": it holds no messages at all"
        others = sorted(topic.name for topic in self.topics if topic.type_name == type_name and topic.message_count)
        return f"; that type is on {', '.join(others[:5])}" if others else ""


MessageReader = Callable[[bytes], tuple[Any, bytes]]
"""Serialized message -> message of the installed type, and its bytes as that."""
