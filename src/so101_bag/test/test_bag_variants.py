# SPDX-License-Identifier: Apache-2.0
"""Bags whose metadata and files do not agree, of other programs, and of earlier versions of our messages."""

import random
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
import zstandard
from bag_maker import START_NS, BagMaker, make_run
from bag_variants import copied, edit, reindex, version, written_by_rosbags
from mcap.writer import CompressionType, Writer
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.rosbag2 import CompressionMode, StoragePlugin
from sensor_msgs.msg import JointState
from so101_bag.dataset.bag_streams import read_streams
from so101_bag.dataset.episode_frames import frames, moments
from so101_bag.errors import BagError
from so101_bag.record.__main__ import main as record
from so101_bag.replay.__main__ import main as replay
from so101_bag.replay.exchanges import exchanges
from so101_bag.storage.message_types import message_class, message_type
from so101_bag.storage.older_messages import _store as store_of
from so101_bag.storage.reader import Bag
from so101_bag.storage.repair import repair
from so101_node.protocol.units import Units

OLD = Path(__file__).parent / "data" / "demo_9cd9c2f"
BEFORE_CORRECTION = Path(__file__).parent / "data" / "decisions_9ffd896"
JOINT_STATE = "sensor_msgs/msg/JointState"


def content(bag: Path) -> list[tuple[str, int, bytes]]:
    with Bag(bag) as opened:
        return list(opened.serialized([topic.name for topic in opened.topics]))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("bags") / "run", seconds=1.5, episodes=((0.2, 1.4, 1),), split_bytes=30_000)


# -- metadata and files do not agree -----------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [reindex, *map(version, range(1, 10))], ids=["reindexed", *"123456789"])
def test_whatever_metadata_says_of_its_topics_the_whole_bag_is_read(run, tmp_path, change):
    bag = edit(copied(run, tmp_path / "run"), change)
    assert content(bag) == content(run) != []
    assert repair(bag).changed is False
    with Bag(bag) as opened:
        streams = read_streams(opened, Units.DEGREES, ())
        assert opened.duration_s == pytest.approx(1.483, abs=0.01)
        assert sum(1 for _ in frames(streams, moments(streams, streams.episodes[0], 30.0, 0.5), 0.5)) == 30


def test_a_reindexed_bag_replays_as_before(tmp_path, capsys):
    bag = edit(copied(OLD, tmp_path / "run"), reindex)
    assert replay([str(bag)]) == 0
    assert "255 decisions, identical" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change",
    [
        lambda information: information["topics_with_message_count"].clear(),
        lambda information: information.update(message_count=0, files=None),
        lambda information: information["relative_file_paths"].sort(reverse=True),
        lambda information: information.update(starting_time=None, duration=None, storage_identifier="sqlite3"),
        lambda information: [
            entry["topic_metadata"].update(offered_qos_profiles="- nonsense: [") or entry.pop("message_count")
            for entry in information["topics_with_message_count"]
        ],
    ],
    ids=["no-topics", "no-count", "files-in-another-order", "no-times", "unreadable-qos"],
)
def test_metadata_that_says_too_little_does_not_hide_what_the_files_hold(run, tmp_path, change):
    assert content(edit(copied(run, tmp_path / "run"), change)) == content(run)


def test_messages_that_metadata_promises_and_no_file_holds_are_an_error_and_not_an_empty_bag(tmp_path):
    maker = BagMaker(tmp_path / "run")
    maker.write("joint_states", JOINT_STATE, JointState(), 0.0)
    maker.writer.add_topic(maker.writer._topics["/joint_states"][0].__class__("/joint_command", JOINT_STATE, ""))
    bag = maker.close()

    def promise(information):
        information["topics_with_message_count"][1]["message_count"] = 300

    with Bag(edit(bag, promise)) as opened:
        assert opened.require("joint_states", JOINT_STATE, "a test").message_count == 1
        with pytest.raises(BagError, match="promises 300 messages on /joint_command, the files hold none"):
            opened.find("joint_command", JOINT_STATE)
    assert repair(bag).changed is True
    with Bag(bag) as opened:
        assert opened.find("joint_command", JOINT_STATE) == []
    empty = BagMaker(tmp_path / "empty").close()
    topic = {"topic_metadata": {"name": "/x", "type": JOINT_STATE}, "message_count": 7}
    with pytest.raises(BagError, match=r"promises 7 messages, its files hold none: .*--repair"):
        Bag(edit(empty, lambda information: information["topics_with_message_count"].append(topic)))
    assert repair(empty).changed is True and content(empty) == []


