# SPDX-License-Identifier: Apache-2.0
"""Pictures and whole observations as LeRobot takes them, of several robots as one batch. Part of its adaptor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import torch

from so101_policy_server.core.image import Pixels
from so101_policy_server.inference.image_decode import resize_image
from so101_policy_server.policy import Leftover, Observation, PolicyDescription

LARGEST_VALUE: Final = np.float32(255)
"""Of a uint8, by which LeRobot divides."""


def planar(frame: Pixels) -> npt.NDArray[np.float32]:
    """(height, width, 3) uint8 as LeRobot's `prepare_observation_for_inference` makes it, (height, width, 3) in 0 to 1.

    In memory the channel comes first, so that LeRobot turns and copies nothing any more. It would convert to float
    before it turns: the same values, but three arrays of four bytes a value in place of one, and 2.4 ms of a core in
    place of 1.4 for three frames of 640x480.
    """
    planes = np.empty((frame.shape[2], *frame.shape[:2]), np.uint8)
    cv2.split(frame, list(planes))
    floats = planes.astype(np.float32)
    floats /= LARGEST_VALUE
    return floats.transpose(1, 2, 0)


def alike(observations: Sequence[Observation], leftovers: Sequence[Leftover | None]) -> list[list[int]]:
    """The places of those that can share a pass: pictures of the same sizes, leftovers of the same rows and delay.

    LeRobot has one delay and one horizon for all rows of a batch.
    """
    groups: dict[object, list[int]] = {}
    for index, (observation, leftover) in enumerate(zip(observations, leftovers, strict=True)):
        sizes = tuple((key, *(picture.shape for picture in pictures)) for key, pictures in observation.images.items())
        continued = None if leftover is None else (len(leftover.rows), leftover.expected_delay_steps)
        groups.setdefault((sizes, continued), []).append(index)
    return list(groups.values())


def stacked(frames: list[dict[str, Any]]) -> dict[str, Any]:
    """Observations of one row each, as LeRobot prepares them, as one batch; a single one stays as it is."""
    if len(frames) == 1:
        return frames[0]
    first = frames[0]
    tensors = {key: torch.cat([frame[key] for frame in frames]) for key in first if torch.is_tensor(first[key])}
    return {**first, **tensors, "task": [frame["task"] for frame in frames]}


def of_one_size(
    images: Mapping[str, tuple[Pixels, ...]], description: PolicyDescription
) -> Mapping[str, tuple[Pixels, ...]]:
    """Pictures of one size for policies that stack their cameras before they resize them: diffusion's kind."""
    sizes = {picture.shape for pictures in images.values() for picture in pictures}
    features = {image.key: image for image in description.images}
    stacks = any(image.native and image.trained_size for image in features.values())
    if len(sizes) < 2 or not stacks:
        return images
    return {
        key: tuple(resize_image(picture, features[key].height, features[key].width) for picture in pictures)
        for key, pictures in images.items()
    }
