# SPDX-License-Identifier: Apache-2.0
"""Bags: what other readers of rosbag2 and MCAP make of ours, and what is left of one whose recorder was killed."""

import os
import random
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from bag_maker import START_NS, BagMaker, make_run
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, Writer
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from sensor_msgs.msg import CompressedImage, JointState
from so101_bag.errors import BagError
from so101_bag.storage.message_types import UnknownTypeError, message_type
from so101_bag.storage.metadata import qos_from_text
from so101_bag.storage.reader import Bag
from so101_bag.storage.repair import repair
from so101_bag.storage.writer import BagWriter

JOINT_STATE = "sensor_msgs/msg/JointState"
STRING = "std_msgs/msg/String"


def times(bag: Path, name: str = "joint_states") -> list[int]:
    with Bag(bag) as opened:
        return [received.time_ns for received in opened.messages(opened.find(name, JOINT_STATE))]


def strictly_read(bag: Path) -> int:
    """Count the messages of every file with all checksums on, by the index and from front to back."""
    counts = []
    for path in sorted(bag.glob("*.mcap")):
        with path.open("rb") as file:
            indexed = sum(1 for _ in make_reader(file, validate_crcs=True).iter_messages())
        with path.open("rb") as file:
            found = [r for r in StreamReader(file, validate_crcs=True).records if type(r).__name__ == "Message"]
        assert indexed == len(found)
        counts.append(indexed)
    return sum(counts)


# -- what others read --------------------------------------------------------------------------------------------------


def test_a_bag_is_read_back_whole_by_us_by_rosbags_and_by_mcap(tmp_path):
    bag = make_run(tmp_path / "run", seconds=2.0, episodes=((0.2, 1.8, 1),))
    with Bag(bag) as opened, Reader(bag) as reader:
        ours = list(opened.serialized([topic.name for topic in opened.topics]))
        theirs = [(c.topic, time_ns, bytes(data)) for c, time_ns, data in reader.messages()]
        assert ours == theirs
        counts = {topic.name: topic.message_count for topic in opened.topics}
    assert counts["/joint_states"] == 120 and counts["/top/image_raw/compressed"] == 60
    assert sum(counts.values()) == len(ours) == strictly_read(bag)
    assert [time_ns for _, time_ns, _ in ours] == sorted(time_ns for _, time_ns, _ in ours)


def test_metadata_has_the_form_that_rosbag2_of_jazzy_writes(tmp_path):
    bag = make_run(tmp_path / "run", seconds=1.0, episodes=((0.1, 0.9, 1),))
    text = (bag / "metadata.yaml").read_text()
    assert "&id" not in text and "*id" not in text
    information = yaml.safe_load(text)["rosbag2_bagfile_information"]
    assert (information["version"], information["storage_identifier"]) == (9, "mcap")
    assert (information["compression_format"], information["compression_mode"]) == ("", "")
    assert information["relative_file_paths"] == ["run_0.mcap"] == [file["path"] for file in information["files"]]
    assert information["starting_time"]["nanoseconds_since_epoch"] == START_NS
    topic = next(
        item["topic_metadata"]
        for item in information["topics_with_message_count"]
        if item["topic_metadata"]["name"] == "/joint_states"
    )
    assert topic["serialization_format"] == "cdr" and topic["type_description_hash"].startswith("RIHS01_")
    profile = topic["offered_qos_profiles"][0]
    assert profile["reliability"] == "reliable" and profile["deadline"] == {"sec": 9223372036, "nsec": 854775807}
    with (bag / "run_0.mcap").open("rb") as file:
        reader = make_reader(file)
        assert reader.get_header().profile == "ros2"
        summary = reader.get_summary()
        channels = {channel.topic: channel for channel in summary.channels.values()}
        inside = {record.name: record.metadata for record in reader.iter_metadata()}
    channel = channels["/joint_states"]
    assert channel.message_encoding == "cdr" and summary.schemas[channel.schema_id].encoding == "ros2msg"
    assert channel.metadata["topic_type_hash"] == topic["type_description_hash"]
    assert qos_from_text(channel.metadata["offered_qos_profiles"]) == (profile,)
    assert yaml.safe_load(inside["rosbag2"]["serialized_metadata"])["message_count"] == information["message_count"]