def test_a_file_that_metadata_names_and_is_not_there_is_named_with_what_is(run, tmp_path):
    bag = copied(run, tmp_path / "run")
    (bag / "run_0.mcap").rename(tmp_path / "run_0.mcap")
    with pytest.raises(BagError, match=r"run_0\.mcap is missing, which metadata.yaml names \(here: run_1\.mcap"):
        Bag(bag)
    assert repair(bag).changed is True and 0 < len(content(bag)) < len(content(run))


# -- other storages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", list(StoragePlugin))
@pytest.mark.parametrize("mode", list(CompressionMode))
def test_bags_in_sqlite_and_packed_ones_are_read_reindexed_or_without_metadata(run, tmp_path, storage, mode, capsys):
    if (storage, mode) == (StoragePlugin.SQLITE3, CompressionMode.STORAGE):
        pytest.skip("SQLite does not pack by itself")
    bag = written_by_rosbags(run, tmp_path / "run", storage, mode)
    expected = content(run)
    assert content(bag) == expected
    assert record(["--repair", str(bag)]) == 0 and "is whole, nothing to repair" in capsys.readouterr().out
    assert content(edit(bag, reindex)) == expected
    (bag / "metadata.yaml").unlink()
    with pytest.raises(BagError, match=r"has no metadata.yaml: .*--repair"):
        Bag(bag)
    assert record(["--repair", str(bag)]) == 0 and "repaired" in capsys.readouterr().out
    assert content(bag) == expected
    said = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert said["storage_identifier"] == storage.name.lower()
    packed = {CompressionMode.FILE: "FILE", CompressionMode.MESSAGE: "MESSAGE"}.get(mode, "")
    assert (said["compression_mode"], said["compression_format"]) == (packed, "zstd" if packed else "")
    assert repair(bag).changed is False


def test_a_file_that_was_packed_or_unpacked_by_hand_is_found(run, tmp_path):
    bag = copied(run, tmp_path / "run")
    file = bag / "run_0.mcap"
    (bag / "run_0.mcap.zstd").write_bytes(zstandard.compress(file.read_bytes()))
    file.unlink()
    assert content(bag) == content(run)


@pytest.mark.parametrize("summary", [True, False])
def test_mcap_files_without_an_index_are_read_in_the_order_of_time(tmp_path, summary):
    """As `ros2 bag record --storage-preset-profile fastwrite` writes them: in the order in which it got to it."""
    bag = copied(make_run(tmp_path / "made", seconds=0.1), tmp_path / "run")
    (bag / "made_0.mcap").unlink()
    options = {"use_chunking": False, "compression": CompressionType.NONE}
    if not summary:
        options |= {"use_statistics": False, "use_summary_offsets": False, "repeat_channels": False}
        options |= {"repeat_schemas": False}
    with (bag / "made_0.mcap").open("wb") as file:
        writer = Writer(file, **options)
        writer.start("ros2")
        schema = writer.register_schema(JOINT_STATE, "ros2msg", message_type(JOINT_STATE).definition.encode())
        channel = writer.register_channel("/joint_states", "cdr", schema)
        for index in (1, 0, 3, 2):
            writer.add_message(channel, START_NS + index, serialize_message(JointState(position=[float(index)])), 0)
        writer.finish()
    with Bag(bag) as opened:
        found = [received.message.position[0] for received in opened.messages(opened.find("joint_states", JOINT_STATE))]
    assert found == [0.0, 1.0, 2.0, 3.0]


# -- what cannot be read, in one line ----------------------------------------------------------------------------------


