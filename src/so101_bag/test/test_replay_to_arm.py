# SPDX-License-Identifier: Apache-2.0
"""`replay --to arm`: from where the arm holds through the recorded commands, and the virtual arm that goes this way."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from bag_maker import BagMaker, make_run, pose
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import JointState
from so101_bag.errors import BagError
from so101_bag.replay import plots
from so101_bag.replay.__main__ import main
from so101_bag.replay.arm_replay import COMMANDS, read_motion
from so101_bag.replay.arm_trajectory import approach, plan, split_stretches
from so101_bag.replay.options import parse
from so101_bag.storage.reader import Bag

PERIOD_S = 1 / 30


def test_commands_are_played_as_they_were_recorded_after_a_slow_start():
    times = np.arange(60) * PERIOD_S
    commands = np.stack([np.sin(times), np.cos(times)], axis=1)
    way = plan(split_stretches(times, commands), np.array([0.5, 0.0]), PERIOD_S, 0.5)
    playing = np.isfinite(way.recorded_s)
    assert np.array_equal(way.rows[playing], commands)
    assert np.allclose(way.recorded_s[playing], times)
    assert np.array_equal(way.rows[0], [0.5, 0.0])
    before = way.rows[: int(np.flatnonzero(playing)[0])]
    assert np.abs(np.diff(before, axis=0)).max() <= 0.5 * PERIOD_S * 1.01
    assert np.array_equal(before[-1], commands[0])


def test_jitter_of_the_recording_neither_skips_nor_doubles_a_command():
    rng = np.random.default_rng(1)
    times = np.arange(300) * PERIOD_S + rng.uniform(-0.007, 0.007, 300)
    commands = np.arange(300.0)[:, None]
    way = plan(split_stretches(times - times[0], commands), np.zeros(1), PERIOD_S, 2.0)
    played = way.rows[np.isfinite(way.recorded_s)][:, 0]
    assert np.abs(np.diff(played)).max() <= 2 and len(np.unique(played)) > 290


def test_a_pause_of_the_recording_begins_a_new_slow_start():
    times = np.concatenate([np.arange(30), np.arange(30) + 200]) * PERIOD_S
    commands = np.concatenate([np.zeros(30), np.full(30, 1.0)])[:, None]
    stretches = split_stretches(times, commands)
    assert [len(stretch.times) for stretch in stretches] == [30, 30]
    assert stretches[1].start_s == pytest.approx(200 * PERIOD_S)
    way = plan(stretches, np.zeros(1), PERIOD_S, 0.5)
    assert np.abs(np.diff(way.rows, axis=0)).max() <= 0.5 * PERIOD_S * 1.01


@given(
    start=st.lists(st.floats(-3, 3), min_size=6, max_size=6),
    goal=st.lists(st.floats(-3, 3), min_size=6, max_size=6),
    speed=st.floats(0.05, 2.0),
)
def test_the_motion_to_the_first_row_is_never_faster_than_set_and_ends_there(start, goal, speed):
    rows = approach(np.array(start), np.array(goal), PERIOD_S, speed)
    assert np.allclose(rows[0], start) and np.allclose(rows[-1], goal)
    assert np.abs(np.diff(rows, axis=0)).max() <= speed * PERIOD_S * 1.001 + 1e-9
    low, high = np.minimum(start, goal) - 1e-9, np.maximum(start, goal) + 1e-9
    assert (rows >= low).all() and (rows <= high).all()


def test_commands_are_read_in_order_with_their_times(tmp_path):
    with Bag(make_run(tmp_path / "run", seconds=2.0, episodes=((0.2, 1.8, 1),))) as bag:
        motion, _ = read_motion(bag, *COMMANDS)
    assert motion.times[0] == 0.0 and np.allclose(np.diff(motion.times), PERIOD_S, atol=1e-6)
    assert np.allclose(motion.positions[0], pose(0.3), atol=1e-6)


def test_joints_that_change_on_the_way_are_refused(tmp_path):
    maker = BagMaker(tmp_path / "run")
    for index, joint in enumerate(("pan", "pan", "lift")):
        message = JointState(name=[joint], position=[0.0])
        maker.write("joint_command", "sensor_msgs/msg/JointState", message, index / 30)
    with Bag(maker.close()) as bag, pytest.raises(BagError, match="the joints on /joint_command change from pan"):
        read_motion(bag, *COMMANDS)


@pytest.mark.parametrize(
    ("options", "wait_s"),
    [([], 3.0), (["--sim"], 60.0), (["--wait", "60"], 60.0), (["--sim", "--wait", "0.5"], 0.5)],
)
def test_a_driver_that_has_just_been_started_is_waited_for(options, wait_s):
    assert parse(["bag", "--to", "arm", *options]).wait_s == wait_s


def test_the_plot_of_a_joint_at_rest_does_not_enlarge_the_noise_of_its_servo():
    figure, axes = plots._panels(1)
    axes[0].plot([0.0, 1.0], [-1.2, -1.19987])
    plots._name_joints(axes, ["shoulder_lift"])
    low, high = axes[0].get_ylim()
    plots.pyplot.close(figure)
    assert high - low == pytest.approx(0.1) and low < -1.2 < high


@pytest.mark.parametrize("text", ["-1", "nan", "long"])
def test_a_wait_that_is_no_time_is_refused(text, capsys):
    with pytest.raises(SystemExit):
        parse(["bag", "--to", "arm", f"--wait={text}"])
    assert "must be 0 to 3600 s" in capsys.readouterr().err


def test_without_a_driver_nothing_moves_and_one_line_says_so(tmp_path, capsys):
    bag = make_run(tmp_path / "run", seconds=1.0, episodes=((0.1, 0.9, 1),))
    started = time.monotonic()
    assert main([str(bag), "--to", "arm", "--wait", "4"]) == 1
    assert time.monotonic() - started >= 4.0
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1 and "no driver_status in this ROS domain and namespace: launch the robot first" in error[0]


@pytest.mark.long
def test_the_virtual_arm_follows_a_recording_through_the_real_driver(tmp_path: Path, capsys) -> None:
    bag = make_run(tmp_path / "run", seconds=4.0)
    report = tmp_path / "report.json"
    assert main([str(bag), "--to", "arm", "--sim", "--speed", "1.0", "--report", str(report)]) == 0, capsys.readouterr()
    metrics = json.loads(report.read_text())
    assert metrics["commands"] > 84
    for joint, found in metrics["joints"].items():
        assert found["deviation_rms_rad"] < 0.15, joint
    assert (tmp_path / "report.png").stat().st_size > 10_000
    other = make_run(tmp_path / "other", seconds=1.0, episodes=((0.1, 0.9, 1),), joints=("a", "b", "c", "d", "e", "f"))
    assert main([str(other), "--to", "arm", "--sim"]) == 1
    assert "the bag commands joints a, b, c, d, e, f, the driver has shoulder_pan" in capsys.readouterr().err
