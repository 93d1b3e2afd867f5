# SPDX-License-Identifier: Apache-2.0
"""Which topics a pattern means, here and in the `ros2 bag record` command for the same."""

import re
from typing import Any

import pytest
import yaml
from so101_bag.record.recorder_parameters import TOPICS, RecorderParameters
from so101_bag.record.topic_patterns import Selection, ros2_command
from so101_node.parameters import ParameterError, build

NAMES = [
    "/joint_states", "/left/joint_states", "/left/top/observation", "/top/observation", "/left/a/b/observation",
    "/left/observation", "/diagnostics", "/left/diagnostics", "/left/front/image_raw/compressed", "/rosout",
]  # fmt: skip


def test_patterns_are_relative_to_the_namespace_and_a_star_is_one_part_of_a_name():
    selection = Selection.of(["joint_states", "*/observation", "/diagnostics"], [], "/left")
    wanted = [name for name in NAMES if selection.wants(name)]
    assert wanted == ["/left/joint_states", "/left/top/observation", "/diagnostics"]
    root = Selection.of(["joint_states", "*/observation"], [], "/")
    assert [name for name in NAMES if root.wants(name)] == ["/joint_states", "/top/observation", "/left/observation"]


def test_what_is_excluded_is_left_out():
    selection = Selection.of(["*/image_raw/compressed", "*/observation"], ["front/image_raw/compressed"], "/left")
    assert not selection.wants("/left/front/image_raw/compressed")
    assert selection.wants("/left/top/image_raw/compressed")


@pytest.mark.parametrize("namespace", ["/", "/left", "/lab/left"])
def test_the_ros2_bag_command_takes_the_same_topics(namespace):
    selection = Selection.of(TOPICS, ["front/image_raw/compressed"], namespace)
    command = ros2_command(selection, "bag")
    taken = re.compile(command[command.index("--regex") + 1])
    left_out = re.compile(command[command.index("--exclude-regex") + 1])
    for name in NAMES + [f"{namespace.rstrip('/')}/{name}" for name in ("driver_status", "top/image_raw/compressed")]:
        # rosbag2 searches, it does not match from end to end.
        assert bool(taken.search(name) and not left_out.search(name)) == selection.wants(name), name


def test_the_shipped_file_names_the_topics_that_are_the_default():
    from pathlib import Path

    content = yaml.safe_load((Path(__file__).parents[3] / "config" / "record.yaml").read_text())
    assert content["/**/recorder"]["ros__parameters"]["topics"] == TOPICS


@pytest.mark.parametrize("pattern", ["", "a//b", "a b", "top*/x", "/", "joint states"])
def test_a_pattern_that_can_match_nothing_is_refused(pattern):
    with pytest.raises(ParameterError, match=r"parameter topics: .* is not a topic name"):
        build(RecorderParameters, {"topics": [pattern]})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"topics": []}, r"topics = \[\]: exclude = \[''\] leaves nothing to record"),
        ({"topics": ["action_chunk"], "exclude": ["action_chunk"]}, r"exclude = \['action_chunk'\] leaves nothing"),
        ({"duration_s": 1.0, "discovery_period_s": 5.0}, r"duration_s = 1: must be at least discovery_period_s \(5\)"),
    ],
)
def test_a_recorder_that_would_record_nothing_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        build(RecorderParameters, values)
    build(RecorderParameters, {"duration_s": 0.0, "discovery_period_s": 5.0})  # until it is told to stop
