# SPDX-License-Identifier: Apache-2.0
"""Draws what a correction does: the planned and the corrected row of each joint, and how far it moves the gripper."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from so101_description.mesh_files import robot_description
from so101_description.robot_description import urdf_folder
from so101_description.robot_model import RobotModel
from so101_viewer.view.paths import planned_path

from so101_demo.film.colours import BACKGROUND, FAINT, GRID, PANEL, TEXT, THRESHOLD, Colour, dimmed, font
from so101_demo.film.reel import RowSample

ROWS_HEIGHT = 176
ROWS_WINDOW_S = 3.0
PLANNED, CORRECTED = THRESHOLD, (96, 205, 255)
WORKING = (70, 190, 132)

_SHARPNESS = 2  # drawn at twice the size and reduced, which smooths the lines
_TOP, _BOTTOM = 58, ROWS_HEIGHT - 14
_LEFT, _COLUMN, _GAP = 14, 176, 10
_LEAST_RANGE_RAD = 0.35  # a joint that hardly moves must not look as if it did
_SEEN_DEG = 0.5  # of a delta below that nothing is to be seen


@dataclass(frozen=True, slots=True)
class RowsSeen:
    """The rows of the last ROWS_WINDOW_S before `time_ns`, oldest first."""

    time_ns: int
    rows: Sequence[RowSample]


def gripper_shift_m(row: RowSample) -> float:
    """Return how far the corrected row's gripper is from the planned row's, m."""
    corrected = [position + delta for position, delta in zip(row.planned, row.correction, strict=True)]
    before, after = planned_path(_arm(), row.joints, [row.planned, corrected])
    return float(np.linalg.norm(after - before))


@lru_cache(maxsize=1)
def _arm() -> RobotModel:
    return RobotModel.parse(robot_description(urdf_folder(), "none"))


def draw_rows(seen: RowsSeen, cause: str, width: int) -> Image.Image:
    """Return the band, `width` x ROWS_HEIGHT, RGB.

    Args:
        seen: the rows to draw; of joints in one order.
        cause: why the correction adds nothing; "" while it works.
        width: pixels.
    """
    newest = seen.rows[-1] if seen.rows else None
    band = Image.new("RGB", (width * _SHARPNESS, ROWS_HEIGHT * _SHARPNESS), PANEL)
    joints = newest.joints if newest else []
    boxes = _boxes(len(joints), width - _COLUMN)
    if newest:
        ages_s = np.array([(seen.time_ns - row.time_ns) * 1e-9 for row in seen.rows])
        planned = np.array([row.planned for row in seen.rows])
        corrected = planned + np.array([row.correction for row in seen.rows])
        for joint, (left, right) in enumerate(boxes):
            _draw_joint(ImageDraw.Draw(band), left, right, ages_s, planned[:, joint], corrected[:, joint])
    band = band.reduce(_SHARPNESS)
    pen = ImageDraw.Draw(band)
    _draw_legend(pen, width - _COLUMN)
    for joint, (left, right) in enumerate(boxes):
        pen.text((left, 44), joints[joint].replace("_", " "), FAINT, font(14), anchor="lm")
        degrees = math.degrees(newest.correction[joint]) if newest else 0.0
        colour = CORRECTED if abs(degrees) >= _SEEN_DEG else FAINT
        pen.text((right, 44), f"{round(degrees, 1) + 0.0:+.1f}°", colour, font(14), anchor="rm")
    _draw_state(pen, newest, cause, width - _COLUMN + 16)
    return band


def _boxes(joints: int, right: int) -> list[tuple[int, int]]:
    """Left and right edge of each joint's plot, pixels."""
    step = (right - _LEFT) / max(joints, 1)
    return [(round(_LEFT + step * joint), round(_LEFT + step * (joint + 1)) - _GAP) for joint in range(joints)]


def _draw_joint(
    pen: ImageDraw.ImageDraw,
    left: int,
    right: int,
    ages_s: NDArray[np.float64],
    planned: NDArray[np.float64],
    corrected: NDArray[np.float64],
) -> None:
    scale = _SHARPNESS
    both = np.concatenate([planned, corrected])
    span = max(float(np.ptp(both)) * 1.1, _LEAST_RANGE_RAD)
    highest = float(both.max() + both.min()) / 2 + span / 2
    xs = (right - ages_s / ROWS_WINDOW_S * (right - left)) * scale
    pen.rectangle((left * scale, _TOP * scale, right * scale, _BOTTOM * scale), fill=BACKGROUND)
    for second in range(1, int(ROWS_WINDOW_S)):
        x = (right - second / ROWS_WINDOW_S * (right - left)) * scale
        pen.line((x, _TOP * scale, x, _BOTTOM * scale), GRID, scale)
    upper, lower = (_heights(line, highest, span) for line in (planned, corrected))
    for first, last in _unbroken(ages_s):
        part = slice(first, last)
        there = list(zip(xs[part].tolist(), upper[part].tolist(), strict=True))
        back = list(zip(xs[part].tolist(), lower[part].tolist(), strict=True))
        if len(there) < 2:
            continue
        pen.polygon([*there, *reversed(back)], fill=dimmed(CORRECTED))
        pen.line(there, PLANNED, 2 * scale)
        pen.line(back, CORRECTED, 2 * scale)


def _heights(line: NDArray[np.float64], highest: float, span: float) -> NDArray[np.float64]:
    return np.asarray((_TOP + (highest - line) / span * (_BOTTOM - _TOP)) * _SHARPNESS)


def _unbroken(ages_s: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Stretches without a gap above 0.5 s, as between two episodes: begin and end of each."""
    breaks = (np.flatnonzero(np.abs(np.diff(ages_s)) > 0.5) + 1).tolist()
    edges = [0, *breaks, len(ages_s)]
    return list(pairwise(edges))


def _draw_legend(pen: ImageDraw.ImageDraw, right: int) -> None:
    x = float(_LEFT)
    entries: tuple[tuple[str, Colour], ...] = (("planned row", PLANNED), ("row corrected on the robot", CORRECTED))
    for name, colour in entries:
        pen.line((x, 17, x + 24, 17), colour, 3)
        pen.text((x + 32, 17), name, TEXT, font(15), anchor="lm")
        x += 32 + pen.textlength(name, font(15)) + 28
    pen.text((right - _GAP, 17), f"last {ROWS_WINDOW_S:g} s", FAINT, font(15), anchor="rm")


def _draw_state(pen: ImageDraw.ImageDraw, newest: RowSample | None, cause: str, left: int) -> None:
    if newest:
        figure = f"{gripper_shift_m(newest) * 100:.1f}"
        pen.text((left, 32), figure, TEXT, font(34), anchor="lm")
        used = pen.textlength(figure, font(34))
        pen.text((left + used + 6, 38), "cm", FAINT, font(15), anchor="lm")
        pen.text((left, 64), "from the gripper's", FAINT, font(14), anchor="lm")
        pen.text((left, 81), "planned place", FAINT, font(14), anchor="lm")
    word, colour = ("CORRECTING", WORKING) if not cause else ("AS PLANNED", THRESHOLD)
    pen.text((left, 106), word, colour, font(18), anchor="lm")
    for number, line in enumerate(textwrap.wrap(cause, 24)[:3]):
        pen.text((left, 127 + 16 * number), line, THRESHOLD, font(13), anchor="lm")
