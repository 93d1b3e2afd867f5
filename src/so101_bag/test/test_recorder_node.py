# SPDX-License-Identifier: Apache-2.0
"""The recorder as a process, over DDS, beside publishers of this test."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mcap.reader import make_reader
from sensor_msgs.msg import CompressedImage, JointState
from so101_bag.storage.metadata import qos_from_text
from so101_bag.storage.reader import Bag
from so101_bag.storage.repair import repair
from so101_msgs.msg import EpisodeEvent, PolicySpec
from so101_node.topics import qos

CONFIG = Path(__file__).parents[3] / "config" / "record.yaml"
START_TIMEOUT_S = 60.0


class Arm:
    """Publishers as an arm has them; `spin` publishes at 60 Hz and counts."""

    def __init__(self, peer) -> None:
        self.peer = peer
        node = peer.node
        self.states = node.create_publisher(JointState, "joint_states", qos.JOINT_STATES_WRITER)
        self.images = node.create_publisher(CompressedImage, "top/image_raw/compressed", qos.IMAGE)
        self.spec = node.create_publisher(PolicySpec, "policy_spec", qos.LATCHED)
        self.commands = None
        self.sent = 0
        self.spec.publish(PolicySpec(task="published once, before anybody listened"))

    def publish(self) -> None:
        self.sent += 1
        message = JointState(name=["pan"], position=[float(self.sent)])
        message.header.stamp = self.peer.node.get_clock().now().to_msg()
        self.states.publish(message)
        self.images.publish(CompressedImage(format="jpeg", data=os.urandom(4000)))
        if self.commands is not None:
            self.commands.publish(JointState(name=["pan"], position=[float(self.sent)]))

    def spin(self, until: Callable[[], bool], timeout_s: float = START_TIMEOUT_S) -> bool:
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s and not until():
            self.publish()
            self.peer.spin_until(lambda: False, 1 / 60)
        return until()

    def heard(self) -> bool:
        """Whether the recorder has matched what is published from the begin."""
        return all(p.get_subscription_count() > 0 for p in (self.states, self.images, self.spec))


@pytest.fixture
def arm(peer) -> Arm:
    return Arm(peer)


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `./so101 record`; what still runs at the end of the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def starter(*arguments: str, before: str = "") -> subprocess.Popen[str]:
        code = f"{before}\nimport sys\nfrom so101_bag.record.__main__ import main\nsys.exit(main())"
        command = [sys.executable, "-c", textwrap.dedent(code), *arguments, "--config", str(CONFIG)]
        started.append(subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield starter
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()


def ended(process: subprocess.Popen[str], number: int) -> str:
    process.send_signal(number)
    output = process.communicate(timeout=30)[1]
    assert "Traceback" not in output
    return output


def positions(bag: Bag, name: str) -> list[float]:
    topics = bag.find(name, "sensor_msgs/msg/JointState")
    return [received.message.position[0] for received in bag.messages(topics)]


def test_everything_is_recorded_as_it_appears_with_qos_and_hash_of_its_publishers(record, arm, tmp_path):
    process = record("bag")
    assert arm.spin(arm.heard)
    arm.commands = arm.peer.node.create_publisher(JointState, "joint_command", qos.JOINT_COMMAND)
    events = arm.peer.node.create_publisher(EpisodeEvent, "episode", qos.EVENTS)
    events.publish(EpisodeEvent(event=EpisodeEvent.STARTED, task="late"))
    assert arm.spin(lambda: arm.commands.get_subscription_count() > 0 and events.get_subscription_count() > 0)
    from_here, length_s = arm.sent, 2.0
    end_s = time.monotonic() + length_s
    arm.spin(lambda: time.monotonic() > end_s)
    announced = {
        name: str(arm.peer.node.get_publishers_info_by_topic(name)[0].topic_type_hash)
        for name in ("/joint_states", "/policy_spec", "/episode", "/top/image_raw/compressed")
    }
    output = ended(process, signal.SIGINT)
    assert process.returncode == 0 and "recorded" in output
    with Bag(tmp_path / "bag") as bag:
        hashes = {topic.name: topic.type_hash for topic in bag.topics}
        assert {name: hashes[name] for name in announced} == announced
        states = positions(bag, "joint_states")
        assert set(range(from_here + 1, arm.sent)) <= set(map(int, states)), "reliable messages were lost"
        assert states == sorted(states)
        late = positions(bag, "joint_command")
        assert late and set(range(from_here + 1, arm.sent)) <= set(map(int, late))
        spec = bag.require("policy_spec", "so101_msgs/msg/PolicySpec", "this test")
        assert [r.message.task for r in bag.messages([spec])] == ["published once, before anybody listened"]
        episode = bag.require("episode", "so101_msgs/msg/EpisodeEvent", "this test")
        assert [r.message.task for r in bag.messages([episode])] == ["late"]
        stamps = [
            (received.time_ns, received.message.header.stamp)
            for received in bag.messages(bag.find("joint_states", "sensor_msgs/msg/JointState"))
        ]
    delays_s = [time_ns / 1e9 - stamp.sec - stamp.nanosec / 1e9 for time_ns, stamp in stamps]
    assert all(0.0 <= delay < 1.0 for delay in delays_s), "times are not those of reception"
    with next((tmp_path / "bag").glob("*.mcap")).open("rb") as file:
        channels = {channel.topic: channel for channel in make_reader(file).get_summary().channels.values()}
    offered = {name: qos_from_text(channel.metadata["offered_qos_profiles"])[0] for name, channel in channels.items()}
    assert offered["/policy_spec"]["durability"] == "transient_local"
    assert offered["/joint_states"]["reliability"] == "reliable"
    assert offered["/top/image_raw/compressed"]["reliability"] == "best_effort"


def test_where_nobody_but_itself_is_heard_it_names_its_domain(record, peer):
    soon = "from so101_bag.record import recorder_node\nrecorder_node.NOTHING_FOUND_S = 0.3"
    process = record("bag", "--seconds", "20", before=soon)
    lines = iter(process.stderr.readline, "")
    line = next(line for line in lines if "no robot to record yet" in line)
    assert f"ROS_DOMAIN_ID={os.environ['ROS_DOMAIN_ID']}" in line
    ended(process, signal.SIGINT)


@pytest.mark.long
def test_killed_it_loses_less_than_the_last_second(record, arm, tmp_path):
    process = record("bag")
    assert arm.spin(arm.heard)
    begin = arm.sent
    end_s = time.monotonic() + 5.0
    arm.spin(lambda: time.monotonic() > end_s)
    killed_ns = arm.peer.node.get_clock().now().nanoseconds
    process.kill()
    process.wait()
    done = repair(tmp_path / "bag")
    assert done.changed
    with Bag(tmp_path / "bag") as bag:
        received = list(bag.messages(bag.find("joint_states", "sensor_msgs/msg/JointState")))
    assert (killed_ns - received[-1].time_ns) / 1e9 < 1.0
    numbers = [int(item.message.position[0]) for item in received]
    assert set(range(begin + 1, numbers[-1])) <= set(numbers)


def test_a_publisher_that_offers_less_is_recorded_too(record, arm, peer, tmp_path):
    process = record("bag")
    assert arm.spin(arm.heard)
    weaker = peer.node.create_publisher(JointState, "joint_states", qos.IMAGE)
    assert arm.spin(lambda: weaker.get_subscription_count() > 0)
    end_s = time.monotonic() + 2.0
    while time.monotonic() < end_s:
        weaker.publish(JointState(name=["pan"], position=[-1.0]))
        peer.spin_until(lambda: False, 0.05)
    ended(process, signal.SIGTERM)
    with Bag(tmp_path / "bag") as bag:
        assert -1.0 in positions(bag, "joint_states")


def test_a_full_disk_ends_the_recorder_with_one_line_and_nothing_else(record, arm, tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))"
    process = record("bag", before=limit)
    assert arm.spin(lambda: process.poll() is not None, 90.0), "the recorder goes on"
    output = process.communicate()[1]
    assert process.returncode == 1 and "Traceback" not in output
    lines = [line for line in output.splitlines() if line.startswith("so101 record: ")]
    assert len(lines) == 1
    assert "recording stopped: bag cannot be written: File too large" in lines[0]
    before = arm.sent
    arm.publish()
    assert arm.sent == before + 1
    with Bag(tmp_path / "bag") as bag:
        assert len(positions(bag, "joint_states")) > 10


def test_what_cannot_be_recorded_is_refused_in_one_line(record, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    process = record("full")
    output = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert output.splitlines()[-1].endswith("so101 record: full is not empty: name another folder for the bag")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--repair", "nowhere"], "so101 record: nowhere: no such bag; a bag is a folder with metadata.yaml"),
        (["--config", "nowhere.yaml"], "so101 record: --config nowhere.yaml: no such file"),
        (["--seconds", "-1"], "argument --seconds: -1: must be 0.25 to 1e+07 s"),
        (["--repair", "bag", "--namespace", "left"], "--repair bag: repairs that bag and records nothing"),
        (["--repair", "bag", "--ros2-command"], "--repair bag: repairs that bag and records nothing"),
        (["--ros2-command", "--config", "list.yaml"], "so101 record: --config: parameter file list.yaml"),
        (["--ros2-command", "--config", "text.yaml"], "so101 record: --config: parameter file text.yaml"),
        (["--ros2-command", "--config", "section.yaml"], "so101 record: --config: parameter file section.yaml"),
        (["--ros2-command", "--config", "bytes.yaml"], "so101 record: --config: parameter file bytes.yaml"),
    ],
)
def test_a_wrong_command_line_ends_with_one_line(arguments, line, capsys, tmp_path, monkeypatch):
    from so101_bag.record.__main__ import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.yaml").write_text("[1, 2]")
    (tmp_path / "text.yaml").write_text("recorder")
    (tmp_path / "section.yaml").write_text("recorder: 3")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe")
    try:
        code = main(arguments)
    except SystemExit as ending:
        code = ending.code
    assert code != 0
    [said] = capsys.readouterr().err.splitlines()
    assert line in said
