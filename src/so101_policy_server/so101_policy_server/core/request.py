# SPDX-License-Identifier: Apache-2.0
"""What goes in and out of the server's core: requests, frames, answers and their timing, free of ROS types."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from so101_node.protocol import ChunkStatus

from so101_policy_server.core.image import Pixels
from so101_policy_server.errors import WrongShapeError

if TYPE_CHECKING:
    from so101_node.raw_image import RawLayout


@dataclass(frozen=True, slots=True)
class SessionKey:
    """One run of one robot's queue: the robot's namespace and the queue's random session number."""

    robot: str
    session: int

    @property
    def label(self) -> str:
        """The same as one word, as policies get it."""
        return f"{self.robot or '/'}#{self.session}"


@dataclass(frozen=True, slots=True)
class RequestKey:
    """One request."""

    session: SessionKey
    request_id: int


@dataclass(frozen=True, slots=True, eq=False)
class PolicyRequest:
    """An ObservationRequest.

    Attributes:
        key: who asks what.
        spec_id: PolicySpec the request belongs to.
        step: control tick that row 0 of the answer is meant for.
        must_go: the robot's queue is empty.
        task: language instruction.
        joint_names: order of the columns below.
        positions: (history, joints) float64, rad, newest last.
        leftover: (rows, joints) float64, rad; no rows without real-time chunking.
        expected_delay_steps: control steps expected to run before the answer arrives.
        received_ns: server's monotonic clock, ns.
        fault: what is wrong with its form, one line; "" when nothing is.
        incomplete: what of the observation is missing though the request itself is fine, one line; "" when nothing is.
        frame_sizes: height and width at which each camera of the spec may send its frames, pixels; (0, 0) = as
            captured; empty = all as captured.
        frame_wait_ns: how long cameras may wait for their next frame before they answer it, ns.
    """

    key: RequestKey
    spec_id: int
    step: int
    must_go: bool
    task: str
    joint_names: tuple[str, ...]
    positions: npt.NDArray[np.float64]
    leftover: npt.NDArray[np.float64]
    expected_delay_steps: int
    received_ns: int
    fault: str = ""
    incomplete: str = ""
    frame_sizes: tuple[tuple[int, int], ...] = ()
    frame_wait_ns: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedFrame:
    """A frame that answers a request. `camera` is the robot's name for it; history index 0 is the newest.

    `data` is compressed as `format` says, or raw where `raw` says how it lies. `waited_s`: how long the request waited
    for it at the camera, on purpose.
    """

    key: RequestKey
    camera: str
    history_index: int
    frame_seq: int
    capture_age_s: float
    format: str
    data: npt.NDArray[np.uint8]
    received_ns: int
    raw: RawLayout | None = None
    waited_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CameraNeed:
    """One image of the policy and the robot's camera that gives it: LeRobot's key and the size, pixels.

    `native`: frames stay as the camera gives them, whatever the size says; see `ImageFeature`, also for
    `trained_size`.
    """

    camera: str
    key: str
    height: int
    width: int
    native: bool = False
    trained_size: bool = True


@dataclass(frozen=True, slots=True)
class ChunkTiming:
    """Where a chunk's time went, s. Without `total`, the parts follow each other and add up to nearly all of it.

    Attributes:
        wait_frames: request received -> all its frames received.
        decode: all frames received -> all decoded and resized (each is decoded as soon as it arrives).
        mailbox_wait: observation complete -> taken by the inference thread.
        preprocess: units, normalisation, batching.
        inference: the policy's own predict_action_chunk.
        postprocess: denormalisation and units.
        frame_age: capture of the oldest frame -> its publication, before all of the above and on the camera's clock;
            NaN for a policy without cameras.
        frame_wait: request sent -> the last frame that a camera waited for on purpose was due; mostly in wait_frames.
        observation_age: capture of the oldest frame of the newest step -> publication of the last one; `frame_age`,
            and what it waited for other cameras. No clocks are compared: all cameras have the request at one time.
    """

    wait_frames: float = 0.0
    decode: float = 0.0
    mailbox_wait: float = 0.0
    preprocess: float = 0.0
    inference: float = 0.0
    postprocess: float = 0.0
    frame_age: float = math.nan
    frame_wait: float = 0.0
    observation_age: float = math.nan


@dataclass(frozen=True, slots=True, eq=False)
class CompleteRequest:
    """A request with all its frames. `images`: LeRobot's key -> frames of all observation steps, newest last."""

    request: PolicyRequest
    images: dict[str, tuple[Pixels, ...]]
    timing: ChunkTiming


@dataclass(frozen=True, slots=True, eq=False)
class ServedChunk:
    """An ActionChunk. `positions` is (rows, joints) float32, rad, without rows unless status is OK.

    `period_s` is the time between rows.
    """

    request: PolicyRequest
    status: ChunkStatus
    message: str = ""
    retry_after_s: float = 0.0
    joint_names: tuple[str, ...] = ()
    positions: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    period_s: float = 0.0
    timing: ChunkTiming = ChunkTiming()

    def __post_init__(self) -> None:
        if self.positions.ndim != 2 or (len(self.positions) and self.positions.shape[1] != len(self.joint_names)):
            expected = f"(rows, {len(self.joint_names)}), a column per joint"
            raise WrongShapeError(f"positions have shape {self.positions.shape}: expected {expected}")
