# SPDX-License-Identifier: Apache-2.0
"""Statistics of normalised features: missing, half there, foreign, empty, of another shape."""

from __future__ import annotations

import numpy as np
import pytest
from so101_policy_server.core.preflight import Verdict
from so101_policy_server.lerobot.feature_statistics import NormalisedFeature, check_statistics, select

ARM = {"mean": np.arange(6.0), "std": np.full(6, 30.0), "min": np.full(6, -90.0), "max": np.full(6, 90.0)}
PICTURES = {"mean": np.full((3, 1, 1), 0.5), "std": np.full((3, 1, 1), 0.25)}


def feature(key: str = "action", mode: str = "MEAN_STD", statistics=ARM, **changes) -> NormalisedFeature:
    kind = {"action": "ACTION", "observation.state": "STATE"}.get(key, "VISUAL")
    shape = (3, 48, 64) if kind == "VISUAL" else (6,)
    values = {"kind": kind, "shape": shape, "place": "postprocessor"} | changes
    return NormalisedFeature(key=key, mode=mode, statistics=statistics, **values)


def red(findings) -> list[str]:
    return [finding.line() for finding in findings if finding.verdict is Verdict.RED]


def test_whole_statistics_are_green() -> None:
    features = [feature(), feature("observation.state"), feature("observation.images.top", statistics=PICTURES)]
    (found,) = check_statistics(features, ["action", "observation.state"])
    assert found.verdict is Verdict.GREEN
    assert "action (MEAN_STD)" in found.text


def test_missing_statistics_name_the_features_the_keys_that_are_there_and_what_to_type() -> None:
    features = [
        feature(statistics=None),
        feature("observation.state", statistics=None, place="preprocessor"),
        feature("observation.images.top", statistics=PICTURES),
    ]
    keys = [f"{robot}.buffer.{key}" for robot in ("so100", "so101") for key in ("action", "observation.state")]
    (line,) = red(check_statistics(features, keys))
    assert "no statistics for action (MEAN_STD) in the postprocessor, observation.state (MEAN_STD) in the pre" in line
    assert all(key in line for key in keys)
    assert 'statistics_from: ["so100.buffer.*"] or ["so101.buffer.*"]' in line


@pytest.mark.parametrize("keys", [[], ["observation.images.top"]])
def test_without_anything_that_could_be_meant_the_datasets_own_file_is_the_remedy(keys: list[str]) -> None:
    (line,) = red(check_statistics([feature(statistics=None)], keys))
    assert 'statistics_from: ["/path/to/dataset/meta/stats.json"]' in line


def test_a_key_spelt_with_underscores_is_offered_for_its_feature() -> None:
    missing = feature("observation.state", statistics=None)
    (line,) = red(check_statistics([missing], ["buffer_observation_state"]))
    assert 'statistics_from: ["observation.state=buffer_observation_state"]' in line


@pytest.mark.parametrize(
    ("mode", "has", "lacks"),
    [
        ("MEAN_STD", "mean", "std"),
        ("MIN_MAX", "mean", "min and max"),
        ("QUANTILES", "q01", "q99"),
        ("QUANTILE10", "mean", "q10 and q90"),
    ],
)
def test_half_of_the_statistics_is_not_enough(mode: str, has: str, lacks: str) -> None:
    (line,) = red(check_statistics([feature(mode=mode, statistics={has: np.ones(6)})], ["action"]))
    assert line.startswith("statistics.action: ") and f"{lacks} missing" in line and f"which has {has}" in line


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mean": np.array([0, 0, np.nan, 0, 0, 0.0])}, "mean has values that are not finite"),
        ({"std": np.full(6, np.inf)}, "std has values that are not finite"),
        ({"std": np.full(6, -1.0)}, "std is below 0"),
        ({"std": np.zeros(6)}, "std is 0 for value 0, 1, 2, 3, 4, 5"),
        ({"std": np.array([9, 9, 0, 9, 9, 9.0])}, "std is 0 for value 2"),
        ({"std": np.ones(7)}, "std has shape 7, the feature 6"),
        ({"mean": np.ones(1)}, "mean has shape 1, the feature 6"),
    ],
)
def test_values_that_nothing_can_be_computed_with_are_named(change, words: str) -> None:
    (line,) = red(check_statistics([feature(statistics=ARM | change)], ["action"]))
    assert line.startswith("statistics.action: ") and words in line and " -> " in line


@pytest.mark.parametrize(("mode", "low", "high"), [("MIN_MAX", "min", "max"), ("QUANTILES", "q01", "q99")])
def test_ends_of_a_range_must_be_in_order(mode: str, low: str, high: str) -> None:
    statistics = {low: np.full(6, 5.0), high: np.full(6, -5.0)}
    (line,) = red(check_statistics([feature(mode=mode, statistics=statistics)], ["action"]))
    assert f"{high} is below {low}" in line
    statistics = {low: np.full(6, 5.0), high: np.full(6, 5.0)}
    (line,) = red(check_statistics([feature("observation.state", mode, statistics)], ["observation.state"]))
    assert f"{high} - {low} is 0 for value 0" in line


