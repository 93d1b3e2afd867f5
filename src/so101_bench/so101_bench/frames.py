# SPDX-License-Identifier: Apache-2.0
"""The images that both sides send: JPEG files in one folder per camera, each a walk over a photograph.

A photograph, since grey or noise would be compressed to nothing or not at all; a walk, since cameras see motion.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib.cbook
import numpy as np
from numpy.typing import NDArray
from so101_camera.image_codec import decode_image, encode_jpeg

WIDTH, HEIGHT = 640, 480
FRAMES = 24  # per camera; shown at 30 Hz, then again from the first
# About what a USB camera's own MJPG has: 50 kB a frame, 150 kB an observation of three.
JPEG_QUALITY = 80
GRAIN = 2.0  # standard deviation of the sensor noise added, grey levels of 255

PHOTOGRAPH = "grace_hopper.jpg"  # comes with matplotlib: a photograph of the US Navy, public domain


@dataclass(frozen=True, slots=True)
class Walk:
    """A camera's window on the photograph: where it begins, its width, and its step per frame, pixels."""

    left: int
    top: int
    width: int
    step_x: int
    step_y: int


WALKS = {
    "front": Walk(0, 0, 480, 1, 4),
    "top": Walk(20, 150, 400, 4, 3),
    "wrist": Walk(10, 40, 360, 5, 2),
}


def write_frames(folder: Path) -> dict[str, Path]:
    """Write every camera's JPEG files and return the folder of each camera."""
    pixels = _photograph()
    folders = {}
    for camera, walk in WALKS.items():
        folders[camera] = folder / camera
        folders[camera].mkdir(parents=True)
        for index in range(FRAMES):
            jpeg = encode_jpeg(_view(pixels, walk, index), JPEG_QUALITY)
            (folders[camera] / f"{index:03d}.jpg").write_bytes(jpeg)
    return folders


def photograph_view(number: int, height: int, width: int) -> NDArray[np.uint8]:
    """One view of the walks, (height, width, 3) uint8 BGR; other numbers give other views."""
    walks = list(WALKS.values())
    view = _view(_photograph(), walks[number % len(walks)], number // len(walks) % FRAMES)
    return np.asarray(cv2.resize(view, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _photograph() -> NDArray[np.uint8]:
    photograph = cv2.imread(str(matplotlib.cbook.get_sample_data(PHOTOGRAPH, asfileobj=False)))
    if photograph is None:
        raise FileNotFoundError(f"matplotlib's sample image {PHOTOGRAPH} is not there; reinstall matplotlib")
    return np.asarray(photograph, np.uint8)


def read_rgb(folder: Path) -> list[NDArray[np.uint8]]:
    """Return a camera's frames as (HEIGHT, WIDTH, 3) uint8 RGB, in order."""
    bgr = (decode_image(file.read_bytes()) for file in sorted(folder.glob("*.jpg")))
    return [np.ascontiguousarray(image[:, :, ::-1]) for image in bgr]


def _view(photograph: NDArray[np.uint8], walk: Walk, index: int) -> NDArray[np.uint8]:
    """The image of one frame; the walk goes forth and back so that the loop has no jump."""
    turn = FRAMES // 2
    place = index if index <= turn else FRAMES - index
    left, top = walk.left + place * walk.step_x, walk.top + place * walk.step_y
    part = photograph[top : top + walk.width * HEIGHT // WIDTH, left : left + walk.width]
    image = cv2.resize(part, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    grain = np.float32(GRAIN) * np.random.default_rng(index).standard_normal(image.shape, dtype=np.float32)
    return np.asarray(np.clip(image + grain, 0, 255), np.uint8)
