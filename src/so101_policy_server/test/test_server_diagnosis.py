"""What the server says on /diagnostics."""

import math
from dataclasses import replace

import pytest
from so101_node.diagnostics import Level
from so101_policy_server.diagnosis import CAUSES, diagnose, entry_of
from so101_policy_server.status_report import State


@pytest.fixture
def report(examples):
    return examples.ready_server().status("")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "READY"),
        ({"inference_p50_s": 0.5}, "SLOW"),
        ({"inference_p50_s": math.nan}, "READY"),
        ({"state": State.LOADING}, "LOADING"),
        ({"state": State.LOADING, "message": "the policy reads camera top, and none"}, "NO_CAMERAS"),
        ({"state": State.UNCONFIGURED}, "NO_POLICY"),
        ({"state": State.ERROR, "message": "Failed to load policy: no such folder"}, "LOAD_FAILED"),
        ({"state": State.ERROR, "message": "spec rejected: fps is 60"}, "SPEC_REJECTED"),
    ],
)
def test_each_state_has_a_name(report, changes, name) -> None:
    assert diagnose(replace(report, **changes), 0.033).name == name


def test_a_stuck_inference_has_a_name(examples) -> None:
    server = examples.ready_server(inference_timeout_s=1.0)
    server.request(examples.request(), 0)
    for camera in ("front", "wrist"):
        for effect in server.frame(examples.frame(camera)):
            server.decoded(effect.frame, examples.picture(), 0)
    assert server.take(0) is not None
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
