# SPDX-License-Identifier: Apache-2.0
"""`replay --to queue`: the recorded decisions again, and what other settings make of the same inputs."""

import json
from array import array

import numpy as np
import pytest
from bag_maker import BagMaker, make_run
from decision_log_maker import decisions, write_log
from sensor_msgs.msg import JointState
from so101_bag.errors import ReplayError
from so101_bag.replay.__main__ import main
from so101_bag.replay.decision_runs import check_identity, split_runs
from so101_bag.replay.queue_trace import difference, trace
from so101_bag.replay.settings_change import changeable, parse_changes, title
from so101_msgs.msg import QueueDecision


@pytest.fixture(scope="module")
def log() -> list[QueueDecision]:
    return decisions()


@pytest.fixture(scope="module")
def bag(log, tmp_path_factory):
    return write_log(tmp_path_factory.mktemp("log") / "bag", log)


def test_a_recorded_log_repeats_bit_for_bit_and_the_report_says_so(bag, log, tmp_path, capsys):
    report = tmp_path / "out" / "report.json"
    assert main([str(bag), "--to", "queue", "--report", str(report)]) == 0
    metrics = json.loads(report.read_text())
    assert metrics["identical"] is True and metrics["first_difference"] is None
    assert metrics["decisions"] == len(log)
    assert metrics["recorded"]["chunks_accepted"] > 10 and metrics["recorded"]["starved_ticks"] > 0
    assert (tmp_path / "out" / "report.png").read_bytes().startswith(b"\x89PNG")
    assert f"{len(log)} decisions, identical" in capsys.readouterr().out


def test_one_changed_bit_is_found_and_named(log, tmp_path, capsys):
    at = next(i for i, m in enumerate(log) if m.input == QueueDecision.TICK and len(m.setpoint) and i > 200)
    changed = decisions()
    changed[at].setpoint[3] = float(np.nextafter(changed[at].setpoint[3], 9.0))
    bag = write_log(tmp_path / "bag", changed)
    report = tmp_path / "report.json"
    assert main([str(bag), "--report", str(report)]) == 1
    metrics = json.loads(report.read_text())
    assert metrics["identical"] is False
    assert metrics["first_difference"].startswith(f"decision {log[at].sequence} (TICK): setpoint ")
    assert "NOT identical" in capsys.readouterr().out


def test_a_log_with_corrections_repeats_its_planned_setpoints_bit_for_bit(log, tmp_path, capsys):
    changed = decisions()
    for index, message in enumerate(changed):
        if message.setpoint:
            message.correction = array("d", [0.01 * np.sin(index)] * len(message.setpoint))
    assert main([str(write_log(tmp_path / "bag", changed)), "--to", "queue"]) == 0
    assert f"{len(log)} decisions, identical" in capsys.readouterr().out
    tick = next(message for message in changed if message.setpoint)
    tick.setpoint[3] = float(np.nextafter(tick.setpoint[3], 9.0))
    assert not check_identity(split_runs(changed)).identical


def test_a_log_with_a_hole_is_not_called_identical(log, tmp_path):
    result = check_identity(split_runs(log[:300] + log[302:]))
    assert not result.identical
    assert result.first_difference == f"decisions {log[300].sequence} to {log[301].sequence} are missing in the log"


def test_a_log_that_begins_in_the_middle_is_compared_from_its_next_session_on(log):
    result = check_identity(split_runs(log[50:]))
    assert result.identical and 100 < result.decisions < len(log) - 50


def test_two_runs_of_the_queue_in_one_bag_are_each_compared(log):
    result = check_identity(split_runs([*log, *log]))
    assert result.identical and result.decisions == 2 * len(log)
    assert len(list(split_runs([*log, *log]))) == 2


def test_a_log_in_which_no_session_begins_proves_nothing(log):
    result = check_identity(split_runs(log[50:90]))
    assert not result.identical and "nothing could be compared" in result.first_difference


def test_replayed_with_the_same_settings_the_same_is_commanded(log):
    recorded = trace(split_runs(log), {})
    ticks = [m for m in log if m.input == QueueDecision.TICK]
    assert [list(row) for row, m in zip(recorded.setpoints, ticks, strict=True) if len(m.setpoint)] == [
        list(m.setpoint) for m in ticks if len(m.setpoint)
    ]
    same = trace(split_runs(log), {"aggregate_fn_name": "weighted_average"})
    assert difference(recorded, same)["max_rad"] == 0.0


def test_other_ways_to_aggregate_command_something_else_on_the_same_inputs(log):
    recorded = trace(split_runs(log), {})
    metrics = {}
    for name in ("latest_only", "average", "crossfade", "temporal_ensemble"):
        other = trace(split_runs(log), {"aggregate_fn_name": name})
        assert (other.accepted, other.unused) == (recorded.accepted, 0), name
        assert difference(recorded, other)["max_rad"] > 1e-4, name
        metrics[name] = other.metrics(1 / 30)["jerk_rms_rad_s3"]
    assert metrics["crossfade"] < metrics["latest_only"]