@pytest.mark.parametrize(
    "name",
    [
        "so101_msgs/msg/QueueDecision",
        "so101_msgs/msg/ObservationImage",
        "so101_msgs/msg/EpisodeEvent",
        "trajectory_msgs/msg/JointTrajectory",
        "diagnostic_msgs/msg/DiagnosticArray",
    ],
)
def test_the_definition_in_the_bag_is_complete_and_has_the_hash_that_ros_announces(name):
    """rosbags rebuilds type and hash from the text alone."""
    kind = message_type(name)
    store = get_typestore(Stores.EMPTY)
    parts = kind.definition.split("=" * 80 + "\nMSG: ")
    types = get_types_from_msg(parts[0], name)
    for part in parts[1:]:
        title, _, text = part.partition("\n")
        types.update(get_types_from_msg(text, title.replace("/", "/msg/")))
    store.register(types)
    assert store.hash_rihs01(name) == kind.type_hash


def test_jpeg_is_stored_as_it_is_and_the_rest_compressed(tmp_path):
    bag = make_run(tmp_path / "run", seconds=2.0)
    with next(bag.glob("*.mcap")).open("rb") as file:
        summary = make_reader(file).get_summary()
    images = {id for id, channel in summary.channels.items() if "image_raw" in channel.topic}
    by_kind = {"": set(), "zstd": set()}
    for index in summary.chunk_indexes:
        by_kind[index.compression] |= set(index.message_index_offsets)
    assert by_kind[""] == images and by_kind["zstd"].isdisjoint(images) and by_kind["zstd"]


def test_a_bag_that_grows_too_large_goes_on_in_the_next_file(tmp_path):
    maker = BagMaker(tmp_path / "run", split_bytes=10_000)
    for index in range(900):
        maker.write("joint_states", JOINT_STATE, JointState(name=["a"], position=[float(index)]), index / 100)
        if index % 50 == 49:
            maker.writer.flush()
    bag = maker.close()
    files = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]["files"]
    assert len(files) > 2 and sum(file["message_count"] for file in files) == 900 == strictly_read(bag)
    assert len(times(bag)) == 900


def test_a_bag_without_a_single_message_is_a_bag(tmp_path):
    bag = BagMaker(tmp_path / "run").close()
    with Bag(bag) as opened:
        assert opened.topics == ()
    assert repair(bag).changed is False


# -- what a killed recorder leaves behind ------------------------------------------------------------------------------


def killed_bag(folder: Path, seconds: int = 4) -> Path:
    """A bag of 100 messages a second, flushed twice a second, whose writer ended without a word."""
    code = textwrap.dedent(f"""
        import os
        from pathlib import Path
        from bag_maker import BagMaker
        from sensor_msgs.msg import CompressedImage, JointState
        maker = BagMaker(Path({str(folder)!r}))
        for index in range({seconds * 100} + 30):
            maker.write("joint_states", "{JOINT_STATE}", JointState(position=[float(index)] * 6), index / 100)
            image = CompressedImage(data=os.urandom(3000))
            maker.write("top/image_raw/compressed", "sensor_msgs/msg/CompressedImage", image, index / 100)
            if index % 50 == 49:
                maker.writer.flush()
        os._exit(9)
    """)
    environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=120).returncode == 9
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    return killed_bag(tmp_path_factory.mktemp("killed") / "run")