def a_torn_database(folder: Path) -> Path:
    bag = written_by_rosbags(make_run(folder / "made", seconds=1.0), folder / "torn", StoragePlugin.SQLITE3)
    file = bag / "torn.db3"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return bag


def an_empty_database(folder: Path) -> Path:
    bag = written_by_rosbags(make_run(folder / "made", seconds=0.2), folder / "other", StoragePlugin.SQLITE3)
    (bag / "other.db3").unlink()
    sqlite3.connect(bag / "other.db3").execute("CREATE TABLE t (x)")
    return bag


def folder_of_bags(folder: Path) -> Path:
    for name in ("a", "b"):
        make_run(folder / "bags" / name, seconds=0.2)
    return folder / "bags"


def with_file(name: str, data: bytes):
    def make(folder: Path) -> Path:
        bag = make_run(folder / "run", seconds=0.2)
        (bag / "run_0.mcap").write_bytes(data)
        if name != "run_0.mcap":
            (bag / "run_0.mcap").rename(bag / name)
            edit(bag, lambda information: information.update(relative_file_paths=[name]))
        return bag

    return make


def with_metadata(text: str):
    def make(folder: Path) -> Path:
        bag = make_run(folder / "run", seconds=0.2)
        (bag / "metadata.yaml").write_text(text)
        return bag

    return make


def a_file(name: str):
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(b"#ROSBAG V2.0\n")
        return folder / name

    return make