def test_chunks_fit_a_queue_that_requests_at_other_times(log):
    """Each row keeps the step it was predicted for, so the wave does not jump where chunks meet."""
    recorded = trace(split_runs(log), {})
    for change in ({"chunk_size_threshold": 0.8}, {"chunk_size_threshold": 0.3}, {"actions_per_chunk": 30}):
        other = trace(split_runs(log), change)
        assert other.accepted >= 4, change
        # Its phase stays: what one request sees differently from another is 0.06 rad.
        assert difference(recorded, other)["max_rad"] < 0.12 or other.starved > recorded.starved, change


def test_set_makes_every_combination_and_a_report_on_each(bag, tmp_path, capsys):
    report = tmp_path / "report.json"
    arguments = [str(bag), "--report", str(report), "--set", "aggregate_fn_name=latest_only,average"]
    assert main([*arguments, "--set", "seam_ramp=always"]) == 0
    alternatives = json.loads(report.read_text())["alternatives"]
    assert [item["set"] for item in alternatives] == [
        {"aggregate_fn_name": "latest_only", "seam_ramp": "always"},
        {"aggregate_fn_name": "average", "seam_ramp": "always"},
    ]
    assert all(item["difference"]["joints"]["gripper"]["rms_rad"] > 0 for item in alternatives)
    assert "aggregate_fn_name=average, seam_ramp=always: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("fps=20", "must be NAME=VALUE"),
        ("aggregate_fn_name", "must be NAME=VALUE"),
        ("aggregate_fn_name=loudest", "must be one of weighted_average"),
        ("chunk_size_threshold=2", "must be 0 to 1"),
        ("margin_steps=few", "must be a int"),
    ],
)
def test_a_setting_that_cannot_be_tried_is_refused_in_one_line(text, complaint, bag, capsys):
    with pytest.raises(ReplayError, match=complaint):
        parse_changes([text])
    assert main([str(bag), "--set", text]) == 1
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1 and error[0].startswith("so101 replay: --set ")


def test_what_may_be_tried_is_what_may_change_while_the_arm_moves_and_the_length_of_chunks():
    assert {"aggregate_fn_name", "alignment", "request_policy", "actions_per_chunk"} <= set(changeable())
    assert not {"fps", "joint_names", "task", "servers"} & set(changeable())
    assert title({}) == "as recorded"


def test_bags_that_cannot_be_replayed_say_why_in_one_line(tmp_path, log, capsys):
    other = BagMaker(tmp_path / "other")
    kind = "so101_msgs/msg/QueueDecision"
    other.write("action_queue/decisions", kind, log[0], 0.0, type_hash="RIHS01_" + "0" * 64)
    cases = {
        str(tmp_path / "nowhere"): "no such bag",
        str(make_run(tmp_path / "run", seconds=1.0)): "has no messages on action_queue/decisions",
        str(other.close()): "was recorded with another version of so101_msgs/msg/QueueDecision",
    }
    torn = BagMaker(tmp_path / "torn")
    torn.write("joint_states", "sensor_msgs/msg/JointState", JointState(), 0.0)
    torn.writer.flush()
    cases[str(tmp_path / "torn")] = "repair it with: ./so101 record --repair"
    for bag, line in cases.items():
        assert main([bag, "--to", "queue"]) == 1
        error = capsys.readouterr().err.splitlines()
        assert len(error) == 1 and line in error[0]


def test_a_report_that_cannot_be_written_is_told_in_one_line(bag, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main([str(bag), "--report", str(tmp_path / "file" / "report.json")]) == 1
    assert "report.json: cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--to", "arm", "--set", "margin_steps=1"], "--set goes with --to queue, not --to arm"),
        (["--to", "queue", "--sim"], "--sim goes with --to arm, not --to queue"),
        (["--to", "policy_server", "--running", "--checkpoint", "x"], "--running and --checkpoint exclude each other"),
        (["--to", "arm", "--speed", "9"], "must be 0.05 to 2 rad/s"),
        (["--report", "out.png"], "--report out.png: the plot goes there: name the JSON file, such as out.json"),
    ],
)
def test_options_of_another_target_are_refused(arguments, line, capsys):
    with pytest.raises(SystemExit):
        main(["bag", *arguments])
    [said] = capsys.readouterr().err.splitlines()
    assert line in said


def test_a_report_that_cannot_be_written_is_known_before_the_replay(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["no bag", "--report", str(tmp_path / "file" / "out.json")]) == 1
    [said] = capsys.readouterr().err.splitlines()
    assert said.endswith(f"out.json: cannot be written ({tmp_path / 'file'} is no folder)")