def test_a_killed_recorders_bag_says_so_and_repaired_it_lacks_only_what_was_not_flushed(killed, tmp_path):
    bag = copy_of(killed, tmp_path)
    with pytest.raises(BagError, match=f"its recorder was killed or still runs; .*--repair {bag}"):
        Bag(bag)
    done = repair(bag)
    assert done.changed and done.messages == 800 == strictly_read(bag)
    assert times(bag) == [START_NS + index * 10_000_000 for index in range(400)]
    assert repair(bag).changed is False


def test_cut_off_anywhere_a_bag_is_repaired_to_a_beginning_of_itself(killed, tmp_path):
    whole = copy_of(killed, tmp_path / "whole")
    repair(whole)
    expected = times(whole)
    chance = random.Random(1)
    size = next(killed.glob("*.mcap")).stat().st_size
    best = 0
    for number in range(25):
        bag = copy_of(killed, tmp_path / str(number))
        file = next(bag.glob("*.mcap"))
        os.truncate(file, chance.randrange(600, size))
        done = repair(bag)
        found = times(bag)
        assert found == expected[: len(found)]
        assert done.messages == strictly_read(bag)
        assert file.stat().st_size <= size + 20_000
        best = max(best, len(found))
    assert best > 200


def test_a_copy_that_was_broken_off_is_named_as_damaged_and_can_be_repaired(tmp_path):
    bag = make_run(tmp_path / "run", seconds=4.0)
    file = next(bag.glob("*.mcap"))
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(BagError, match=f"is damaged .*: try ./so101 record --repair {bag}"):
        Bag(bag)
    assert repair(bag).lost_bytes > 0
    assert 10 < len(times(bag)) < 240


def test_bytes_that_were_torn_in_the_middle_of_a_chunk_end_the_bag_there(killed, tmp_path):
    bag = copy_of(killed, tmp_path)
    file = next(bag.glob("*.mcap"))
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        opened.write(bytes(4096))
    done = repair(bag)
    assert 0 < done.messages < 800 and done.messages == strictly_read(bag)


def test_bags_of_other_mcap_writers_are_repaired_too(tmp_path):
    """Theirs have schemas and channels inside their chunks."""
    bag = tmp_path / "run"
    bag.mkdir()
    with (bag / "run_0.mcap").open("wb") as file:
        writer = Writer(file, chunk_size=2000, compression=CompressionType.LZ4)
        writer.start("ros2")
        schema = writer.register_schema(JOINT_STATE, "ros2msg", message_type(JOINT_STATE).definition.encode())
        channel = writer.register_channel("/joint_states", "cdr", schema, {"offered_qos_profiles": ""})
        for index in range(500):
            data = serialize_message(JointState(position=[float(index)]))
            writer.add_message(channel, START_NS + index, data, START_NS + index)
        writer.flush()
    done = repair(bag)
    assert done.messages == 500 == strictly_read(bag) == len(times(bag))


def test_a_folder_without_a_bag_cannot_be_repaired(tmp_path):
    with pytest.raises(BagError, match=r"is not a bag: the folder is empty"):
        repair(tmp_path)
    (tmp_path / "run_0.mcap").write_bytes(b"something else altogether")
    with pytest.raises(BagError, match=r"run_0\.mcap is not an MCAP file: take it out"):
        repair(tmp_path)


