# SPDX-License-Identifier: Apache-2.0
"""A correction in virtual time: the object that the action queue's node calls, called in the same order."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from so101_action_queue.record.virtual_session import VirtualSession
from so101_correction.core.corrector import BasePlan, Corrector
from so101_correction.thumbnails import thumbnail

from so101_training.policy.lockstep_arm import ArmMoment
from so101_training.policy.viewpoint import Viewpoint


class CameraHealth(enum.Enum):
    """What becomes of the correction's frames."""

    LIVE = "live"
    FROZEN = "frozen"
    MISSING = "missing"


class VirtualCorrection:
    """Corrects the setpoints of a VirtualSession from what the cameras last saw."""

    def __init__(
        self,
        corrector: Corrector,
        viewpoint: Viewpoint,
        cameras: Sequence[str],
        size: tuple[int, int],
        health: CameraHealth = CameraHealth.LIVE,
    ) -> None:
        """cameras: that the correction reads; size: of its thumbnails, height and width; health: from the start on."""
        self._corrector = corrector
        self._viewpoint = viewpoint
        self._cameras = tuple(cameras)
        self._size = size
        self._health = health
        self._requested = 0
        self._first: dict[str, NDArray[np.uint8]] = {}

    def begin(self) -> None:
        """An episode begins."""
        self._corrector.begin()
        self._requested = 0
        self._first = {}

    def delta(self, session: VirtualSession, moment: ArmMoment) -> NDArray[np.float64]:
        """What is added to the setpoint of this tick, (6,), rad."""
        now_ns = session.now_ns
        for camera, frame in self._frames(moment).items():
            self._corrector.see(camera, frame, now_ns)
        plan = session.journal.core.base_plan()
        base = None
        if plan is not None:
            base = BasePlan(plan.setpoint, plan.rows_ahead, plan.request_id, plan.age_steps, plan.executes)
        correction = self._corrector.tick(now_ns, base, moment.positions)
        requests = session.trace.requests
        if requests and requests[-1].request_id != self._requested:
            self._requested = requests[-1].request_id
            self._corrector.requested(self._requested, now_ns)
        return correction.delta

    def _frames(self, moment: ArmMoment) -> dict[str, NDArray[np.uint8]]:
        """The thumbnails of what the cameras last saw, by camera."""
        if not self._cameras or self._health is CameraHealth.MISSING:
            return {}
        if self._health is CameraHealth.FROZEN and self._first:
            return self._first
        jpegs = self._viewpoint.jpegs(moment.qpos)
        frames = {camera: thumbnail(jpegs[camera], *self._size) for camera in self._cameras}
        self._first = self._first or frames
        return frames
