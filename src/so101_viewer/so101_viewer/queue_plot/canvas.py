# SPDX-License-Identifier: Apache-2.0
"""Lines, bands and text on a BGR image: OpenCV for the shapes, Pillow's font for the letters, each drawn once."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
"""(height, width, 3), BGR."""

Colour = tuple[int, int, int]
"""RGB, as people write it."""

_SUBPIXEL = 3  # cv2 takes coordinates in eighths of a pixel, so that slow curves do not climb in steps


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


@lru_cache(maxsize=1024)
def _letters(text: str, size: int) -> NDArray[np.float32]:
    """Return how much of each pixel the text covers, (height, width, 1), 0..1."""
    font = _font(size)
    width = int(font.getlength(text)) + 2
    mask = Image.new("L", (width, size + size // 3))
    ImageDraw.Draw(mask).text((0, size // 2 + size // 6), text, fill=255, font=font, anchor="lm")
    return np.asarray(np.asarray(mask, np.float32) / 255, np.float32)[:, :, None]


@lru_cache(maxsize=1024)
def _inked(text: str, size: int, colour: Colour) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what is left of the ground under the text, (height, width, 1), and what its colour adds, (..., 3)."""
    letters = _letters(text, size)
    return 1 - letters, letters * np.array(colour[::-1], np.float32)


class Canvas:
    """Draws into an image. Places are in pixels from the upper left corner; what lies outside is cut off."""

    def __init__(self, image: Pixels) -> None:
        self.image = image

    @classmethod
    def blank(cls, width: int, height: int, colour: Colour) -> "Canvas":
        """Return a canvas of one colour."""
        image = np.empty((height, width, 3), np.uint8)
        image[:] = colour[::-1]
        return cls(image)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill a rectangle; no side may lie left of or above the image."""
        self.image[int(top + 0.5) : int(bottom + 0.5), int(left + 0.5) : int(right + 0.5)] = colour[::-1]

    def line(self, points: NDArray[np.float64], colour: Colour, width: int = 1) -> None:
        """Draw through points, (n, 2)."""
        if len(points) > 1:
            shifted = np.round(points * (1 << _SUBPIXEL)).astype(np.int32)
            cv2.polylines(self.image, [shifted], False, colour[::-1], width, cv2.LINE_AA, _SUBPIXEL)

    def area(self, points: NDArray[np.float64], colour: Colour) -> None:
        """Fill a polygon, (n, 2)."""
        if len(points) > 2:
            shifted = np.round(points * (1 << _SUBPIXEL)).astype(np.int32)
            cv2.fillPoly(self.image, [shifted], colour[::-1], cv2.LINE_8, _SUBPIXEL)

    def dashes(self, left: float, right: float, y: float, colour: Colour) -> None:
        """Draw a level dashed line, 5 pixels on and 4 off."""
        row = _whole(y)
        if 0 <= row < len(self.image):
            for x in range(_whole(left), _whole(right), 9):
                self.image[row, x : min(x + 5, _whole(right))] = colour[::-1]

    def dot(self, x: float, y: float, colour: Colour, radius: int = 2) -> None:
        """Draw a filled circle."""
        cv2.circle(self.image, (round(x), round(y)), radius, colour[::-1], -1, cv2.LINE_AA)

    def text(self, x: float, y: float, text: str, colour: Colour, size: int = 14, anchor: str = "left") -> float:
        """Write text with its middle at height y; `anchor`: left, right or middle of it at x. Returns its width."""
        letters = _letters(text, size)
        height, width = letters.shape[:2]
        left = _whole(x) - {"left": 0, "right": width, "middle": width // 2}[anchor]
        top = _whole(y) - height // 2
        spot = self.image[max(top, 0) : top + height, max(left, 0) : left + width]
        if spot.size:
            cover, ink = _inked(text, size, colour)
            part = (
                slice(max(-top, 0), max(-top, 0) + spot.shape[0]),
                slice(max(-left, 0), max(-left, 0) + spot.shape[1]),
            )
            spot[:] = spot * cover[part] + ink[part]
        return float(width)


def _whole(value: float) -> int:
    return max(0, round(value))
