# SPDX-License-Identifier: Apache-2.0
"""Bags to datasets: episodes, alignment, units; and what LeRobot itself makes of the result."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from bag_maker import JOINTS, START_NS, BagMaker, make_run, pose
from so101_bag.dataset.__main__ import main
from so101_bag.dataset.alignment import grid, newest_before, next_after
from so101_bag.dataset.bag_streams import read_streams
from so101_bag.dataset.episode_frames import UnusableEpisodeError, frames, moments
from so101_bag.dataset.episode_spans import ABORTED, FAILED, STARTED, SUCCEEDED, EpisodeSpan, Marker, episode_spans
from so101_bag.errors import DatasetError
from so101_bag.storage.reader import Bag
from so101_msgs.msg import EpisodeEvent
from so101_node.protocol.units import Units

MS = 1_000_000


# -- episodes ----------------------------------------------------------------------------------------------------------


def test_episodes_lie_between_their_markers():
    markers = [
        Marker(10, STARTED, "a"), Marker(20, SUCCEEDED, "a"), Marker(30, STARTED, "b"), Marker(45, FAILED, "b"),
        Marker(50, STARTED, "c"), Marker(55, ABORTED, "c"),
    ]  # fmt: skip
    assert episode_spans(markers, 0, 100) == [
        EpisodeSpan(10, 20, "a", "succeeded"),
        EpisodeSpan(30, 45, "b", "failed"),
        EpisodeSpan(50, 55, "c", "aborted"),
    ]


def test_an_episode_that_nobody_ended_ends_with_the_next_or_with_the_bag():
    markers = [Marker(5, SUCCEEDED, "before"), Marker(10, STARTED, "a"), Marker(30, STARTED, "b")]
    assert episode_spans(markers, 0, 100) == [
        EpisodeSpan(10, 30, "a", "unfinished"),
        EpisodeSpan(30, 100, "b", "unfinished"),
    ]


def test_a_bag_without_markers_is_one_episode():
    assert episode_spans([], 3, 100) == [EpisodeSpan(3, 100, "", "not marked")]


# -- alignment ---------------------------------------------------------------------------------------------------------


def test_each_frame_has_the_command_that_followed_whatever_the_jitter():
    rng = np.random.default_rng(0)
    exact = 1_000_000_000 + np.round(np.arange(3000) * 1e9 / 30).astype(np.int64)
    commands = exact + rng.integers(-12 * MS, 12 * MS, len(exact))
    times = grid(0, 10**15, 30.0, np.sort(commands))
    assert np.array_equal(next_after(np.sort(commands), times)[: len(exact) - 1], np.arange(len(exact) - 1))


def test_the_newest_sample_is_the_one_at_or_before_the_moment():
    samples = np.array([10, 20, 30])
    assert newest_before(samples, np.array([5, 10, 19, 30, 99])).tolist() == [-1, 0, 0, 2, 2]


def test_a_command_long_after_is_not_paired_with_an_observation():
    commands = np.array([0, 33 * MS, 66 * MS, 5000 * MS])
    assert next_after(commands, np.array([60 * MS, 80 * MS, 4900 * MS, 6000 * MS])).tolist() == [2, 2, 3, 3]


def test_a_grid_of_another_rate_covers_the_same_time():
    commands = np.round(np.arange(90) * 1e9 / 30).astype(np.int64)
    assert len(grid(0, 10**12, 30.0, commands)) == 90
    assert len(grid(0, 10**12, 10.0, commands)) == 31
    assert len(grid(0, 10 * MS, 30.0, commands)) == 0


# -- frames ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run")


def test_frames_hold_lerobots_units_and_what_was_newest(run):
    with Bag(run) as bag:
        streams = read_streams(bag, Units.DEGREES, ())
        times = moments(streams, streams.episodes[0], 30.0, 0.5)
        made = list(frames(streams, times, 0.5))
    assert streams.joint_names == tuple(JOINTS) and list(streams.cameras) == ["top", "wrist"]
    assert len(made) == len(times) == 84
    for time_ns, frame in zip(times, made, strict=True):
        now_s = (int(time_ns) - START_NS) / 1e9
        command, state = np.array(pose(now_s + 0.5 / 30)), np.array(pose(now_s, 0.05))
        assert frame.action.dtype == frame.state.dtype == np.float32
        assert np.allclose(frame.action[:5], np.degrees(command[:5]), atol=0.5)
        assert frame.action[5] == pytest.approx((command[5] + 0.8) / 1.6 * 100, abs=1.5)
        assert np.allclose(frame.state[:5], np.degrees(state[:5]), atol=0.5)
        for camera, number in (("top", 0), ("wrist", 1)):
            red, green, _ = frame.images[camera].reshape(-1, 3).mean(axis=0)
            assert green == pytest.approx(60 * number, abs=6)
            assert (red - 20) / 20 == pytest.approx(now_s - 0.02, abs=0.12)  # brightness rises by 20 a second


def test_arm_joints_may_be_normalized(run):
    with Bag(run) as bag:
        streams = read_streams(bag, Units.NORMALIZED, ("wrist",))
        frame = next(frames(streams, moments(streams, streams.episodes[0], 30.0, 0.5), 0.5))
    assert list(frame.images) == ["wrist"]
    assert frame.action[0] == pytest.approx(pose(0.6)[0] / 1.6 * 100, abs=1.0)


def test_a_camera_that_fell_silent_spoils_the_episode(tmp_path):
    bag = make_run(tmp_path / "run", seconds=2.0, episodes=((0.5, 5.0, 1),))
    with Bag(bag) as opened:
        streams = read_streams(opened, Units.DEGREES, ())
        times = moments(streams, streams.episodes[0], 30.0, 9.0)
        with pytest.raises(UnusableEpisodeError, match=r"no image of camera top for more than 0\.5 s"):
            list(frames(streams, times, 0.5))


def test_what_a_dataset_needs_and_does_not_find_is_named(tmp_path, run):
    with Bag(run) as bag, pytest.raises(DatasetError, match="no images of camera front; it has top, wrist"):
        read_streams(bag, Units.DEGREES, ("front",))
    blind = make_run(tmp_path / "blind", seconds=1.0, cameras=())
    assert main([str(blind), "--out", str(tmp_path / "out")]) == 1
    strange = make_run(tmp_path / "strange", seconds=1.0, joints=("a", "b", "c", "d", "e", "f"))
    assert main([str(run), str(tmp_path / "nowhere")]) == 1
    with Bag(strange) as bag:
        assert read_streams(bag, Units.DEGREES, ()).joint_names == ("a", "b", "c", "d", "e", "f")


def test_joints_that_the_calibration_does_not_know_are_named(tmp_path):
    from sensor_msgs.msg import JointState
    from so101_bag.errors import BagError
    from so101_msgs.msg import JointLimits

    maker = BagMaker(tmp_path / "run")
    limits = JointLimits(joint_names=["pan", "lift"], range_lower=[-1.0] * 2, range_upper=[1.0] * 2, drive_mode=[0, 0])
    maker.write("joint_limits", "so101_msgs/msg/JointLimits", limits, 0.0)
    maker.write("joint_states", "sensor_msgs/msg/JointState", JointState(name=["pan"], position=[0.0]), 0.1)
    with Bag(maker.close()) as bag, pytest.raises(BagError, match="lacks joint lift of joint_limits"):
        read_streams(bag, Units.DEGREES, ())


# -- the whole way, through LeRobot ------------------------------------------------------------------------------------


@pytest.mark.long
def test_bags_become_a_dataset_that_lerobot_loads_and_trains_on(tmp_path, capsys):
    import torch
    from lerobot.configs import FeatureType, PolicyFeature
    from lerobot.datasets.lerobot_dataset import LeRobotDataset
    from lerobot.policies import make_pre_post_processors
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy

    good, bad = EpisodeEvent.SUCCEEDED, EpisodeEvent.FAILED
    first = make_run(tmp_path / "first", seconds=6.0, episodes=((0.5, 2.5, good), (3.0, 5.5, bad)), size=(128, 96))
    second = make_run(tmp_path / "second", seconds=4.0, size=(128, 96))
    out = tmp_path / "dataset"
    assert main([str(first), str(second), "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "first, episode 0: 54 frames, succeeded, 'wave the arm'"
    assert lines[1] == "first, episode 1: left out, failed"
    assert lines[2] == "second, episode 0: 84 frames, succeeded, 'wave the arm'"
    assert lines[3].startswith(f"{out}: 2 episodes, 138 frames, 4.6 s, converted in ")
    info = json.loads((out / "meta" / "info.json").read_text())
    assert info["codebase_version"].startswith("v3") and info["fps"] == 30
    names = info["features"]["action"]["names"]
    assert names == [f"{joint}.pos" for joint in JOINTS] == info["features"]["observation.state"]["names"]

    deltas = {"action": [index / 30 for index in range(10)]}
    dataset = LeRobotDataset("local/dataset", root=out, delta_timestamps=deltas)
    assert (dataset.num_episodes, len(dataset)) == (2, 138)
    assert set(dataset.meta.video_keys) == {"observation.images.top", "observation.images.wrist"}
    for index in (0, 40, 53, 54, 100, 137):
        item = dataset[index]
        begin_s, offset = (0.6, 0) if index < 54 else (0.6, 54)
        now_s = begin_s - 0.5 / 30 + (index - offset) / 30
        red = float(item["observation.images.top"][0].mean()) * 255
        assert (red - 20) / 20 == pytest.approx(now_s, abs=0.3), index  # the image belongs to this moment
        assert item["observation.state"][0] == pytest.approx(np.degrees(pose(now_s, 0.05)[0]), abs=0.5)
        assert item["action"].shape == (10, 6) and item["task"] == "wave the arm"

    images = PolicyFeature(FeatureType.VISUAL, (3, 96, 128))
    config = ACTConfig(
        device="cpu", push_to_hub=False, chunk_size=10, n_action_steps=10, dim_model=32, n_heads=2, dim_feedforward=32,
        n_encoder_layers=1, use_vae=False, pretrained_backbone_weights=None,
        input_features={
            "observation.state": PolicyFeature(FeatureType.STATE, (6,)),
            "observation.images.top": images, "observation.images.wrist": images,
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (6,))},
    )  # fmt: skip
    policy = ACTPolicy(config)
    preprocess, _ = make_pre_post_processors(config, dataset_stats=dataset.meta.stats)
    batch = next(iter(torch.utils.data.DataLoader(dataset, batch_size=4)))
    optimizer = torch.optim.SGD(policy.parameters(), lr=1e-3)
    loss, _ = policy.forward(preprocess(batch))
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss) and 0 < loss.item() < 10

    assert main([str(first), "--out", str(out)]) == 1
    assert f"--out {out} exists: remove it, name another folder, or add to it with --append" in capsys.readouterr().err
    only_failed = make_run(tmp_path / "failed", seconds=2.0, episodes=((0.2, 1.8, bad),))
    assert main([str(only_failed), "--out", str(tmp_path / "none")]) == 1
    assert "not one episode could be used: nothing was written (--keep all takes" in capsys.readouterr().err
    other_size = make_run(tmp_path / "other", seconds=2.0, episodes=((0.2, 1.8, good),), size=(64, 48))
    assert main([str(second), str(other_size), "--out", str(tmp_path / "mixed")]) == 1
    assert "do not go with those before" in capsys.readouterr().err
    assert not list(tmp_path.glob(".*.part")) and not (tmp_path / "mixed").exists()


def test_no_encoder_gives_this_process_a_real_time_priority(tmp_path: Path) -> None:
    """SVT-AV1 does where it may, which is beside a robot's control loop."""
    from so101_bag.dataset.video_encoder import VideoEncoder  # imports LeRobot

    before = os.sched_getscheduler(0)
    for codec in ("h264", "libsvtav1"):
        encoder = VideoEncoder(30, codec, "yuv420p", {})
        encoder.start_episode(["top"], tmp_path)
        for _ in range(40):
            encoder.feed_frame("top", np.zeros((64, 64, 3), np.uint8))
        threads = {int(task.name) for task in Path("/proc/self/task").iterdir()}
        found = {os.sched_getscheduler(thread) for thread in threads}
        assert os.SCHED_FIFO not in found and os.SCHED_RR not in found, codec
        ((path, _),) = encoder.finish_episode().values()
        assert path.stat().st_size > 0
    assert os.sched_getscheduler(0) == before
