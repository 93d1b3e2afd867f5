# SPDX-License-Identifier: Apache-2.0
"""What an image is to the core: pixels, their bounds, and that it may be unreadable. Decoding is another matter."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from so101_policy_server.errors import PolicyServerError

Pixels = npt.NDArray[np.uint8]
"""(H, W, 3) uint8, RGB."""

MAX_IMAGE_BYTES: Final = 8 * 1024 * 1024
"""A lossless 1920 x 1080 frame has at most 6.2 MB; more than this is not a camera frame."""

MAX_IMAGE_PIXELS: Final = 4096 * 4096
"""50 MB decoded. Guards memory against a small file that announces a huge frame."""


class ImageDecodeError(PolicyServerError):
    """The bytes are not one whole JPEG or PNG frame of acceptable size. The message is one line."""
