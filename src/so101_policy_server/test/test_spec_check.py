# SPDX-License-Identifier: Apache-2.0
"""What a robot expects against what the server runs: what fits, and how each mismatch is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from so101_policy_server.core.policy_choice import PolicyChoice
from so101_policy_server.core.spec_check import (
    NoCamerasYetError,
    SpecMismatchError,
    camera_names,
    check_spec,
    describe_against,
)
from so101_policy_server.policy import ImageFeature, PolicySource

SOURCE = PolicySource("models/pick/", device="cpu")
CHOICE = PolicyChoice(SOURCE)


def check(examples, policy=None, served=None, choice=CHOICE, **changes):
    spec, policy = examples.spec(**changes), policy or examples.description()
    return check_spec(spec, served or examples.served(), SOURCE, policy, choice)


def mismatches(examples, **changes) -> list[str]:
    with pytest.raises(SpecMismatchError) as error:
        check(examples, **changes)
    return error.value.mismatches


def test_a_spec_that_fits_says_which_camera_gives_which_image(examples) -> None:
    accepted = check(examples, cameras=("wrist", "front"))
    assert accepted.cameras == examples.needs("front", "wrist")  # in the policy's order
    assert (accepted.rows, accepted.period_s) == (50, pytest.approx(1 / 30))


def test_chunks_have_no_more_rows_than_the_policy_predicts(examples) -> None:
    assert check(examples, actions_per_chunk=100).rows == 50
    assert check(examples, actions_per_chunk=20).rows == 20
    assert check(examples, actions_per_chunk=0).rows == 50


def test_empty_fields_mean_what_the_server_has(examples) -> None:
    assert check(examples, policy_type="", path="", device="")
    assert check(examples, policy_type="act", path="models/pick", device="cpu")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"policy_type": "smolvla"}, "policy_type is smolvla: the checkpoint is act"),
        ({"device": "cuda"}, "policy_device is cuda: the server's policy is on cpu"),
        ({"fps": 20.0}, "fps is 20: the server's policy runs at fps 30"),
        ({"fps": float("nan")}, "fps is nan: the server's policy runs at fps 30"),
        ({"units": 1}, "units is NORMALIZED: the server's parameter units is DEGREES"),
        ({"units": 7}, "units is 7: the server's parameter units is DEGREES"),
        ({"range_upper": (-2.0,) * 6}, "calibrated range of shoulder_pan is -1.5 to -2.0 rad: expected lower < upper"),
        ({"range_lower": ()}, "range_lower has 0 values: expected 6, one per joint"),
        (
            {"cameras": ("front", "top")},
            "the policy reads camera wrist: the robot has front, top; start a camera of that name, or let one of them "
            "stand for it: rename_from: [observation.images.top] and rename_to: [observation.images.wrist] of "
            "action_queue",
        ),
        (
            {"path": "models/other"},
            "pretrained_name_or_path is 'models/other': the server runs 'models/pick/', "
            "and its allowed_policies does not admit another",
        ),
    ],
)
def test_each_mismatch_names_both_sides(examples, changes, reason: str) -> None:
    assert mismatches(examples, **changes) == [reason]


def test_joints_must_be_the_policys_in_the_policys_order(examples) -> None:
    swapped = (examples.joints[1], examples.joints[0], *examples.joints[2:])
    (reason,) = mismatches(examples, joint_names=swapped)
    assert reason.startswith("joint_names is shoulder_lift, shoulder_pan, ")
    assert reason.endswith("in this order")
    reasons = mismatches(examples, joint_names=examples.joints[:5])
    assert "joint_names has 5 joints: the policy has 6" in reasons


def test_all_mismatches_are_named_in_one_line(examples) -> None:
    with pytest.raises(SpecMismatchError) as error:
        check(examples, fps=20.0, cameras=("front", "side"), device="cuda")
    text = str(error.value)
    assert "\n" not in text
    for thing in ("fps", "side", "wrist", "policy_device"):
        assert thing in text


def test_a_robot_may_rename_its_cameras_to_the_policys(examples) -> None:
    rename = {
        "observation.images.cam_a": "observation.images.wrist",
        "observation.images.cam_b": "observation.images.front",
    }
    spec = examples.spec(cameras=("cam_a", "cam_b"), rename_map=rename)
    accepted = check_spec(spec, examples.served(), SOURCE, examples.description(), CHOICE)
    assert [(need.camera, need.key) for need in accepted.cameras] == [
        ("cam_b", "observation.images.front"),
        ("cam_a", "observation.images.wrist"),
    ]
    assert camera_names(spec.spec, examples.served(), examples.description()) == ("cam_b", "cam_a")


def test_the_server_may_rename_for_every_robot(examples) -> None:
    served = examples.served(rename_map={"observation.images.cam_a": "observation.images.front"})
    accepted = check(examples, served=served, cameras=("cam_a", "wrist"))
    assert [need.camera for need in accepted.cameras] == ["cam_a", "wrist"]
    assert camera_names(None, served, examples.description()) == ("cam_a", "wrist")


def test_names_that_the_checkpoint_itself_renames_are_understood(examples) -> None:
    policy = examples.description(
        "camera1", "camera2", rename_map={"observation.images.front": "observation.images.camera1"}
    )
    assert [need.camera for need in check(examples, policy, cameras=("front", "camera2")).cameras] == [
        "front",
        "camera2",
    ]
    assert [need.camera for need in check(examples, policy, cameras=("camera1", "camera2")).cameras] == [
        "camera1",
        "camera2",
    ]


def test_cameras_that_the_policy_does_not_read_are_left_out(examples) -> None:
    accepted = check(examples, cameras=("top", "wrist", "side", "front"))
    assert accepted.cameras == examples.needs("front", "wrist")
    assert accepted.left_out == ("top", "side")
    assert check(examples, cameras=("front", "wrist")).left_out == ()
    blind = check(examples, examples.description(images=()), cameras=("front",))
    assert (blind.cameras, blind.left_out) == ((), ("front",))


def test_a_renamed_camera_that_the_policy_does_not_read_is_left_out_too(examples) -> None:
    rename = {f"observation.images.{name}": f"observation.images.{name}" for name in ("front", "wrist", "top")}
    rename["observation.images.side"] = "observation.images.camera3"
    assert check(examples, cameras=("front", "wrist", "top", "side"), rename_map=rename).left_out == ("top", "side")


def test_a_robot_that_has_named_no_camera_yet_is_not_refused_unless_something_else_does_not_fit(examples) -> None:
    with pytest.raises(
        NoCamerasYetError, match=r"^waiting for the robot's cameras: the policy reads front, wrist; start"
    ):
        check(examples, cameras=())
    assert mismatches(examples, cameras=(), fps=20.0) == ["fps is 20: the server's policy runs at fps 30"]
    assert check(examples, examples.description(images=()), cameras=()).cameras == ()


def test_what_the_policy_reads_is_told_under_the_robots_names_before_the_robot_names_any(examples) -> None:
    policy = examples.description(
        "camera1", "camera2", rename_map={"observation.images.front": "observation.images.camera1"}
    )
    served = examples.served()
    assert camera_names(examples.spec(cameras=()).spec, served, policy) == ("front", "camera2")
    mine = {"observation.images.a": "observation.images.camera1"}
    assert camera_names(examples.spec(cameras=(), rename_map=mine).spec, served, policy) == ("a", "camera2")
    assert camera_names(examples.spec(cameras=("camera1",)).spec, served, policy) == ("camera1", "camera2")


def test_two_cameras_cannot_be_the_same_image(examples) -> None:
    rename = {"observation.images.cam_a": "observation.images.front"}
    reasons = mismatches(examples, cameras=("front", "cam_a", "wrist"), rename_map=rename)
    assert reasons == ["cameras front and cam_a both mean the policy's front"]


def test_the_servers_joint_names_must_fit_the_checkpoint(examples) -> None:
    served = examples.served()
    with pytest.raises(SpecMismatchError, match="joint_names has 6 joints: the policy's state has 7, action 7"):
        describe_against(served, examples.description(state_dim=7, action_dim=7), ())
    names = tuple(f"{joint}.pos" for joint in reversed(examples.joints))
    with pytest.raises(SpecMismatchError, match="the checkpoint says gripper, wrist_roll"):
        describe_against(served, examples.description(action_names=names), ())
    assert describe_against(served, examples.description(state_dim=0), ())


def test_camera_names_are_given_where_the_checkpoint_has_none(examples) -> None:
    policy = examples.description(images=(ImageFeature("observation.image", "image", 3, 24, 32),))
    named = describe_against(examples.served(), policy, ("front",))
    assert check(examples, named, cameras=("front",)).cameras[0].key == "observation.image"
    with pytest.raises(SpecMismatchError, match=r"cameras has 2 names: the policy reads 1 \(observation\.image\)"):
        describe_against(examples.served(), policy, ("front", "wrist"))


def test_a_renaming_to_an_image_that_the_policy_does_not_read_leaves_the_camera_out_with_a_word(examples) -> None:
    rename = {"observation.images.a": "observation.images.b", "observation.images.front": "observation.images.frnt"}
    served = examples.served(rename_map=rename)
    named = describe_against(served, examples.description(), ())
    assert [line.partition(":")[0] for line in named.warnings] == [
        f"rename_to has {after}" for after in rename.values()
    ]
    with pytest.raises(SpecMismatchError, match="the policy reads camera front: the robot has a, front, wrist"):
        check(examples, named, served=served, cameras=("a", "front", "wrist"))  # never what was not meant


def test_a_policy_that_runs_for_another_robot_is_not_passed_off_as_the_servers_own(examples) -> None:
    choice = PolicyChoice(PolicySource("models/own"), allowed=("models/*",))
    for path, named in (("", "'' (the server's own, 'models/own')"), ("models/third", "'models/third'")):
        assert mismatches(examples, choice=choice, path=path) == [
            f"pretrained_name_or_path is {named}: the server runs 'models/pick/', for another robot"
        ]
    assert check(examples, choice=PolicyChoice(PolicySource("")), path="")  # it has none of its own


def test_whether_pictures_are_resized_follows_the_policys_image_whatever_the_camera_is_called(examples) -> None:
    front, wrist = examples.description().images
    policy = examples.description(images=(replace(front, native=True), wrist))
    named = describe_against(examples.served(), policy, ("a", "b"))
    assert [(need.camera, need.native) for need in check(examples, named, cameras=("b", "a")).cameras] == [
        ("a", True),
        ("b", False),
    ]
