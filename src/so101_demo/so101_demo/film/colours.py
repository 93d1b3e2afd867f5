# SPDX-License-Identifier: Apache-2.0
"""Colours and letters of the film."""

from functools import lru_cache

from PIL import ImageFont

Colour = tuple[int, int, int]
"""RGB."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

BACKGROUND = (16, 20, 26)
PANEL = (26, 32, 40)
GRID = (52, 61, 73)
TEXT = (233, 237, 242)
FAINT = (148, 160, 175)
THRESHOLD = (255, 190, 92)


@lru_cache(maxsize=8)
def font(size: int) -> Font:
    """Return the film's letters in a size, pixels."""
    return ImageFont.load_default(size)


def dimmed(colour: Colour) -> Colour:
    """Return the colour as it looks faintly on a panel."""
    return tuple((c + 2 * p) // 3 for c, p in zip(colour, PANEL, strict=True))  # type: ignore[return-value]
