# SPDX-License-Identifier: Apache-2.0
"""The correction of one setpoint: bounded, within limits, and without memory."""

import numpy as np
import pytest
from correction_weights import correction_file
from hypothesis import given
from hypothesis import strategies as st
from so101_correction.core.correct import SetpointCorrection, within_limits
from so101_correction.core.features import look_ahead, proprioception
from so101_correction.core.network import prepare
from so101_correction.errors import CorrectionInputError

RADIANS = st.floats(-4, 4, width=64)


def inputs(seed: int = 0) -> tuple:
    rng = np.random.default_rng(seed)
    now, then = ({c: rng.integers(0, 256, (64, 80, 3), dtype=np.uint8) for c in ("wrist", "top")} for _ in "ab")
    return rng.normal(size=6), rng.normal(size=(20, 6)), rng.normal(size=6), 12, now, then


def test_it_adds_what_the_network_says_of_the_same_numbers_that_training_uses() -> None:
    file = correction_file(largest_delta_rad=3.0)
    setpoint, ahead, positions, age, now, then = inputs()
    images = np.array([prepare(now[camera], then[camera]) for camera in ("top", "wrist")])
    residual = file.network().residual(images, proprioception(positions, look_ahead(setpoint, ahead), age))
    assert 0 < np.abs(residual).max() < 3
    corrected = SetpointCorrection(file).correct(setpoint, ahead, positions, age, now, then)
    np.testing.assert_array_equal(corrected, setpoint + residual)


@pytest.mark.parametrize(("bound", "expected"), [(0.0, 0.01), (0.004, 0.004)])
def test_what_is_added_is_bounded_by_the_file_or_the_parameter(bound: float, expected: float) -> None:
    rule = SetpointCorrection(correction_file(largest_delta_rad=0.01), largest_delta_rad=bound)
    setpoint, *rest = inputs()
    added = np.abs(rule.correct(setpoint, *rest) - setpoint)
    assert added.max() == pytest.approx(expected, abs=1e-12)


def test_the_result_is_within_the_limits() -> None:
    setpoint, *rest = inputs()
    lower, upper = setpoint - 0.001, setpoint + 0.002
    corrected = SetpointCorrection(correction_file(), (lower, upper)).correct(setpoint, *rest)
    assert np.all(corrected >= lower) and np.all(corrected <= upper)
    assert np.any(corrected == lower) or np.any(corrected == upper)


@given(setpoint=RADIANS, delta=RADIANS, bounds=st.tuples(RADIANS, RADIANS))
def test_a_setpoint_within_limits_stays_there_to_the_last_bit(
    setpoint: float, delta: float, bounds: tuple[float, float]
) -> None:
    lower, upper = min(bounds), max(bounds)
    kept = within_limits(*(np.array([value]) for value in (setpoint, delta, lower, upper)))[0]
    assert abs(kept) <= abs(delta) and kept * delta >= 0
    if lower <= setpoint <= upper:
        assert lower <= setpoint + kept <= upper
        if lower <= setpoint + delta <= upper:
            assert abs(kept - delta) < 1e-15
    else:  # not drawn back, but never farther out
        assert (kept <= 0) if setpoint > upper else (kept >= 0)


def test_a_blind_correction_needs_no_thumbnails() -> None:
    setpoint, ahead, positions, age, *_ = inputs()
    rule = SetpointCorrection(correction_file(()))
    assert np.any(rule.correct(setpoint, ahead, positions, age, {}, {}) != setpoint)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (4, {"top": np.zeros((64, 80, 3), np.uint8)}, "camera wrist: no thumbnail among top"),
        (5, {}, "camera top: no thumbnail among none"),
        (0, np.zeros(5), "rows_ahead: expected shape rows x 5, got 20 x 6"),
        (2, np.zeros(5), "rows: expected shape 3 x 5, got 3 x 6"),
        (3, -1, "age_steps: expected 0 or more, got -1"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(place: int, value: object, message: str) -> None:
    arguments = list(inputs())
    arguments[place] = value
    with pytest.raises(CorrectionInputError, match=message):
        SetpointCorrection(correction_file()).correct(*arguments)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ((np.zeros(5), np.ones(6)), "lower limits: expected shape 6, got 5"),
        ((np.zeros(6), np.ones(7)), "upper limits: expected shape 6, got 7"),
        ((np.ones(6), np.zeros(6)), "limits: expected lower <= upper"),
        ((np.full(6, np.nan), np.ones(6)), "limits: expected lower <= upper"),
    ],
)
def test_limits_that_cannot_be_are_refused(limits: tuple, message: str) -> None:
    with pytest.raises(CorrectionInputError, match=message):
        SetpointCorrection(correction_file(), limits)


@pytest.mark.parametrize("bound", [-0.1, 4.0, np.nan, np.inf])
def test_a_bound_that_cannot_be_is_refused(bound: float) -> None:
    with pytest.raises(CorrectionInputError, match="largest_delta_rad: expected above 0 and at most pi"):
        SetpointCorrection(correction_file(), largest_delta_rad=bound)