def an_empty_folder(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


CASES = [
    (lambda folder: folder / "nowhere", "no such bag; a bag is a folder with metadata.yaml"),
    (an_empty_folder, "is not a bag: the folder is empty"),
    (lambda folder: make_run(folder / "run", seconds=0.2) / "run_0.mcap", "is a file: name its folder, "),
    (lambda folder: make_run(folder / "run", seconds=0.2) / "metadata.yaml", "is a file: name its folder, "),
    (a_file("notes.txt"), "is a file; a bag is a folder with metadata.yaml"),
    (a_file("old.bag"), "is a bag of ROS 1: convert it with ./so101 ros rosbags-convert --src"),
    (folder_of_bags, "is not a bag but holds 2 (a, b): name one, such as "),
    (with_file("run_0.mcap", b""), "run_0.mcap is empty: nothing of it can be saved: take it out of the folder"),
    (with_file("run_0.mcap", b"something else altogether"), "is neither an MCAP nor an SQLite file"),
    (with_file("run_0.mcap", b"\x89MCAP0\r\n" + bytes(99)), "run_0.mcap is damaged (its end is missing): try ./so101"),
    (with_file("run_0.mcap", b"\x89MCAP0\r\n" + bytes(99) + b"\x89MCAP0\r\n"), "its files hold none: copy them"),
    (with_file("run_0.mcap", zstandard.compress(b"x" * 99)), "is packed with zstd: rename it to run_0.mcap.zstd"),
    (with_file("run_0.mcap.zstd", b"no zstd"), "run_0.mcap.zstd is damaged (cannot be unpacked"),
    (a_torn_database, "torn.db3 is damaged ("),
    (an_empty_database, "other.db3 is damaged ("),
    (with_metadata(""), "metadata.yaml is not the metadata of a bag; repair it with: ./so101 record --repair"),
    (with_metadata("rosbag2_bagfile_information: {version: [}"), "is not the metadata of a bag"),
    (with_metadata("rosbag2_bagfile_information: {topics_with_message_count: 3}"), "is not the metadata of a bag"),
    (lambda folder: BagMaker(folder / "run").close(), "it holds no messages at all"),
]


@pytest.mark.parametrize(("make", "line"), CASES, ids=range(len(CASES)))
def test_what_is_no_readable_bag_is_told_in_one_line_by_every_tool(tmp_path, capsys, make, line):
    from so101_bag.dataset.__main__ import main as dataset

    path = make(tmp_path)
    for command in (
        lambda: replay([str(path), "--to", "queue"]),
        lambda: replay([str(path), "--to", "policy_server"]),
        lambda: replay([str(path), "--to", "arm"]),
        lambda: dataset([str(path), "--out", str(tmp_path / "out")]),
    ):
        assert command() == 1
        error = capsys.readouterr().err.splitlines()
        assert len(error) == 1 and line in error[0]
    assert not (tmp_path / "out").exists()


def test_a_launch_file_ends_with_an_error_where_the_bag_cannot_be_opened(tmp_path):
    """`ros2 launch` ends with 0 whatever its processes say, but not where a substitution fails."""

    def launch(bag: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "so101_launch_runner", "replay.launch.xml", f"bag:={bag}"]
        return subprocess.run(
            [*command, f"report:={tmp_path / 'report.json'}"], capture_output=True, text=True, timeout=120
        )

    done = launch(tmp_path / "nowhere")
    assert done.returncode != 0 and len(done.stderr.splitlines()) == 1
    assert "nowhere: no such bag; a bag is a folder with metadata.yaml" in done.stderr
    done = launch(copied(OLD, tmp_path / "a bag"))
    assert done.returncode == 0 and "255 decisions, identical" in done.stdout + done.stderr


def test_repair_never_ends_in_a_traceback(tmp_path, capsys):
    for number, (make, _) in enumerate(CASES):
        (tmp_path / str(number)).mkdir()
        path = make(tmp_path / str(number))
        code = record(["--repair", str(path)])
        told = capsys.readouterr()
        assert len((told.out + told.err).splitlines()) == 1, told
        if code == 0:
            content(path)


def test_bytes_that_rotted_in_the_middle_are_told_with_what_helps(run, tmp_path, capsys):
    bag = copied(run, tmp_path / "run")
    file = bag / "run_0.mcap"
    data = bytearray(file.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 99] = bytes(99)
    file.write_bytes(data)
    with pytest.raises(BagError, match=r"run_0\.mcap is damaged \(.*\) in its middle: copy it once more"):
        content(bag)
    assert record(["--repair", str(bag)]) == 0


# -- earlier versions of our messages ----------------------------------------------------------------------------------


def test_a_bag_of_an_earlier_release_is_read_whole_replayed_and_made_into_frames(capsys):
    assert replay([str(OLD), "--to", "queue"]) == 0
    assert "255 decisions, identical" in capsys.readouterr().out
    with Bag(OLD) as bag:
        assert sum(1 for _ in bag.messages([topic for topic in bag.topics if topic.message_count])) == 892
        recorded = list(exchanges(bag))
        assert len(recorded[0].frames) == 2 and len(recorded) == 6
        for exchange in recorded:
            assert deserialize_message(exchange.request_serialized, type(exchange.request)) == exchange.request
        streams = read_streams(bag, Units.DEGREES, ())
        (span,) = streams.episodes
        assert (span.outcome, span.task) == ("succeeded", "Pick the cube to place")
        assert sum(1 for _ in frames(streams, moments(streams, span, 30.0, 0.5), 1.0)) == 155


def test_a_log_from_before_corrections_replays_and_says_that_nothing_was_added(capsys):
    assert replay([str(BEFORE_CORRECTION), "--to", "queue"]) == 0
    assert "decisions, identical" in capsys.readouterr().out
    with Bag(BEFORE_CORRECTION) as bag:
        topic = bag.find("action_queue/decisions", "so101_msgs/msg/QueueDecision")
        messages = [received.message for received in bag.messages(topic)]
    statuses = [status for message in messages for status in message.policy_status]
    ticks = [message for message in messages if message.setpoint]
    assert len(ticks) > 100 and not any(message.correction for message in ticks)
    assert statuses and {status.fingerprint for status in statuses} == {""}


def a_value(kind, store, chance: random.Random):
    """Return something for a field of rosbags' (code, details) form."""
    code, details = kind
    if code.name == "NAME":
        return a_message(details, store, chance)
    if code.name == "BASE":
        name = details[0]
        if name == "string":
            return "".join(chance.choices("abc ", k=3))
        return name == "bool" or (chance.random() if name.startswith("float") else chance.randrange(1, 100))
    inner, size = details
    values = [a_value(inner, store, chance) for _ in range(size if code.name == "ARRAY" else 1)]
    if inner[0].name == "BASE" and inner[1][0] != "string":
        return np.array(values, inner[1][0].replace("octet", "uint8"))
    return values


def a_message(name: str, store, chance: random.Random):
    return store.types[name](*(a_value(kind, store, chance) for _, kind in store.fielddefs[name][1]))


def comparable(value):
    """Return a message of rosbags or of rclpy as plain values."""
    if hasattr(value, "__msgtype__"):
        fields = message_class(value.__msgtype__).get_fields_and_field_types()
        return {name: comparable(getattr(value, name)) for name in fields if hasattr(value, name)}
    if hasattr(value, "get_fields_and_field_types"):
        return {name: comparable(getattr(value, name)) for name in value.get_fields_and_field_types()}
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, bytes):
        return value[0]
    return [comparable(item) for item in value] if isinstance(value, list) else value


