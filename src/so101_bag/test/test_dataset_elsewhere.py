# SPDX-License-Identifier: Apache-2.0
"""Datasets of bags from elsewhere, added to datasets that are there, and pushed."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from bag_maker import JOINTS, START_NS, BagMaker, make_run, pose
from foreign_bag import MAPPING, make_foreign, raw
from sensor_msgs.msg import Image, JointState
from so101_bag.dataset.__main__ import main
from so101_bag.dataset.bag_streams import read_streams
from so101_bag.dataset.draft_mapping import draft
from so101_bag.dataset.episode_frames import UnusableEpisodeError, frames, moments
from so101_bag.dataset.existing_dataset import check_features, check_fit, exchange, linked_copy, read_info
from so101_bag.dataset.lerobot_writer import LeRobotWriter, Target
from so101_bag.dataset.mapping import Mapping, read_mapping
from so101_bag.errors import BagError, DatasetError
from so101_bag.storage.reader import Bag
from so101_node.protocol.units import Units

HALF = np.pi * 2095 / 4095  # rad, half of each calibrated range


@pytest.fixture(scope="module")
def bag(tmp_path_factory) -> Path:
    return make_foreign(tmp_path_factory.mktemp("foreign") / "run")


def made(bag: Path, mapping: Mapping, units: Units = Units.DEGREES):
    with Bag(bag) as opened:
        streams = read_streams(opened, units, (), mapping)
        times = moments(streams, streams.episodes[0], 30.0, 0.5)
        return streams, times, list(frames(streams, times, 0.5))


# -- bags from elsewhere -----------------------------------------------------------------------------------------------


def test_a_bag_from_elsewhere_becomes_the_frames_that_ours_would(bag):
    streams, times, found = made(bag, read_mapping(bag.parent / "mapping.yaml"))
    assert streams.joint_names == tuple(JOINTS) and list(streams.cameras) == ["high"] and len(found) > 80
    assert [span.outcome for span in streams.episodes] == ["not marked"]
    for time_ns, frame in zip(times, found, strict=True):
        now_s = (int(time_ns) - START_NS) / 1e9
        command, state = np.array(pose(now_s + 0.5 / 30)), np.array(pose(now_s, 0.05))
        assert np.allclose(frame.state[:5], np.degrees(state[:5]), atol=1.3)
        assert np.allclose(frame.action[:5], np.degrees(command[:5]), atol=1.3)
        assert frame.action[5] == pytest.approx((command[5] + HALF) / (2 * HALF) * 100, abs=2.0)
        red, green, blue = frame.images["high"].reshape(-1, 3).mean(axis=0)
        assert (red - 20) / 20 == pytest.approx(now_s, abs=0.1) and green == blue == 0


def test_where_nothing_commands_the_next_state_is_the_action(bag):
    mapping = replace(read_mapping(bag.parent / "mapping.yaml"), joint_command=Mapping().joint_command)
    mapping = replace(mapping, joint_command=(type(mapping.joint_command[0])("state"),))
    _, times, found = made(bag, mapping)
    for time_ns, frame in zip(times, found, strict=True):
        now_s = (int(time_ns) - START_NS) / 1e9
        assert frame.action[0] == pytest.approx(np.degrees(pose(now_s + 1 / 30, 0.05)[0]), abs=1.3)
        assert not np.allclose(frame.action, frame.state, atol=1e-6)


@pytest.mark.parametrize("unit", ["deg", "lerobot_degrees", "lerobot_normalized"])
def test_positions_in_other_units_come_out_the_same(tmp_path, unit):
    def told(value: float, joint: int) -> float:
        gripper, percent = joint == 5, value / HALF * 100
        if unit == "lerobot_normalized":
            return 50 + percent / 2 if gripper else percent
        return 50 + percent / 2 if gripper and unit == "lerobot_degrees" else float(np.degrees(value))

    bag = make_foreign(tmp_path / "run", seconds=0.1)
    maker = BagMaker(tmp_path / "other")
    for index in range(60):
        values = [told(value, joint) for joint, value in enumerate(pose(index / 60))]
        for topic in ("joint_states", "joint_command"):
            maker.write(topic, "sensor_msgs/msg/JointState", JointState(name=JOINTS, position=values), index / 60)
        maker.write("cam/image_raw", "sensor_msgs/msg/Image", raw(index / 60), index / 60)
    mapping = Mapping(unit=unit, calibration=bag.parent / "follower.json", own=False)
    streams, _, _ = made(maker.close(), mapping)
    assert list(streams.cameras) == ["cam"]
    for index, row in enumerate(streams.states.rows):
        assert row == pytest.approx(pose(index / 60), abs=1e-9)


def packed(encoding: str) -> Image:
    """Red, as cameras pack it."""
    rgb = np.zeros((24, 32, 3), np.uint8)
    rgb[..., 0] = 200
    if encoding.startswith(("yu", "uyvy")):
        y, u, v = cv2.cvtColor(rgb[:1, :1], cv2.COLOR_RGB2YUV)[0, 0].tolist()
        y, u, v = 16 + round(y * 219 / 255), u, v
        yuy2 = np.tile(np.array([y, 90, y, 240], np.uint8), (24, 16))
        data = yuy2 if encoding in ("yuyv", "yuv422_yuy2") else yuy2.reshape(24, 32, 2)[..., ::-1].copy()
        return Image(height=24, width=32, encoding=encoding, step=64, data=data.tobytes())
    pixels = {
        "rgb8": rgb, "bgr8": rgb[..., ::-1], "8UC3": rgb[..., ::-1], "mono8": rgb[..., 0], "8UC1": rgb[..., 0],
        "rgba8": np.dstack([rgb, rgb[..., :1]]), "bgra8": np.dstack([rgb[..., ::-1], rgb[..., :1]]),
        "bayer_rggb8": np.tile(np.array([[200, 0], [0, 0]], np.uint8), (12, 16)),
    }[encoding]  # fmt: skip
    padded = np.zeros((24, 160), np.uint8)  # rows longer than their pixels, as some drivers align them
    flat = np.ascontiguousarray(pixels).reshape(24, -1)
    padded[:, : flat.shape[1]] = flat
    return Image(height=24, width=32, encoding=encoding, step=160, data=padded.tobytes())


@pytest.mark.parametrize(
    "encoding",
    ["rgb8", "bgr8", "8UC3", "rgba8", "bgra8", "mono8", "8UC1", "bayer_rggb8", "yuv422_yuy2", "yuyv", "yuv422", "uyvy"],
)
def test_raw_images_of_every_usual_encoding_keep_their_colours(tmp_path, encoding):
    bag = make_foreign(tmp_path / "run", seconds=0.4, image=lambda _: packed(encoding))
    _, _, found = made(bag, read_mapping(tmp_path / "mapping.yaml"))
    red, green, blue = found[0].images["high"][4:-4, 4:-4].reshape(-1, 3).mean(axis=0)
    assert red > 150 and found[0].images["high"].shape == (24, 32, 3)
    grey = encoding in ("mono8", "8UC1")
    assert (green == blue == red) if grey else (green < 60 and blue < 60)


@pytest.mark.parametrize(
    ("image", "line"),
    [
        (
            Image(height=24, width=32, encoding="16UC1", step=64, data=bytes(24 * 64)),
            "image encoding '16UC1': expected one of rgb8",
        ),
        (
            Image(height=24, width=32, encoding="nv21", step=32, data=bytes(24 * 48)),
            "image encoding 'nv21': expected one",
        ),
        (
            Image(height=24, width=32, encoding="rgb8", step=96, data=bytes(99)),
            "raw image of 99 bytes with step 96: too few for 32 x 24 rgb8, 24 rows of at least 96 bytes",
        ),
        (Image(), "image encoding '': expected one of rgb8"),
    ],
)
def test_an_image_that_cannot_be_used_is_told_with_what_it_is(tmp_path, image, line):
    bag = make_foreign(tmp_path / "run", seconds=0.4, image=lambda _: image)
    with pytest.raises(UnusableEpisodeError, match=f"an image of camera high: {line}"):
        made(bag, read_mapping(tmp_path / "mapping.yaml"))


def test_a_draft_names_what_is_there_and_corrected_it_is_a_mapping(bag, tmp_path, capsys):
    with Bag(bag) as opened:
        content = yaml.safe_load(draft(opened))
    assert content["joint_states"] == "/follower/joint_states"
    assert content["joint_command"] in ("/arm_controller/joint_trajectory", "/gripper_controller/commands")
    assert content["cameras"] == {"cam_high": "/cam_high/color/image_raw"} and content["unit"] == "rad"
    assert content["joints"]["shoulder_pan"] == "joint_1" and content["calibration"] == "FILE"
    target = tmp_path / "mapping.yaml"
    assert main([str(bag), "--draft-mapping", str(target)]) == 0
    assert "read and correct it, then ./so101 dataset" in capsys.readouterr().out
    assert read_mapping(target).joints["gripper"].name == "jaw"
    assert main([str(bag), "--draft-mapping", str(target)]) == 1
    assert "exists: name another file" in capsys.readouterr().err


def test_without_a_mapping_the_line_says_how_to_begin(bag, capsys):
    assert main([str(bag), "--out", "/nowhere/at/all"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no messages on joint_limits" in line and "--calibration FILE" in line and "--draft-mapping" in line
    assert main([str(bag), "--calibration", str(bag.parent / "follower.json"), "--out", "/nowhere/at/all"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "lacks joint shoulder_pan" in line and "--draft-mapping mapping.yaml" in line


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"joint_state": "/x"}, "unknown key 'joint_state', meant joint_states?"),
        (
            {"joint_states": "/follower/joint_stats"},
            "no messages on /follower/joint_stats; of that kind there is /foll",
        ),
        (
            {"joint_states": "/cam_high/color/image_raw"},
            "is sensor_msgs/msg/Image, expected sensor_msgs/msg/JointState or",
        ),
        ({"joint_states": 3}, "joint_states: expected a topic"),
        ({"joint_command": "/gripper_controller/commands"}, "has 1 values without names, expected 6"),
        ({"joint_command": "/arm_controller/joint_trajectory"}, "lacks joint gripper"),
        (
            {"joint_command": {"topic": "/gripper_controller/commands", "joints": ["claw"]}},
            "claw is none of the joints",
        ),
        ({"cameras": {"a/b": "/x"}}, "'a/b' cannot be the name of a camera"),
        ({"cameras": {"top": "/nothing"}}, "no messages on /nothing; of that kind there is /cam_high/color/image_raw"),
        ({"cameras": {"a": "/x", "b": "/x"}}, "a and b are both /x: one image cannot be two cameras'"),
        ({"cameras": ["/x"]}, "cameras: expected a topic for each name"),
        ({"unit": "degree"}, "unit: expected one of rad, deg, lerobot_degrees, lerobot_normalized, got 'degree'"),
        ({"unit": "deg", "joints": {}}, "lacks joint shoulder_pan"),
        ({"joints": {"shouldr_pan": "joint_1"}}, "'shouldr_pan' is none of our joints, meant shoulder_pan?"),
        ({"joints": {"gripper": "joint_1", "shoulder_pan": "joint_1"}}, "and gripper are both the bag's joint_1"),
        ({"joints": {"gripper": {"name": "jaw", "scale": 0}}}, "gripper: scale must be a number other than 0"),
        ({"joints": {"gripper": {"nam": "jaw"}}}, "gripper: expected a name, or"),
        ({"calibration": "other.json"}, "cannot read calibration"),
        ({"task": 7}, "task: expected a sentence"),
    ],
)
def test_a_mapping_that_does_not_fit_says_which_part_and_what_is_there(bag, tmp_path, capsys, change, line):
    shutil.copy(bag.parent / "follower.json", tmp_path)
    (tmp_path / "mapping.yaml").write_text(yaml.safe_dump({**yaml.safe_load(MAPPING), **change}))
    assert main([str(bag), "--mapping", str(tmp_path / "mapping.yaml"), "--out", str(tmp_path / "out")]) == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert line in error


@pytest.mark.parametrize("text", ["", "- a", "joints: [", "\x00", "unit: rad\nunit: deg"])
def test_a_mapping_that_is_none_is_told_in_one_line(bag, tmp_path, capsys, text):
    (tmp_path / "mapping.yaml").write_text(text)
    assert main([str(bag), "--mapping", str(tmp_path / "mapping.yaml")]) == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert f"--mapping {tmp_path / 'mapping.yaml'}" in error
    assert main([str(bag), "--mapping", str(tmp_path / "nowhere.yaml")]) == 1
    assert "nowhere.yaml cannot be read: No such file" in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"unit": "lerobot_normalized"}, {"scale": 9.0}, {"offset": 3.0}])
def test_positions_that_cannot_be_of_this_arm_are_refused_with_both_ranges(tmp_path, change):
    bag = make_foreign(tmp_path / "run", seconds=3.0)
    mapping = read_mapping(tmp_path / "mapping.yaml")
    if "unit" in change:
        maker = BagMaker(tmp_path / "big")  # degrees, of which somebody said that they are percent of the range
        for index in range(60):
            state = JointState(name=JOINTS, position=[150.0 * index / 60, 0, 0, 0, 0, 50])
            maker.write("joint_states", "sensor_msgs/msg/JointState", state, index / 60)
            maker.write("joint_command", "sensor_msgs/msg/JointState", state, index / 60)
        bag, mapping = maker.close(), Mapping(calibration=mapping.calibration, own=False, **change)
    else:
        joint = replace(mapping.source("shoulder_lift"), **change)
        mapping = replace(mapping, joints={**mapping.joints, "shoulder_lift": joint})
    with (
        Bag(bag) as opened,
        pytest.raises(DatasetError, match=r"goes from .* to .*, its calibrated range is .* `scale`"),
    ):
        read_streams(opened, Units.DEGREES, (), mapping)


@pytest.mark.parametrize("unit", ["deg", "lerobot_degrees", "lerobot_normalized"])
def test_radians_are_not_taken_for_degrees_or_shares_of_the_range(tmp_path, unit):
    bag = make_foreign(tmp_path / "run", seconds=1.0)
    mapping = replace(read_mapping(tmp_path / "mapping.yaml"), unit=unit)
    with Bag(bag) as opened, pytest.raises(DatasetError, match=f"these are radians .*, not {unit}: set `unit`"):
        read_streams(opened, Units.DEGREES, (), mapping)


@pytest.mark.parametrize(
    ("later_s", "line"),
    [
        (2.0, "no joint_states for 2.*more than --max-gap 0.5"),
        (1.5e9, "for 15000000.. s .a pause, or the recorder's cl"),
    ],
)
def test_a_pose_that_was_measured_long_ago_is_not_learnt_as_the_present_one(tmp_path, later_s, line):
    """The driver was silent in the middle; or the clock of a computer without one was set."""
    bag = make_foreign(tmp_path / "run", seconds=4.0)
    maker = BagMaker(tmp_path / "gap")
    with Bag(bag) as opened:
        kinds = {topic.name: topic.type_name for topic in opened.topics}
        for received in opened.messages(opened.topics):
            time_s = (received.time_ns - START_NS) / 1e9
            silent = later_s < 10 and "joint_states" in received.topic and 1 < time_s < 1 + later_s
            if not silent:
                time_s += later_s if later_s > 10 and time_s > 1 else 0
                maker.write(received.topic[1:], kinds[received.topic], received.message, time_s)
    with pytest.raises(UnusableEpisodeError, match=line):
        made(maker.close(), read_mapping(tmp_path / "mapping.yaml"))


def test_commands_that_are_slower_than_the_frames_are_told(tmp_path, capsys):
    bag = str(make_run(tmp_path / "run", seconds=2.0, episodes=((0.1, 1.9, 1),)))
    assert main([bag, "--out", str(tmp_path / "fast"), "--fps", "60"]) == 0
    assert "its commands come at 30.0/s, so each is the action of 2 frames: --fps 30?" in capsys.readouterr().out
    assert main([bag, "--out", str(tmp_path / "even")]) == 0
    assert "its commands come" not in capsys.readouterr().out


def test_a_bag_that_begins_before_its_cameras_do_begins_with_them(tmp_path):
    bag = make_foreign(tmp_path / "run", seconds=2.0, image=raw)
    late = BagMaker(tmp_path / "late")
    with Bag(bag) as opened:
        for topic in opened.topics:
            for received in opened.messages([topic]):
                time_s = (received.time_ns - START_NS) / 1e9
                if "cam" not in topic.name or time_s > 1.0:
                    late.write(topic.name.lstrip("/"), topic.type_name, received.message, time_s)
    _, times, found = made(late.close(), read_mapping(tmp_path / "mapping.yaml"))
    assert len(found) == len(times) > 25 and (int(times[0]) - START_NS) / 1e9 == pytest.approx(1.03, abs=0.05)


def test_raw_images_under_our_names_need_no_mapping_and_compressed_ones_go_first(tmp_path):
    bag = make_run(tmp_path / "run", seconds=0.5, cameras=("top",))
    maker = BagMaker(tmp_path / "both")
    with Bag(bag) as opened:
        for topic in opened.topics:
            for received in opened.messages([topic]):
                time_s = (received.time_ns - START_NS) / 1e9
                maker.write(topic.name.lstrip("/"), topic.type_name, received.message, time_s)
    maker.write("top/image_raw", "sensor_msgs/msg/Image", raw(0.1), 0.1)
    maker.write("wrist/image_raw", "sensor_msgs/msg/Image", raw(0.1), 0.1)
    with Bag(maker.close()) as opened:
        streams = read_streams(opened, Units.DEGREES, ())
    assert {camera: topic.name for camera, topic in streams.cameras.items()} == {
        "top": "/top/image_raw/compressed",
        "wrist": "/wrist/image_raw",
    }


def test_the_whole_bag_may_be_one_episode_whatever_its_markers_say(tmp_path):
    bag = make_run(tmp_path / "run", seconds=3.0, episodes=((0.2, 1.0, 1), (1.2, 2.8, 2)))
    with Bag(bag) as opened:
        assert len(read_streams(opened, Units.DEGREES, ()).episodes) == 2
        (span,) = read_streams(opened, Units.DEGREES, (), whole=True).episodes
    assert (span.outcome, span.task) == ("not marked", "wave the arm")
    assert span.end_ns - span.start_ns > 2_900_000_000


def test_a_raw_trajectory_of_several_points_is_refused(bag, tmp_path):
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

    maker = BagMaker(tmp_path / "run")
    maker.write("joint_states", "sensor_msgs/msg/JointState", JointState(name=JOINTS, position=[0.0] * 6), 0.0)
    plan = JointTrajectory(joint_names=JOINTS, points=[JointTrajectoryPoint(positions=[0.0] * 6)] * 2)
    maker.write("joint_command", "trajectory_msgs/msg/JointTrajectory", plan, 0.1)
    mapping = Mapping(calibration=bag.parent / "follower.json")
    with (
        Bag(maker.close()) as opened,
        pytest.raises(DatasetError, match="a trajectory of 2 points: only a stream of sin"),
    ):
        read_streams(opened, Units.DEGREES, (), mapping)


# -- a dataset that is there -------------------------------------------------------------------------------------------

FEATURES = {
    "observation.state": {"dtype": "float32", "shape": (6,), "names": JOINTS},
    "observation.images.top": {"dtype": "video", "shape": (48, 64, 3), "names": ["height", "width", "channels"]},
}


@pytest.fixture
def dataset(tmp_path) -> Path:
    folder = tmp_path / "dataset"
    (folder / "meta").mkdir(parents=True)
    (folder / "videos").mkdir()
    (folder / "videos" / "file.mp4").write_bytes(b"images")
    features = {**{key: {**value, "shape": list(value["shape"])} for key, value in FEATURES.items()}, "index": {}}
    info = {"codebase_version": "v3.0", "fps": 30, "robot_type": "so_follower", "features": features}
    (folder / "meta" / "info.json").write_text(json.dumps(info))
    return folder


def test_a_dataset_that_fits_is_copied_without_taking_room_and_exchanged_at_the_end(dataset, tmp_path):
    info = read_info(dataset)
    check_fit(dataset, info, 30, "so101_follower", "degrees")  # LeRobot gave the same arm another name
    check_features(dataset, info, FEATURES)
    work = tmp_path / ".dataset.part"
    linked_copy(dataset, work)
    assert (work / "videos" / "file.mp4").samefile(dataset / "videos" / "file.mp4")
    (work / "meta" / "info.json").write_text("{}")
    assert read_info(dataset) == info
    exchange(work, dataset)
    assert (dataset / "meta" / "info.json").read_text() == "{}"
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


@pytest.mark.parametrize("append", [True, False])
def test_an_exchange_that_was_cut_off_is_undone(dataset, tmp_path, append):
    dataset.rename(tmp_path / ".dataset.before")
    target = Target(dataset, 30, "h264", "degrees", append=append)
    if append:
        LeRobotWriter(target)
    else:  # a new one in its place would bury it
        with pytest.raises(DatasetError, match="exists: remove it"):
            LeRobotWriter(target)
    assert read_info(dataset)["fps"] == 30


def test_what_a_killed_exchange_left_behind_is_in_nobodys_way(dataset, tmp_path):
    work = tmp_path / ".dataset.part"
    linked_copy(dataset, work)
    (tmp_path / ".dataset.before" / "meta").mkdir(parents=True)
    exchange(work, dataset)
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((15, "so101_follower", "degrees"), "30 frames a second, --fps is 15: use --fps 30"),
        (
            (30, "koch_follower", "degrees"),
            "robot_type so_follower, the bags are of koch_follower: .*--robot-type so_fol",
        ),
        ((30, "so101_follower", "normalized"), "is in degrees, --units is normalized: use --units degrees"),
    ],
)
def test_what_differs_from_the_dataset_is_named_with_what_to_type(dataset, arguments, line):
    stats = {"action": {"min": [-131.0, 0], "max": [20.0, 99]}}  # no percentage of a range goes beyond 100
    (dataset / "meta" / "stats.json").write_text(json.dumps(stats))
    with pytest.raises(DatasetError, match=line):
        check_fit(dataset, read_info(dataset), *arguments)


def test_features_that_differ_are_all_named(dataset):
    other = {
        "observation.state": {**FEATURES["observation.state"], "names": JOINTS[::-1]},
        "observation.images.wrist": FEATURES["observation.images.top"],
    }
    with pytest.raises(
        DatasetError,
        match=r"lacks observation\.images\.wrist; .*state has names shoulder_pan, .* there, gripper, .*; the bags lack",
    ):
        check_features(dataset, read_info(dataset), other)
    small = {**FEATURES, "observation.images.top": {**FEATURES["observation.images.top"], "shape": (24, 32, 3)}}
    with pytest.raises(DatasetError, match="top has shape 48x64x3 there, 24x32x3 here"):
        check_features(dataset, read_info(dataset), small)


@pytest.mark.parametrize(
    ("info", "line"),
    [
        (None, "is not a LeRobotDataset"),
        ("{", "cannot be read"),
        ("{}", "cannot be read"),
        ('{"codebase_version": "v2.1", "features": {}}', "has format v2.1, expected v3.x: convert it"),
    ],
)
def test_what_is_no_dataset_is_not_appended_to(dataset, tmp_path, capsys, info, line):
    path = dataset / "meta" / "info.json"
    path.unlink() if info is None else path.write_text(info)
    bag = make_run(tmp_path / "run", seconds=1.0, episodes=((0.1, 0.9, 1),))
    assert main([str(bag), "--append", "--out", str(dataset)]) == 1
    assert line in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "required: BAG"),
        (["--push", "me/x"], "--push without BAG needs --out"),
        (["bag", "--append"], "--append needs --out"),
        (["bag", "--private"], "--private goes with --push"),
        (["a", "b", "--draft-mapping", "x"], "--draft-mapping goes with one BAG"),
    ],
)
def test_options_that_lack_their_other_half_are_refused(capsys, arguments, line):
    with pytest.raises(SystemExit):
        main(arguments)
    [said] = capsys.readouterr().err.splitlines()
    assert line in said


@pytest.mark.parametrize(
    ("repo_id", "environment", "line"),
    [
        ("me", {}, "expected owner/name"),
        ("me/x y", {}, "not the id of a repository"),
        ("me/x", {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        ("me/x", {}, "nobody is logged in to the hub: `hf auth login`"),
    ],
)
def test_what_keeps_a_dataset_from_being_pushed_is_said_before_the_conversion(tmp_path, repo_id, environment, line):
    own = {name: value for name, value in os.environ.items() if name not in ("HF_TOKEN", "HF_HUB_OFFLINE")}
    environment = {**own, "HF_HOME": str(tmp_path), **environment}
    command = [sys.executable, "-m", "so101_bag.dataset", "nowhere", "--push", repo_id]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and line in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.long
def test_a_foreign_bag_is_appended_to_a_dataset_and_failures_leave_it_as_it_was(tmp_path, monkeypatch, capsys):
    """Through LeRobot; what is written in processes of their own: what those print is part of it."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    def dataset(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "so101_bag.dataset", *arguments]
        return subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, cwd=tmp_path
        )

    bag = make_foreign(tmp_path / "run")
    given = [str(bag), "--mapping", "mapping.yaml", "--out", "data"]
    done = dataset(*given)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "torchcodec" not in done.stderr
    assert len(done.stdout.splitlines()) == 2 and "'Wave the arm'" in done.stdout
    before = content(tmp_path / "data")

    monkeypatch.chdir(tmp_path)
    other = make_run(tmp_path / "other", seconds=1.0, episodes=((0.1, 0.9, 1),))
    for wrong, line in (
        ([*given, "--append", "--fps", "15"], "use --fps 30"),
        ([*given, "--append", "--units", "normalized"], "use --units degrees"),
        ([str(other), "--out", "data", "--append"], "it lacks observation.images.top"),
    ):
        assert main(wrong) == 1
        said = capsys.readouterr().err
        assert line in said and len(said.splitlines()) == 1
    assert content(tmp_path / "data") == before and not list(tmp_path.glob(".*"))

    (tmp_path / "link").symlink_to("data")
    given[-1] = "link"  # the dataset is on another disk
    done = dataset(*given, "--append", "--task", "Wave again", "--robot-type", "so_follower")
    assert (tmp_path / "link").is_symlink()
    assert done.returncode == 0 and "appended" in done.stdout, done.stderr
    after = content(tmp_path / "data")
    assert all(after[name] == data for name, data in before.items() if not name.startswith("meta/"))
    found = LeRobotDataset("local/data", root=tmp_path / "data", video_backend="pyav")
    assert found.num_episodes == 2 and found.meta.total_frames == len(found) == 2 * found.meta.episodes[0]["length"]
    first, second = found[5], found[len(found) // 2 + 5]
    assert (first["task"], second["task"]) == ("Wave the arm", "Wave again")
    assert np.allclose(first["action"], second["action"])
    assert np.allclose(first["observation.images.high"], second["observation.images.high"], atol=0.05)
    assert not list(tmp_path.glob(".*"))

    unreachable = {
        "HF_HUB_OFFLINE": "0",
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_TOKEN": "hf_none",
        "HF_HOME": str(tmp_path / "home"),
    }
    done = dataset("--out", "data", "--push", "me/data", **unreachable)
    assert done.returncode == 1 and "the hub cannot be reached" in done.stderr, done.stderr
    assert "again with: ./so101 dataset --out data --push me/data" in done.stderr.splitlines()[-1]
    assert content(tmp_path / "data") == after


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_our_own_bags_still_need_nothing(tmp_path):
    bag = make_run(tmp_path / "run", seconds=1.0, cameras=())
    with Bag(bag) as opened, pytest.raises((BagError, DatasetError), match=r"no images on \*/image_raw/compressed"):
        read_streams(opened, Units.DEGREES, ())