def copy_of(bag: Path, folder: Path) -> Path:
    target = folder / "run"
    target.mkdir(parents=True)
    for file in bag.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_a_full_disk_ends_the_writing_and_what_was_written_can_be_read(tmp_path):
    """A limit on the size of files gives the same error at the same place as a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    maker = BagMaker(tmp_path / "run")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, before[1]))
        with pytest.raises(BagError, match="run cannot be written: File too large"):
            for index in range(100_000):
                maker.write("joint_states", JOINT_STATE, JointState(position=[random.random()] * 6), index / 100)
                image = CompressedImage(data=random.randbytes(2000))
                maker.write("top/image_raw/compressed", "sensor_msgs/msg/CompressedImage", image, index / 100)
                if index % 50 == 49:
                    maker.writer.flush()
        bag = maker.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    kept = strictly_read(bag)
    assert kept >= 400, "more was given up than the summary and metadata.yaml need"
    assert repair(bag).changed is False
    assert times(bag) == [START_NS + index * 10_000_000 for index in range(len(times(bag)))]


def test_little_space_is_told_with_both_numbers(tmp_path, monkeypatch):
    class Usage:
        total, used, free = 10_000_000_000, 9_900_000_000, 100_000_000

    monkeypatch.setattr("so101_bag.storage.writer.shutil.disk_usage", lambda _folder: Usage)
    with pytest.raises(BagError, match="100 MB free, recording needs 200 MB to spare"):
        BagWriter(tmp_path / "run", min_free_bytes=200_000_000)
    Usage.free = 300_000_000
    writer = BagWriter(tmp_path / "run2", min_free_bytes=200_000_000)
    Usage.free = 150_000_000
    with pytest.raises(BagError, match="150 MB free"):
        writer.flush()
    writer.close()
    assert repair(tmp_path / "run2").changed is False


def test_on_a_small_disk_a_twentieth_is_enough(tmp_path, monkeypatch):
    class Usage:
        total, used, free = 8_000_000, 7_000_000, 1_000_000

    monkeypatch.setattr("so101_bag.storage.writer.shutil.disk_usage", lambda _folder: Usage)
    BagWriter(tmp_path / "run", min_free_bytes=200_000_000).close()


def test_a_folder_that_holds_something_is_not_written_to(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BagError, match="is not empty: name another folder"):
        BagWriter(tmp_path)
    with pytest.raises(BagError, match=r"notes\.txt is a file: name a folder for the bag"):
        BagWriter(tmp_path / "notes.txt")
    with pytest.raises(BagError, match="cannot be made: Not a directory"):
        BagWriter(tmp_path / "notes.txt" / "bag")


def test_messages_of_another_version_of_a_type_are_refused_with_both_hashes(tmp_path):
    maker = BagMaker(tmp_path / "run")
    maker.write("joint_states", JOINT_STATE, JointState(), 0.0, type_hash="RIHS01_" + "ab" * 32)
    with Bag(maker.close()) as bag, pytest.raises(BagError, match="another version of sensor_msgs/msg/JointState"):
        bag.find("joint_states", JOINT_STATE)


def test_what_is_missing_is_named_with_what_needs_it(tmp_path):
    bag = Bag(make_run(tmp_path / "run", seconds=1.0))
    with bag, pytest.raises(BagError, match=r"on action_chunk \(so101_msgs/msg/ActionChunk\), which a test needs"):
        bag.require("action_chunk", "so101_msgs/msg/ActionChunk", "a test")
    with pytest.raises(BagError, match="nowhere: no such bag"):
        Bag(tmp_path / "nowhere")


def test_of_several_robots_one_has_to_be_chosen(tmp_path):
    maker = BagMaker(tmp_path / "run")
    maker.write("left/joint_states", JOINT_STATE, JointState(), 0.0)
    maker.write("lab/right/joint_states", JOINT_STATE, JointState(), 0.1)
    bag = maker.close()
    with Bag(bag) as opened, pytest.raises(BagError, match=r"several robots \(/lab/right, /left\): .* --namespace"):
        opened.find("joint_states", JOINT_STATE)
    with Bag(bag, "lab/right") as opened:
        assert [topic.name for topic in opened.find("joint_states", JOINT_STATE)] == ["/lab/right/joint_states"]
    with Bag(bag, "left") as opened:
        assert [topic.name for topic in opened.find("*", JOINT_STATE)] == ["/left/joint_states"]


def test_a_type_that_is_not_installed_is_named(tmp_path):
    for name in ("no_msgs/msg/Thing", "std_msgs/msg/Thing", "std_msgs/String"):
        with pytest.raises(UnknownTypeError, match=name):
            message_type(name)
    assert message_type(STRING).definition.strip().endswith("string data")
