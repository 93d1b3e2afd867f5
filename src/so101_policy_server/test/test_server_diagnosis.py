# SPDX-License-Identifier: Apache-2.0
"""What the server says on /diagnostics."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_node.diagnostics import Level
from so101_node.protocol import PolicyState
from so101_policy_server.core import causes
from so101_policy_server.ros.diagnosis import CAUSES, diagnose, entry_of


@pytest.fixture
def report(examples):
    return examples.ready_server().status("")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "READY"),
        ({"inference_p50_s": 0.5}, "SLOW"),
        ({"inference_p50_s": math.nan}, "READY"),
    ],
)
def test_each_state_has_a_name(report, changes, name) -> None:
    assert diagnose(replace(report, **changes), 0.033).name == name


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        (PolicyState.LOADING, "LOADING"),
        (PolicyState.LOADING, "NO_CAMERAS"),
        (PolicyState.UNCONFIGURED, "NO_POLICY"),
        (PolicyState.UNCONFIGURED, "NOT_ACTIVE"),
        (PolicyState.ERROR, "LOAD_FAILED"),
        (PolicyState.ERROR, "SPEC_REJECTED"),
        (PolicyState.ERROR, "INFERENCE_STUCK"),
    ],
)
@given(words=st.one_of(st.sampled_from(["spec rejected: fps is 60", "inference_timeout_s = 10", ""]), st.text()))
def test_words_change_no_cause(examples, state, cause, words) -> None:
    changed = replace(examples.ready_server().status(""), state=state, cause=cause, message=words)
    assert diagnose(changed, 0.033).name == cause


def test_a_failure_whose_words_are_those_of_another_cause_keeps_its_own(examples) -> None:
    server = examples.ready_server()
    server.load_failed("spec rejected: no answer within inference_timeout_s, driver version is insufficient")
    assert server.status("").cause == "LOAD_FAILED"
    assert diagnose(server.status(""), 0.033).name == "LOAD_FAILED"


def test_a_spec_that_does_not_fit_has_a_name_and_the_robots_message_too(examples) -> None:
    server = examples.ready_server()
    server.spec("", examples.spec(spec_id=77, cameras=("driver_side",)), 0)
    assert server.status("").cause == "SPEC_REJECTED"


def test_a_stuck_inference_has_a_name(examples) -> None:
    server = examples.ready_server(inference_timeout_s=1.0)
    server.request(examples.request(), 0)
    for camera in ("front", "wrist"):
        for effect in server.frame(examples.frame(camera)):
            server.decoded(effect.frame, examples.picture(), 0)
    assert server.take(0)
    assert server.stuck(2_000_000_000)
    assert diagnose(server.status(""), 0.033).name == "INFERENCE_STUCK"


def test_the_entry_names_robot_counts_and_the_age_of_its_frames(report) -> None:
    made = entry_of("policy_server", "", replace(report, frame_age_p50_s=0.0314, frame_age_p95_s=0.0771), 0.033)
    assert made.name == "policy_server: policy for /"
    values = {pair.key: pair.value for pair in made.values}
    assert values["state"] == "READY"
    assert (values["frame_age_p50_s"], values["frame_age_p95_s"]) == ("0.031", "0.077")


def test_every_cause_that_is_no_good_has_a_remedy() -> None:
    assert all(cause.level is Level.OK or cause.remedy for cause in CAUSES)


def test_every_name_that_the_core_gives_has_its_row() -> None:
    named = {value for name, value in vars(causes).items() if name.isupper()}
    assert len(named) >= 5
    assert named <= {cause.name for cause in CAUSES}
