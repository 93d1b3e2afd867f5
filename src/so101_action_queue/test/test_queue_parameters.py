# SPDX-License-Identifier: Apache-2.0
"""Parameters: defaults, ranges, rules across them, and the shipped file."""

from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.ros.parameters import QueueParameters
from so101_node.parameters import ParameterError, build, rules

CONFIG = Path(__file__).parents[3] / "config"


def test_the_defaults_are_valid_and_are_the_cores_defaults() -> None:
    assert build(QueueParameters, {}).settings() == QueueSettings()


def test_lerobots_names_keep_their_defaults() -> None:
    chosen = build(QueueParameters, {})
    assert (chosen.actions_per_chunk, chosen.chunk_size_threshold, chosen.fps) == (50, 0.5, 30.0)
    assert chosen.aggregate_fn_name == "weighted_average"


@pytest.mark.parametrize(
    ("argument", "configured", "chosen"),
    [("", "", ""), ("", "a.npz", "a.npz"), ("b.npz", "a.npz", "b.npz"), ("none", "a.npz", ""), ("none", "", "")],
)
def test_the_launch_argument_of_a_correction_counts_more_than_the_file_where_it_is_given(
    argument: str, configured: str, chosen: str
) -> None:
    given = build(QueueParameters, {"correction_argument": argument, "correction_file": configured})
    assert given.chosen_correction == chosen


def test_every_setting_of_the_core_is_a_parameter() -> None:
    assert {item.name for item in fields(QueueSettings)} <= set(rules(QueueParameters))


def test_an_unknown_aggregation_is_refused_with_the_list_of_known_ones() -> None:
    with pytest.raises(ParameterError) as error:
        build(QueueParameters, {"aggregate_fn_name": "magic"})
    for known in ("magic", "weighted_average", "latest_only", "average", "conservative", "crossfade"):
        assert known in str(error.value)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"actions_per_chunk": 9}, "10 to 100"),
        ({"actions_per_chunk": 101}, "10 to 100"),
        ({"chunk_size_threshold": 1.1}, "0 to 1"),
        ({"fps": 61.0}, "10 to 60"),
        ({"max_seam_rad": 0.0}, "max_seam_rad"),
        ({"max_requests_in_flight": 0}, "1 to 8"),
        ({"max_requests_in_flight": 9}, "1 to 8"),
        ({"request_spacing_steps": 0}, "1 to 100"),
        ({"request_policy": "never"}, "threshold, adaptive"),
        ({"on_server_lost": "panic"}, "hold, stop"),
        ({"units": "radians"}, "degrees, normalized"),
        ({"joint_names": []}, "joint_names"),
        ({"joint_names": ["a", "a"]}, "each joint once"),
        ({"cameras": ["front", "front"]}, "each camera once"),
        ({"rename_from": ["a"], "rename_to": []}, "rename_to"),
        ({"rename_from": ["a", "a"], "rename_to": ["b", "c"]}, "each key once"),
        ({"rename_to": ["b", "b"], "rename_from": ["a", "c"]}, "each key once"),
        ({"busy_timeout_s": 1.0, "request_timeout_s": 2.0}, "at least request_timeout_s (2)"),
        ({"request_timeout_s": 60.0}, "busy_timeout_s = 30: must be at least request_timeout_s (60)"),
        ({"request_spacing_steps": 50, "max_requests_in_flight": 2}, "must be below actions_per_chunk (50)"),
        ({"actions_per_chunk": 10, "max_requests_in_flight": 2, "request_spacing_steps": 10}, "actions_per_chunk (10)"),
        ({"task": "x" * 1025}, "1025 characters, at most 1024 fit a message"),
        ({"pretrained_name_or_path": "x" * 1025}, "1025 characters, at most 1024 fit a message"),
        ({"policy_type": "x" * 65}, "65 characters, at most 64 fit a message"),
        ({"joint_names": [f"joint_{number}" for number in range(33)]}, "33 entries, at most 32 fit a message"),
        ({"cameras": [f"camera_{number}" for number in range(17)]}, "17 entries, at most 16 fit a message"),
        ({"rename_from": ["x" * 129], "rename_to": ["a"]}, "129 characters, at most 128 fit a message"),
        ({"servers": ["x" * 65]}, "65 characters, at most 64 fit a message"),
    ],
)
def test_bad_values_are_refused_by_name_in_one_line(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ParameterError) as error:
        build(QueueParameters, values)
    assert named in str(error.value)
    assert next(iter(values)) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "values",
    [
        {"busy_timeout_s": 2.0, "request_timeout_s": 2.0},
        {"request_spacing_steps": 100},  # counts only with several requests in flight
        {"request_policy": "adaptive", "min_replan_steps": 100, "margin_steps": 50},  # never more than half a chunk
        {"max_action_age_s": 0.2},  # the policy's chunk may be shorter than actions_per_chunk
        {"correction_largest_change_rad": 0.3, "correction_largest_delta_rad": 0.2},  # from -0.15 to 0.15 in a tick
        {"hedge": True, "servers": ["only"]},  # nobody to hedge with, yet
    ],
)
def test_what_is_odd_but_does_no_harm_is_accepted(values: dict[str, Any]) -> None:
    build(QueueParameters, values)


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.name)
def test_the_shipped_files_name_only_parameters_that_exist_with_values_that_are_accepted(path: Path) -> None:
    content = yaml.safe_load(path.read_text()) or {}
    for key in ("/**/action_queue", "/**") if path.name == "action_queue.yaml" else ("/**/action_queue",):
        if key in content:
            values = content[key]["ros__parameters"]
            values.pop("autostart", None)
            build(QueueParameters, values)


def test_the_commented_file_names_every_default_as_it_is() -> None:
    values = yaml.safe_load((CONFIG / "action_queue.yaml").read_text())["/**"]["ros__parameters"]
    chosen, default = build(QueueParameters, values), build(QueueParameters, {})
    pairs = zip(astuple(chosen), astuple(default), strict=True)
    different = {
        name
        for name, (one, other) in zip(rules(QueueParameters), pairs, strict=True)
        if (tuple(one) if isinstance(one, list) else one) != other
    }
    assert not different


def test_what_the_spec_is_made_of_cannot_change_while_running() -> None:
    known = rules(QueueParameters)
    for name in ("joint_names", "cameras", "units", "fps", "actions_per_chunk", "policy_type"):
        assert known[name].read_only
    for name in ("task", "chunk_size_threshold", "aggregate_fn_name", "max_seam_rad", "request_policy"):
        assert not known[name].read_only
