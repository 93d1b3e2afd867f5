# SPDX-License-Identifier: Apache-2.0
"""The film's band of planned and corrected rows."""

import numpy as np
import pytest
from PIL import Image
from so101_demo.film.reel import RowSample
from so101_demo.film.row_drawing import CORRECTED, PLANNED, ROWS_HEIGHT, WORKING, RowsSeen, draw_rows, gripper_shift_m
from so101_node.protocol import JOINT_NAMES

SECOND = 1_000_000_000
WIDTH = 1056


def row(delta_rad: float, joint: int = 0, time_ns: int = 0) -> RowSample:
    correction = [0.0] * len(JOINT_NAMES)
    correction[joint] = delta_rad
    return RowSample(time_ns, list(JOINT_NAMES), [0.0, -0.4, 0.6, 0.5, 0.0, 0.3], correction)


def band(delta_rad: float, joint: int = 0, cause: str = "") -> Image.Image:
    rows = [row(delta_rad, joint, k * SECOND // 30) for k in range(91)]
    return draw_rows(RowsSeen(3 * SECOND, rows), cause, WIDTH)


def columns(image: Image.Image, colour: tuple[int, int, int]) -> set[int]:
    """Columns below the names in which a line of that colour is drawn."""
    plots = np.asarray(image)[60:]
    return set(np.flatnonzero((plots == colour).all(axis=2).any(axis=0)).tolist())


def test_both_rows_are_seen_in_the_plot_of_the_joint_that_is_corrected():
    for joint in (0, 3):
        image = band(0.2, joint)
        assert image.size == (WIDTH, ROWS_HEIGHT)
        seen = columns(image, PLANNED) & set(range(WIDTH - 176))
        left, right = 14 + joint * (WIDTH - 190) / 6, 14 + (joint + 1) * (WIDTH - 190) / 6
        assert seen and left <= min(seen) and max(seen) <= right, "elsewhere the corrected row covers the planned one"
        assert len(columns(image, CORRECTED)) > 600


def test_the_state_is_told_with_its_cause():
    right = range(WIDTH - 176, WIDTH)
    assert columns(band(0.2), WORKING) & set(right)
    faded = band(0.0, cause="camera top: the newest picture is 400 ms old")
    assert not columns(faded, WORKING) and columns(faded, PLANNED) & set(right)


def test_the_grippers_shift_is_that_of_the_arms_kinematics():
    """The pan joint turns the gripper about the base's axis: 0.1 rad at a reach of some 30 cm."""
    assert 0.015 < gripper_shift_m(row(0.1)) < 0.045
    assert gripper_shift_m(row(0.1)) == pytest.approx(gripper_shift_m(row(-0.1)))
    assert gripper_shift_m(row(0.1, joint=5)) == 0.0, "the jaw alone does not move the gripper"


def test_before_the_first_row_the_band_is_drawn_all_the_same():
    assert draw_rows(RowsSeen(0, []), "", WIDTH).size == (WIDTH, ROWS_HEIGHT)
