"""Repairing a bag whose recorder was killed: every whole chunk is kept, what was being written is cut off.

The files are mended in place, so a repair needs hardly any space, and one that is interrupted can be run again.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from so101_tools.bag.errors import BagError
from so101_tools.bag.mcap_layout import Contents, ending, index_bytes
from so101_tools.bag.mcap_scan import NotMcapError, Scan, scan_file, summary_of
from so101_tools.bag.metadata import (
    FILE_NAME,
    FileSpan,
    Topic,
    as_text,
    bag_information,
    qos_from_text,
    read_information,
    write_metadata,
)


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did. `lost_bytes` could not be read; `changed` is False where the bag was whole already."""

    files: int
    messages: int
    duration_s: float
    lost_bytes: int
    changed: bool


def repair(folder: Path) -> Repaired:
    """Make a bag whole again.

    Raises:
        BagError: there is no MCAP file, or one that is not even an MCAP file, or the disk is full.
    """
    paths = sorted(folder.glob("*.mcap"), key=_number) if folder.is_dir() else []
    if not paths:
        raise BagError(f"{folder} holds no .mcap file: there is nothing to repair")
    try:
        return _repair(folder, paths)
    except NotMcapError as error:
        raise BagError(f"{error}: take it out of the folder, then repair again") from error
    except OSError as error:
        raise BagError(f"{folder} cannot be repaired: {error.strerror} ({error.filename or folder})") from error


def _repair(folder: Path, paths: list[Path]) -> Repaired:
    topics: dict[str, Topic] = {}
    spans: list[FileSpan] = []
    lost = 0
    changed = False
    for path in paths:
        contents = summary_of(path)
        scan = None
        if contents is None:
            scan = scan_file(path)
            contents = scan.contents
        for topic in _topics(contents):
            topics.setdefault(topic.name, topic)
        span = FileSpan(path.name, contents.start_ns, contents.end_ns, contents.counts_by_topic)
        spans.append(span)
        if scan is not None:
            lost += _mend(path, scan, as_text(bag_information(_topics(contents), [span])))
            changed = True
    if changed or not _metadata_fits(folder, spans):
        write_metadata(folder, topics.values(), spans)
        changed = True
    filled = [span for span in spans if span.message_count]
    duration_ns = max((s.end_ns for s in filled), default=0) - min((s.start_ns for s in filled), default=0)
    return Repaired(len(paths), sum(span.message_count for span in spans), duration_ns / 1e9, lost, changed)


def _number(path: Path) -> tuple[int, str]:
    """Order of the files: by the number that their names end in."""
    digits = path.stem.rpartition("_")[2]
    return (int(digits) if digits.isdigit() else -1, path.name)


def _metadata_fits(folder: Path, spans: list[FileSpan]) -> bool:
    if not (folder / FILE_NAME).is_file():
        return False
    try:
        information = read_information(folder)
    except BagError:
        return False
    said = (information.get("relative_file_paths"), information.get("message_count"))
    return said == ([span.path for span in spans], sum(span.message_count for span in spans))


def _mend(path: Path, scan: Scan, metadata: str) -> int:
    """Cut off what is not whole, write the summary, and return how many bytes were cut off."""
    missing, _ = index_bytes(scan.missing_index, scan.end)
    tail = missing + ending(scan.contents, {"serialized_metadata": metadata}, scan.end + len(missing))
    with path.open("r+b") as file:
        lost = file.seek(0, os.SEEK_END) - scan.end
        file.truncate(scan.end)
        file.seek(scan.end)
        file.write(tail)
        file.flush()
        os.fsync(file.fileno())
    return lost


def _topics(contents: Contents) -> list[Topic]:
    return [
        Topic(
            channel.topic,
            contents.schemas[channel.schema_id].name,
            channel.metadata.get("topic_type_hash", ""),
            qos_from_text(channel.metadata.get("offered_qos_profiles", "")),
        )
        for channel in contents.channels.values()
        if channel.schema_id in contents.schemas
    ]
