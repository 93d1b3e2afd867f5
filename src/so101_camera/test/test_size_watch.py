# SPDX-License-Identifier: Apache-2.0
"""Pictures that change their size while the camera runs."""

import numpy as np
from so101_camera.core.frame import Frame
from so101_camera.core.size_watch import SIZE_CHANGED, SizeWatch
from so101_camera.image_codec import encode_jpeg, frame_size


def frame(seq: int, width: int, height: int, *, jpeg: bool = False) -> Frame:
    pixels = np.zeros((height, width, 3), np.uint8)
    return Frame(seq, seq, jpeg=encode_jpeg(pixels)) if jpeg else Frame(seq, seq, bgr=pixels)


def test_each_change_is_said_once_and_shown_as_long_as_it_lasts() -> None:
    watch = SizeWatch(frame_size)
    assert (watch.look(), watch.words()) == ("", "")
    said = []
    for seq, (width, height) in enumerate([(64, 48), (64, 48), (32, 24), (32, 24), (48, 48), (64, 48), (64, 48)], 1):
        watch.add(frame(seq, width, height, jpeg=seq % 2 == 0))
        said.append((watch.look(), watch.words()))
    smaller, square = "32x24, 64x48 at first", "48x48, of another aspect ratio, 64x48 at first"
    line = f"{SIZE_CHANGED.meaning}: {{}}; {SIZE_CHANGED.remedy}"
    assert said == [
        ("", ""),
        ("", ""),
        (line.format(smaller), smaller),
        ("", smaller),
        (line.format(square), square),
        ("the frames are 64x48 again, as at first", ""),
        ("", ""),
    ]


def test_a_torn_picture_says_nothing_of_its_size() -> None:
    watch = SizeWatch(frame_size)
    watch.add(frame(1, 64, 48))
    watch.look()
    watch.add(Frame(2, 2, jpeg=b"\xff\xd8torn"))
    assert (watch.look(), watch.words()) == ("", "")
