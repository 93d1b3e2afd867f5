# SPDX-License-Identifier: Apache-2.0
"""From the simulator's configuration to the pixels a policy reads, through the very code that runs on the two hosts."""

from __future__ import annotations

from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray
from so101_camera.image_codec import encode_jpeg
from so101_policy_server.inference.image_decode import decode_image
from so101_sim.world import scene
from so101_sim.world.rendering import CameraRenderer

from so101_training.policy.recipe import ObservationRecipe


class Viewpoint:
    """Renders, encodes, decodes and resizes. Belongs to one thread, as the GL context in it does."""

    def __init__(self, recipe: ObservationRecipe) -> None:
        """GraphicsError without a GL library."""
        self._recipe = recipe
        self._renderer = CameraRenderer(scene.build_model())

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras in the order of the policy's features."""
        return self._recipe.cameras

    def jpegs(self, qpos: NDArray[np.float64]) -> dict[str, bytes]:
        """By camera: the JPEG file that it sends."""
        self._renderer.show(qpos)
        jpegs = {}
        for camera in self._recipe.cameras:
            rgb = cv2.flip(self._renderer.render_upside_down(camera), 0)
            jpegs[camera] = encode_jpeg(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8))
        return jpegs

    def see(self, qpos: NDArray[np.float64]) -> dict[str, tuple[bytes, NDArray[np.uint8]]]:
        """By camera: the JPEG file that it sends, and the (height, width, 3) uint8 RGB that the policy reads of it."""
        height, width = self._recipe.height, self._recipe.width
        jpegs = self.jpegs(qpos)
        return {camera: (jpeg, decode_image(jpeg, "jpeg", height, width)) for camera, jpeg in jpegs.items()}

    def close(self) -> None:
        """Free the GL context."""
        self._renderer.close()

    def __enter__(self) -> Viewpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
