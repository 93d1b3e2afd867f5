# SPDX-License-Identifier: Apache-2.0
"""When two sizes of a frame have the same aspect ratio: a camera and a server must agree on it."""

from typing import Final

SAME_ASPECT: Final = 1.1
"""Between 4:3 and 5:4 lie 7 %, which policies trained on fitted frames bear; between 4:3 and 3:2, 13 %."""


def is_distorted(size: tuple[int, int], reference: tuple[int, int]) -> bool:
    """Whether a frame of one size, fitted to the other, is distorted; both in the same order, pixels, above 0."""
    stretch = size[0] * reference[1] / (size[1] * reference[0])
    return max(stretch, 1.0 / stretch) > SAME_ASPECT
