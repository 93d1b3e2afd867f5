# SPDX-License-Identifier: Apache-2.0
"""The files of a bag as one: which they are, what they hold, and whether that is what metadata.yaml promises."""

import heapq
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path, PurePath
from typing import Any

from so101_bag.errors import BagError
from so101_bag.storage.metadata import FILE_NAME, read_information
from so101_bag.storage.stored_file import (
    ENDINGS,
    PACKED,
    DamagedFileError,
    StoredFile,
    StoredTopic,
    open_file,
    remedy,
    unpacked_message,
)

ROS1 = ".bag"


def bag_folder(path: Path) -> Path:
    """Return the path, which is the folder of a bag as far as its names tell.

    Raises:
        BagError: it is something else; the line says what, and what to name instead.
    """
    if path.suffix == ROS1 and path.is_file():
        target = path.with_suffix("")
        raise BagError(
            f"{path} is a bag of ROS 1: convert it with ./so101 ros rosbags-convert --src {path} --dst {target}"
        )
    if path.is_file():
        named = path.name == FILE_NAME or path.name.removesuffix(PACKED).endswith(ENDINGS)
        hint = f": name its folder, {path.absolute().parent}" if named else f"; a bag is a folder with {FILE_NAME}"
        raise BagError(f"{path} is a file{hint}")
    if not path.is_dir():
        raise BagError(f"{path}: no such bag; a bag is a folder with {FILE_NAME}")
    if not (path / FILE_NAME).is_file() and not bag_files(path):
        _refuse_other_folder(path)
    return path


def bag_files(folder: Path) -> list[Path]:
    """Return the files with messages that lie in a folder, in the order of the numbers that their names end in."""
    found = [path for path in folder.iterdir() if path.is_file() and path.name.removesuffix(PACKED).endswith(ENDINGS)]
    return sorted(found, key=_number)


def _refuse_other_folder(path: Path) -> None:
    bags = sorted(item.name for item in path.iterdir() if item.is_dir() and _looks_like_a_bag(item))
    if bags:
        first = path / bags[0]
        names = ", ".join(bags[:5]) + (", ..." if len(bags) > 5 else "")
        raise BagError(f"{path} is not a bag but holds {len(bags)} ({names}): name one, such as {first}")
    if not any(path.iterdir()):
        raise BagError(f"{path} is not a bag: the folder is empty")
    raise BagError(f"{path} is not a bag: it has neither {FILE_NAME} nor an .mcap or .db3 file")


def _looks_like_a_bag(folder: Path) -> bool:
    return (folder / FILE_NAME).is_file() or bool(bag_files(folder))


def _number(path: Path) -> tuple[int, str]:
    digits = path.name.split(".")[0].rpartition("_")[2]
    return (int(digits) if digits.isdigit() else -1, path.name)


class BagFolder:
    """An open bag: its files, read side by side in the order of time.

    What is in it is read from the files. metadata.yaml only names them, tells hashes that they do not carry, and
    promises messages: where it promises some and there are none, that is an error.
    """

    def __init__(self, folder: Path) -> None:
        """Open it.

        Raises:
            BagError: it is none, its recorder was killed, a file is missing or damaged, or messages are missing.
        """
        self.folder = bag_folder(folder)
        information = read_information(folder)
        self._promised = _promised(information)
        self._stack = ExitStack()
        with ExitStack() as undo:
            undo.enter_context(self._stack)
            room = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="so101-bag-")))
            files = [self._opened(path, room) for path in _named_files(folder, information)]
            self._files = sorted(files, key=lambda file: file.start_ns)  # whatever order metadata.yaml has them in
            self.topics = self._merged(information)
            self._check_promise()
            undo.pop_all()

    def close(self) -> None:
        """Close its files."""
        self._stack.close()

    @property
    def start_ns(self) -> int:
        """Time of the first message, ns since the epoch; 0 where there is none."""
        return min((file.start_ns for file in self._files if _filled(file)), default=0)

    @property
    def end_ns(self) -> int:
        """Time of the last message, ns since the epoch; 0 where there is none."""
        return max((file.end_ns for file in self._files if _filled(file)), default=0)

    def promised(self, name: str) -> int:
        """Return how many messages metadata.yaml promises on a topic."""
        return self._promised.get(name, 0)

    def messages(self, names: Collection[str], start_ns: int | None) -> Iterator[tuple[StoredTopic, int, bytes]]:
        """Give topic, time in ns and serialized message of these topics in the order of time.

        Raises:
            BagError: a file is damaged.
        """
        streams = [file.messages(names, start_ns) for file in self._files if _filled(file)]
        try:
            for topic, time_ns, data in streams[0] if len(streams) == 1 else heapq.merge(*streams, key=itemgetter(1)):
                yield topic, time_ns, unpacked_message(data)
        except DamagedFileError as error:
            # Its index could be read, so a repair would find nothing to do.
            raise BagError(f"{error} in its middle: copy it once more") from error

    def _opened(self, path: Path, room: Path) -> StoredFile:
        try:
            file = open_file(path, room)
        except BagError as error:
            raise BagError(f"{error}: {remedy(path)}") from error
        self._stack.callback(file.close)
        return file

    def _merged(self, information: dict[str, Any]) -> tuple[StoredTopic, ...]:
        """Return the topics of all files as one, with the hashes that only metadata.yaml has."""
        hashes = {
            (item["name"], item["type"]): str(item.get("type_description_hash") or "")
            for item in (entry["topic_metadata"] for entry in information["topics_with_message_count"])
        }
        found: dict[tuple[str, str], StoredTopic] = {}
        for topic in (topic for file in self._files for topic in file.topics):
            key = (topic.name, topic.type_name)
            before = found.get(key)
            found[key] = StoredTopic(
                topic.name,
                topic.type_name,
                topic.count + (before.count if before else 0),
                topic.definition or (before.definition if before else ""),
                topic.type_hash or (before.type_hash if before else "") or hashes.get(key, ""),
                topic.qos,
                topic.encoding,
            )
        return tuple(found.values())

    def _check_promise(self) -> None:
        promised, held = sum(self._promised.values()), sum(topic.count for topic in self.topics)
        if promised and not held:
            raise BagError(
                f"{self.folder}: {FILE_NAME} promises {promised} messages, its files hold none: copy them once more, "
                f"or have {FILE_NAME} corrected with ./so101 record --repair {self.folder}"
            )


def _filled(file: StoredFile) -> bool:
    return any(topic.count for topic in file.topics)


def _promised(information: dict[str, Any]) -> dict[str, int]:
    return {
        str(entry["topic_metadata"]["name"]): int(entry.get("message_count") or 0)
        for entry in information["topics_with_message_count"]
    }


def _named_files(folder: Path, information: dict[str, Any]) -> Sequence[Path]:
    """Return the files that metadata.yaml names, packed or unpacked in the meantime as they may be.

    Raises:
        BagError: one is missing.
    """
    found = []
    for name in information["relative_file_paths"]:
        path = folder / PurePath(str(name)).name  # early versions wrote the folder in front
        other = path.with_suffix("") if path.suffix == PACKED else path.with_name(path.name + PACKED)
        if not path.is_file() and not other.is_file():
            here = ", ".join(item.name for item in bag_files(folder))
            without = f", or go on without it after ./so101 record --repair {folder}" if here else ""
            raise BagError(
                f"{folder}: {path.name} is missing, which {FILE_NAME} names (here: {here or 'no file with messages'}): "
                f"copy it there{without}"
            )
        found.append(path if path.is_file() else other)
    return found
