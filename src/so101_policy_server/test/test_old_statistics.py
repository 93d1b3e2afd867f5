# SPDX-License-Identifier: Apache-2.0
"""Statistics among the weights: whose they are, told from the features of config.json."""

from __future__ import annotations

import pytest
from so101_policy_server.lerobot.old_statistics import (
    OldStatisticsError,
    by_feature,
    find_buffers,
    is_normaliser,
    plain_name,
)

FEATURES = ("observation.state", "observation.images.cam_high", "action")
WEIGHTS = (
    "normalize_inputs.buffer_observation_state.mean",
    "normalize_inputs.buffer_observation_images_cam_high.mean",
    "normalize_targets.buffer_action.mean",
    "unnormalize_outputs.buffer_action.mean",
    "model.encoder.weight",
)


def test_underscores_are_dots_or_underscores_as_the_configuration_has_them() -> None:
    assert by_feature(find_buffers(WEIGHTS, FEATURES)) == {
        "observation.state": {"mean": WEIGHTS[0]},
        "observation.images.cam_high": {"mean": WEIGHTS[1]},
        "action": {"mean": WEIGHTS[3]},
    }


def test_two_features_of_one_name_are_not_guessed() -> None:
    both = ("observation.images.cam_high", "observation.images.cam.high")
    with pytest.raises(OldStatisticsError, match=r"may be of observation\.images\.cam\.high or of observation\.images"):
        find_buffers(WEIGHTS, both)


def test_the_statistics_of_several_robots_are_chosen_by_name() -> None:
    several = [f"normalize_inputs.{robot}.buffer_observation_state.mean" for robot in ("so100", "so100-red")]
    with pytest.raises(OldStatisticsError, match=r"several robots \(so100, so100-red\): add --robot"):
        find_buffers(several, FEATURES)
    assert [one.weight for one in find_buffers(several, FEATURES, "so100-red")] == several[1:]
    assert [one.weight for one in find_buffers(several[:1], FEATURES)] == several[:1]
    with pytest.raises(OldStatisticsError, match="no statistics of robot so101: there are those of so100, so100-red"):
        find_buffers(several, FEATURES, "so101")


@pytest.mark.parametrize(
    ("weights", "reason"),
    [(["model.weight"], "hold no statistics"), (["normalize_inputs.buffer_x.mean"], "none is of a feature of config")],
)
def test_nothing_to_migrate_is_said(weights: list[str], reason: str) -> None:
    with pytest.raises(OldStatisticsError, match=reason):
        find_buffers(weights, FEATURES)


def test_compiled_policies_have_the_same_names() -> None:
    compiled = "_orig_mod.normalize_inputs.buffer_observation_state._orig_mod.mean"
    assert find_buffers([compiled], FEATURES)[0].weight == compiled
    assert is_normaliser(compiled)
    assert not is_normaliser("model.normalize_inputs_like.weight")
    assert plain_name("model._orig_mod.encoder.weight") == "model.encoder.weight"
