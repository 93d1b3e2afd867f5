# SPDX-License-Identifier: Apache-2.0
"""Frames that overtook their request."""

from __future__ import annotations

import numpy as np
from so101_policy_server.core.early_frames import FRAMES_KEPT, EarlyFrames
from so101_policy_server.core.image import MAX_IMAGE_BYTES

MS = 1_000_000


def test_frames_that_come_before_their_request_wait_for_it_and_leave_once(examples) -> None:
    early, frame = EarlyFrames(), examples.frame("front")
    early.keep(frame)
    early.keep(examples.frame("front", 2))
    assert early.take(examples.key()) == [frame]
    assert early.take(examples.key()) == []


def test_frames_without_request_take_bounded_memory_and_go_after_a_while(examples) -> None:
    early = EarlyFrames()
    for request_id in range(1, 500):
        early.keep(examples.frame("front", request_id))
    assert len(early) == FRAMES_KEPT
    early.keep(examples.frame("front", 1000, data=np.zeros(MAX_IMAGE_BYTES + 1, np.uint8)))
    assert early.take(examples.key(1000)) == []
    early.drop_old(1000 * MS, 1.0)
    assert len(early) == 0
