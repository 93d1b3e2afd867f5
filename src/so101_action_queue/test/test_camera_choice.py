# SPDX-License-Identifier: Apache-2.0
"""Which cameras the spec names."""

from dataclasses import replace

import pytest
from so101_action_queue.core.camera_choice import (
    PATIENCE_S,
    CameraChoice,
    frame_sizes,
    names_of_policy,
    names_of_robot,
)
from so101_action_queue.core.inputs import ServerReport
from so101_action_queue.core.settings import QueueSettings
from so101_node.protocol import PolicyState

S = 1_000_000_000
OURS = 5  # the spec of the present choice


def says(*cameras: str, **changes) -> ServerReport:
    ready = ServerReport(1, "lab", OURS, PolicyState.READY, horizon=50, cameras=cameras)
    return replace(ready, **changes)


def test_cameras_that_are_renamed_are_found_either_way() -> None:
    rename = {"observation.images.overhead": "observation.images.top", "observation.state": "state"}
    assert names_of_policy(("overhead", "wrist"), rename) == {"top": "overhead", "wrist": "wrist"}
    assert names_of_robot(("top", "wrist"), rename) == {"top": "overhead", "wrist": "wrist"}
    assert names_of_policy(("top",), {}) == names_of_robot(("top",), {}) == {"top": "top"}


def test_configured_cameras_are_narrowed_to_those_that_the_policy_reads_once_the_server_accepts_them() -> None:
    choice = CameraChoice(("front", "top", "wrist"))
    assert choice.chosen == ("front", "top", "wrist")
    assert not choice.choose(0, says("wrist", spec_id=4), OURS), "that was about an older spec"
    assert choice.choose(0, says("wrist", "front"), OURS)
    assert choice.chosen == ("front", "wrist"), "in the order in which they are configured"
    assert choice.left_out == ("top",)
    assert not choice.choose(0, says("wrist", "front"), OURS)
    assert not choice.is_searching


@pytest.mark.parametrize("configured", [(), ("front",)])
def test_nothing_changes_while_no_policy_is_known(configured: tuple[str, ...]) -> None:
    choice = CameraChoice(configured)
    choice.find(["top"])
    for report in (None, says("top", horizon=0, state=PolicyState.LOADING)):
        assert not choice.choose(0, report, OURS)
    assert choice.chosen == configured


def test_a_policy_that_reads_other_cameras_gets_the_whole_configured_list_to_judge() -> None:
    choice = CameraChoice(("front", "top"))
    assert choice.choose(0, says("top"), OURS)
    refused = says("front", "side", state=PolicyState.ERROR)
    assert choice.choose(0, refused, OURS)
    assert choice.chosen == ("front", "top"), "the server names what is missing of these"
    assert not choice.choose(0, refused, OURS)


def test_found_cameras_are_named_as_soon_as_all_that_the_policy_reads_are_there() -> None:
    choice = CameraChoice(())
    waiting = says("top", "wrist", state=PolicyState.LOADING)
    assert not choice.choose(0, waiting, OURS)
    assert choice.is_searching
    choice.find(["front", "wrist"])
    assert not choice.choose(S // 2, waiting, OURS)
    choice.find(["top"])
    assert choice.choose(S, waiting, OURS)
    assert (choice.chosen, choice.left_out) == (("top", "wrist"), ("front",))
    assert not choice.is_searching


def test_after_a_while_a_camera_that_was_not_found_is_missing_and_the_server_is_told_what_there_is() -> None:
    choice = CameraChoice(())
    choice.find(["front", "top"])
    waiting = says("side", state=PolicyState.LOADING)
    assert not choice.choose(0, waiting, OURS)
    assert choice.choose(round(PATIENCE_S * S), waiting, OURS)
    assert choice.chosen == ("front", "top")
    assert choice.is_searching
    choice.find(["side"])  # somebody has started it
    assert choice.choose(9 * S, says("side", state=PolicyState.ERROR), OURS)
    assert choice.chosen == ("side",)


def test_a_camera_that_is_gone_for_a_moment_still_counts() -> None:
    choice = CameraChoice(())
    choice.find(["top"])
    assert choice.choose(0, says("top"), OURS)
    choice.find([])
    assert not choice.choose(9 * S, says("top"), OURS)


def test_frames_are_requested_at_the_size_that_the_server_announced_for_each_camera_by_name() -> None:
    settings = QueueSettings(cameras=("front", "side", "wrist"), frame_size="policy")
    server = says("wrist", "front", frame_sizes=(96, 128, 0, 0))
    assert frame_sizes(settings, server) == (0, 0, 0, 0, 96, 128)
    assert frame_sizes(replace(settings, frame_size="camera"), server) == ()


@pytest.mark.parametrize("told", [(), (0, 0, 0, 0), (96,)])
def test_a_server_that_announces_no_size_gets_frames_as_captured(told: tuple[int, ...]) -> None:
    settings = QueueSettings(cameras=("front", "wrist"), frame_size="policy")
    assert frame_sizes(settings, says("front", "wrist", frame_sizes=told)) == ()