def shortened(definition: str) -> tuple[str, str]:
    """Return a definition as it was before its last field was added, and the name of that."""
    head, rule, rest = definition.partition("=" * 80)
    lines = head.splitlines()
    fields = [
        index for index, line in enumerate(lines) if (code := line.split("#")[0].strip()) and "=" not in code.split()[1]
    ]
    last = lines.pop(fields[-1]).split("#")[0].split()[1]
    return "\n".join(lines) + "\n" + rule + rest, last


OURS = sorted(path.stem for path in (Path(__file__).parents[3] / "msg").glob("*.msg"))


def recorded_as(folder: Path, name: str, definition: str, data: bytes, type_hash: str) -> Path:
    """A bag with one message of another version."""
    maker = BagMaker(folder)
    maker.write("x", name, message_class(name)(), 0.0)
    bag = maker.close()
    with (bag / f"{folder.name}_0.mcap").open("wb") as file:
        writer = Writer(file)
        writer.start("ros2")
        schema = writer.register_schema(name, "ros2msg", definition.encode())
        channel = writer.register_channel("/x", "cdr", schema, {"topic_type_hash": type_hash})
        writer.add_message(channel, START_NS, data, START_NS)
        writer.finish()
    return edit(bag, version(6))


@pytest.mark.parametrize("short", OURS)
def test_messages_from_before_a_field_was_added_are_read_with_its_default(tmp_path, short):
    name = f"so101_msgs/msg/{short}"
    definition, added = shortened(message_type(name).definition)
    store = store_of(name, definition)
    recorded = a_message(name, store, random.Random(1))
    data = bytes(store.serialize_cdr(recorded, name))
    bag = recorded_as(tmp_path / "run", name, definition, data, store.hash_rihs01(name))
    with Bag(bag) as opened:
        (received,) = opened.messages(opened.find("x", name))
    default = getattr(message_class(name)(), added)
    expected = {**comparable(recorded), added: comparable(default)}
    found = comparable(received.message)
    assert repr(found) == repr({key: expected[key] for key in found}) and added in found
    assert repr(comparable(deserialize_message(received.serialized, message_class(name)))) == repr(found)


@pytest.mark.parametrize(
    ("added", "line"),
    [("float64 torque", "has a field torque, the one here has none"), ("", r"RIHS01_0000")],
)
def test_a_version_that_cannot_be_read_here_says_why(tmp_path, added, line):
    definition = added + "\n" + message_type(JOINT_STATE).definition
    bag = recorded_as(tmp_path / "run", JOINT_STATE, definition, b"", "" if added else "RIHS01_" + "0" * 64)
    with Bag(bag) as opened, pytest.raises(BagError, match=f"another version of {JOINT_STATE} .*{line}"):
        opened.find("x", JOINT_STATE)


def test_a_field_of_another_type_is_no_earlier_version(tmp_path):
    definition = message_type(JOINT_STATE).definition.replace("float64[] position", "float32[] position")
    bag = recorded_as(tmp_path / "run", JOINT_STATE, definition, struct.pack("<I", 0), "")
    with Bag(bag) as opened, pytest.raises(BagError, match=f"field position of its {JOINT_STATE} is of another type"):
        opened.find("x", JOINT_STATE)
