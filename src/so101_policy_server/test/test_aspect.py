# SPDX-License-Identifier: Apache-2.0
"""Pictures of another aspect ratio than the policy's: refused with both sizes, or squashed with a warning."""

from __future__ import annotations

import queue

import cv2
import numpy as np
import pytest
from so101_node.log_lines import LogLevel, LogLine
from so101_node.protocol import ChunkStatus
from so101_policy_server.core.aspect import find_distortion
from so101_policy_server.core.request import CameraNeed
from so101_policy_server.core.server import PolicyServer
from so101_policy_server.inference.inference_thread import InferenceThread
from so101_policy_server.inference.raw_image import RawLayout


@pytest.mark.parametrize(
    ("policy", "given"),
    [((480, 640), (480, 640)), ((96, 128), (480, 640)), ((64, 80), (480, 640)), ((720, 1280), (270, 480))],
)
def test_the_same_aspect_in_any_size_is_silent(policy: tuple[int, int], given: tuple[int, int]) -> None:
    assert find_distortion(CameraNeed("top", "key", *policy), *given) == ""


@pytest.mark.parametrize(
    ("policy", "given", "words"),
    [
        ((480, 640), (720, 1280), "frames are 1280x720 (16:9), the policy was trained with 640x480 (4:3)"),
        ((480, 640), (640, 480), "frames are 480x640 (3:4)"),
        ((224, 224), (480, 640), "trained with 224x224 (1:1)"),
        ((480, 640), (320, 480), "frames are 480x320 (3:2)"),
    ],
)
def test_another_aspect_is_told_with_both_sizes(policy, given, words: str) -> None:
    text = find_distortion(CameraNeed("top", "key", *policy), *given)
    assert words in text and "aspect_mismatch: warn" in text


def test_a_policy_that_pads_by_itself_takes_any_aspect() -> None:
    assert find_distortion(CameraNeed("top", "key", 256, 256, native=True, trained_size=False), 480, 640) == ""


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("refuses", [True, False])
def test_a_wide_picture_is_refused_or_squashed_with_one_warning(examples, spy_policy, refuses: bool, raw: bool) -> None:
    answers, logged, announced = queue.Queue(), [], queue.Queue()
    policy = spy_policy(examples.description("top"))
    core = PolicyServer(examples.config(refuses_distortion=refuses))
    core.activate()
    core.spec("", examples.spec(cameras=("top",)), 0)
    thread = InferenceThread(
        core, lambda _source, _progress: policy, answers.put, logged.append, lambda: announced.put(None)
    )
    thread.start()
    announced.get(timeout=10)
    wide = np.zeros((36, 64, 3), np.uint8)
    coded = {"data": wide.ravel(), "format": "", "raw": RawLayout("rgb8", 36, 64, 192)} if raw else {
        "data": cv2.imencode(".png", wide)[1].ravel()
    }  # fmt: skip
    for request_id in (1, 2):
        thread.call(lambda core, now, i=request_id: core.request(examples.request(i), now))
        thread.call(lambda core, _now, i=request_id: core.frame(examples.frame("top", i, **coded)))
        answer = answers.get(timeout=10)
        assert answer.status is (ChunkStatus.OBSERVATION_INCOMPLETE if refuses else ChunkStatus.OK)
        assert not refuses or "camera top: frames are 64x36 (16:9), the policy was trained with 32x24" in answer.message
    warned = [line.text for line in logged if isinstance(line, LogLine) and line.level is LogLevel.WARNING]
    assert [text for text in warned if "64x36" in text] == warned
    assert len(warned) == (0 if refuses else 1)
    assert thread.stop(10)
