# SPDX-License-Identifier: Apache-2.0
"""A corrector with its cameras and its queue, in steps of a control tick."""

from dataclasses import replace

import numpy as np
from correction_weights import correction_file, random_weights
from so101_correction.core.corrector import BasePlan, Correction, Corrector

PERIOD_NS = 33_333_333
SIDE = 8  # pixels of a thumbnail: small ones are as good here
JOINTS = 6


def small_file(
    cameras: tuple[str, ...] = ("top", "wrist"), gain: float = 1.0, earlier_steps: int = 0, **changes: object
):
    """`gain`: how far beyond its usual size the network's result is."""
    weights = random_weights(len(cameras), units=(16, 8), channels=5 if earlier_steps else 4)
    weights["residual_scale"] = weights["residual_scale"] * np.float32(gain)
    return correction_file(cameras, weights=weights, height=SIDE, width=SIDE, earlier_steps=earlier_steps, **changes)


class CorrectionWorld:
    """Everything is well unless told otherwise: a new frame of each camera, then a tick of a plan of request 1."""

    def __init__(self, file=None, **options: object) -> None:
        self.file = file or small_file(gain=50.0)
        self.corrector = Corrector(self.file, **options)
        self.now_ns = 1_000_000_000
        self.rng = np.random.default_rng(3)
        self.plan = BasePlan(self.rng.normal(size=JOINTS), self.rng.normal(size=(20, JOINTS)), 1, 4, True)
        self.see()
        self.corrector.requested(1, self.now_ns)

    def frame(self) -> np.ndarray:
        return self.rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)

    def see(self, *without: str) -> None:
        for camera in self.file.cameras:
            if camera not in without:
                self.corrector.see(camera, self.frame(), self.now_ns)

    def tick(self, *, seen: bool = True, joints: object = None, no_plan: bool = False, **plan: object) -> Correction:
        self.now_ns += PERIOD_NS
        if seen:
            self.see()
        positions = np.zeros(JOINTS) if joints is None else np.asarray(joints, float)
        return self.corrector.tick(self.now_ns, None if no_plan else replace(self.plan, **plan), positions)

    def warm(self, ticks: int = 12) -> Correction:
        """Tick until the delta stands at its bound; the last correction."""
        for _ in range(ticks):
            correction = self.tick()
        assert correction.cause == "" and np.abs(correction.delta).max() > 0.3
        return correction
