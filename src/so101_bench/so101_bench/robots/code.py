# SPDX-License-Identifier: Apache-2.0
"""What a request carries so that its chunk tells whose it is: a colour in the frame, joint positions in the state."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 64, 48
"""Of the frames, pixels; they have one colour, which PNG keeps exactly."""

JOINTS: Final = 6
FULL_DEG: Final = 80.0
"""What 255 of a colour is in a chunk, degrees."""

COLOUR: Final = slice(0, 3)
"""Columns of a chunk's first row that have the colour."""

ECHO: Final = slice(3, 5)
"""Columns of it that have the joint positions of the request."""


def colour_of(robot: int, request_id: int) -> tuple[int, int, int]:
    """RGB of a request's frames; no two of 256 robots' last 65536 requests have the same."""
    return robot % 256, request_id // 256 % 256, request_id % 256


def frame_of(robot: int, request_id: int) -> bytes:
    """A request's frame, PNG."""
    red, green, blue = colour_of(robot, request_id)
    _, data = cv2.imencode(".png", np.full((HEIGHT, WIDTH, 3), (blue, green, red), np.uint8))
    return data.tobytes()


def positions_of(robot: int, request_id: int) -> NDArray[np.float64]:
    """A request's joint positions, (6,) rad."""
    return np.asarray(np.linspace(0.1, 0.6, JOINTS) + robot / 100 + request_id % 1000 / 10000, np.float64)


def is_own(robot: int, request_id: int, first_row: NDArray[np.float32]) -> bool:
    """Whether a chunk's first row, (6,) rad, has the colour and the joint positions of this request."""
    colour = np.round(np.degrees(first_row[COLOUR]) / FULL_DEG * 255).astype(int)
    echo = np.allclose(first_row[ECHO], positions_of(robot, request_id)[ECHO], atol=1e-4)
    return tuple(colour.tolist()) == colour_of(robot, request_id) and echo
