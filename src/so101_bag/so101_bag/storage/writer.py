# SPDX-License-Identifier: Apache-2.0
"""Writing a bag: a folder of MCAP files, a new one whenever the last is full, and metadata.yaml at the end."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from so101_bag.errors import BagError
from so101_bag.storage.mcap_file import McapFile
from so101_bag.storage.message_types import MessageType, message_type
from so101_bag.storage.metadata import FileSpan, Topic, as_text, bag_information, write_metadata

FREE_RATIO = 0.05  # of a small disk, such as a memory card or a RAM disk, this ratio is left free instead


class BagWriter:
    """Writes one bag. After BagError nothing more is written, and what was written before can be read."""

    def __init__(self, folder: Path, split_bytes: int = 0, min_free_bytes: int = 0) -> None:
        """Create the folder.

        Args:
            folder: of the bag; must not exist, or be empty.
            split_bytes: begin the next file when one has this size; 0 = never.
            min_free_bytes: stop while this much is left free on the disk, or a twentieth of a small one.

        Raises:
            BagError: the folder is in use or cannot be made, or the disk is too full.
        """
        self.folder = folder
        self._split_bytes = split_bytes
        self._min_free_bytes = min_free_bytes
        self._topics: dict[str, tuple[Topic, MessageType]] = {}
        self._done: list[FileSpan] = []
        if folder.is_file():
            raise BagError(f"{folder} is a file: name a folder for the bag")
        try:
            if folder.is_dir() and any(folder.iterdir()):
                raise BagError(f"{folder} is not empty: name another folder for the bag")
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BagError(f"{folder} cannot be made: {error.strerror}") from error
        self._check_space()
        self._file: McapFile | None = None
        self._failed = False
        with self._guarded():
            self._file = self._next_file()

    @property
    def message_count(self) -> int:
        """Messages written, without those that wait for the next flush."""
        current = self._file.span.message_count if self._file else 0
        return current + sum(span.message_count for span in self._done)

    def add_topic(self, topic: Topic) -> None:
        """Announce a topic.

        Raises:
            BagError: the disk is full.
            UnknownTypeError: its type is not installed.
        """
        kind = message_type(topic.type_name)
        self._topics[topic.name] = (topic, kind)
        with self._guarded():
            if self._file:
                self._file.add_topic(topic, kind)

    def write(self, topic: str, log_ns: int, publish_ns: int, content: bytes) -> None:
        """Take one serialized message.

        Raises:
            BagError: the disk is full.
        """
        with self._guarded():
            if self._file:
                self._file.write(topic, log_ns, publish_ns, content)

    def flush(self) -> None:
        """Make safe what was taken, and begin the next file when this one is full.

        Raises:
            BagError: the disk is full.
        """
        self._check_space()
        with self._guarded():
            if self._file:
                self._file.flush()
                if self._split_bytes and self._file.size >= self._split_bytes:
                    full, self._file = self._file, None
                    self._end_file(full)
                    self._file = self._next_file()

    def close(self) -> None:
        """Complete the bag. A second call does nothing.

        Raises:
            BagError: the disk is full; the bag needs to be repaired.
        """
        file, self._file = self._file, None
        if file is None:
            return
        try:
            self._end_file(file)
            topics = [topic for topic, _ in self._topics.values()]
            write_metadata(self.folder, bag_information(topics, self._done))
        except OSError as error:
            raise BagError(
                f"{self.folder} could not be completed: {error.strerror}; free some space, then: "
                f"./so101 record --repair {self.folder}"
            ) from error

    def _next_file(self) -> McapFile:
        file = McapFile(self.folder / f"{self.folder.absolute().name}_{len(self._done)}.mcap")
        for topic, kind in self._topics.values():
            file.add_topic(topic, kind)
        return file

    def _end_file(self, file: McapFile) -> None:
        topics = [topic for topic, _ in self._topics.values()]
        self._done.append(file.close(lambda span: as_text(bag_information(topics, [span])), disk_full=self._failed))

    def _check_space(self) -> None:
        try:
            usage = shutil.disk_usage(self.folder)
        except OSError as error:
            raise BagError(f"{self.folder} is gone: {error.strerror}") from error
        wanted = min(self._min_free_bytes, int(usage.total * FREE_RATIO))
        if usage.free < wanted:
            raise BagError(
                f"the disk of {self.folder} is almost full: {usage.free / 1e6:.0f} MB free, recording needs "
                f"{wanted / 1e6:.0f} MB to spare (min_free_mb)"
            )

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._failed = True
            raise BagError(f"{self.folder} cannot be written: {error.strerror}") from error