def test_a_joint_that_training_never_moved_is_a_warning_in_the_action_and_refused_in_the_state() -> None:
    still = {"mean": np.arange(6.0), "std": np.array([9, 9, 9, 9, 9, 0.0])}
    (found,) = check_statistics([feature(statistics=still)], ["action"])
    assert found.verdict is Verdict.YELLOW and "value 5" in found.text
    (line,) = red(check_statistics([feature("observation.state", statistics=still)], ["observation.state"]))
    assert "statistics.observation.state: std is 0 for value 5" in line


@pytest.mark.parametrize(
    ("mode", "low", "high", "still", "little"),
    [
        ("MEAN_STD", "mean", "std", 0.049, 0.06),
        ("MIN_MAX", "min", "max", 0.09, 0.15),
        ("QUANTILES", "q01", "q99", 1e-3, 9),
    ],
)
def test_a_joint_whose_state_was_noise_around_one_pose_in_training_is_refused(
    mode: str, low: str, high: str, still: float, little: float
) -> None:
    def found(spread: float, key: str = "observation.state"):
        statistics = {low: np.zeros(6), high: np.array([30, 30, 30, 30, spread, 30.0])}
        return check_statistics([feature(key, mode, statistics)], [key])

    for spread in (2e-6, 1e-4, still):
        (line,) = red(found(spread))
        assert f" is {spread:.4g} for value 4: it stood still in training" in line
        assert 'accepted_findings: ["statistics.observation.state"]' in line
    assert red(found(little)) == []
    assert red(found(still, "action")) == []  # it is multiplied by the spread: commanded as it was


def test_an_action_without_spread_is_not_said_to_become_millions() -> None:
    (line,) = red(check_statistics([feature(statistics=ARM | {"std": np.zeros(6)})], ["action"]))
    assert "the arm would be sent to one pose" in line and "millions" not in line
    (line,) = red(check_statistics([feature(statistics=ARM | {"std": np.array([9, 9, 9, 9, 9, 0.0])})], ["action"]))
    assert "std is 0 for value 5, though others of its statistics say that it moved" in line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mean": ARM["std"] * 4, "std": np.full(6, 20.0)}, "value 0 has mean 120, min -90 and max 90"),
        ({"std": np.full(6, 110.0)}, "value 0 has std 110, min -90 and max 90"),
        ({"mean": np.array([0, 0, 0, 0, 0, 99.0]), "max": np.full(6, 60.0)}, "value 5 has mean 99, min -90 and max 60"),
    ],
)
@pytest.mark.parametrize("mode", ["MEAN_STD", "MIN_MAX"])
def test_statistics_that_contradict_each_other_are_refused(mode: str, change, said: str) -> None:
    (line,) = red(check_statistics([feature("observation.state", mode, ARM | change)], ["observation.state"]))
    assert said in line and "cannot be of the same data" in line
    assert red(check_statistics([feature(statistics=ARM | {"std": np.full(6, 90.0)})], ["action"])) == []  # two poses


def test_a_feature_that_two_steps_normalise_is_refused() -> None:
    (line,) = red(check_statistics([feature(), feature()], ["action"]))
    assert "statistics.action: 2 steps of the postprocessor normalise it" in line


@pytest.mark.parametrize("key", ["actions", "Action", "robot.Action"])
def test_a_key_that_only_resembles_the_feature_is_offered_by_its_whole_name(key: str) -> None:
    (line,) = red(check_statistics([feature(statistics=None)], [key]))
    assert f'statistics_from: ["action={key}"]' in line


def test_statistics_of_pictures_0_to_255_are_refused() -> None:
    statistics = {"mean": np.full((3, 1, 1), 127.0), "std": np.full((3, 1, 1), 60.0)}
    (line,) = red(check_statistics([feature("observation.images.top", statistics=statistics)], []))
    assert "statistics.observation.images.top: " in line and "0..255" in line


def test_processors_of_two_trainings_are_refused() -> None:
    before = feature(place="preprocessor")
    after = feature(statistics=ARM | {"mean": np.arange(6.0) + 20})
    (line,) = red(check_statistics([before, after], ["action"]))
    assert "mean differs between preprocessor (0, 1, 2, 3, 4, 5) and postprocessor (20, " in line


def test_a_policy_that_normalises_nothing_passes_with_a_word() -> None:
    (found,) = check_statistics([feature(mode="IDENTITY", statistics=None)], [])
    assert found.verdict is Verdict.YELLOW and "no feature has a norm mode" in found.text


def test_the_first_pattern_that_fits_chooses() -> None:
    keys = ["so100.action", "so101.action", "other"]
    assert select(["so101.*", "so100.*"], ["action"], keys) == {"action": "so101.action"}
    assert select(["action=other"], ["action", "observation.state"], keys) == {"action": "other"}
    assert select(["none.*", "action", "*"], ["action"], keys) == {}
