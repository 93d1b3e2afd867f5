# SPDX-License-Identifier: Apache-2.0
"""A folder or a video as a camera."""

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from so101_camera.errors import SourceError
from so101_camera.image_codec import encode_jpeg
from so101_camera.sources.file_source import FileSource


def write_pictures(folder: Path, count: int) -> list[bytes]:
    pictures = [encode_jpeg(np.full((24, 32, 3), 10 * i, np.uint8)) for i in range(count)]
    for i, picture in enumerate(pictures):
        (folder / f"{i:02d}.jpg").write_bytes(picture)
    return pictures


def test_a_folder_is_played_in_name_order_and_again_with_its_bytes_untouched(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path, 3)
    source = FileSource(tmp_path, fps=200)
    source.open()
    frames = [source.read() for _ in range(7)]
    assert [frame.jpeg for frame in frames] == [pictures[i % 3] for i in range(7)]
    assert [frame.seq for frame in frames] == list(range(1, 8))


def test_seq_goes_on_rising_over_closing_and_opening(tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    source = FileSource(tmp_path, fps=200)
    source.open()
    first = source.read()
    source.close()
    source.close()
    source.open()
    assert source.read().seq == first.seq + 1


def test_frames_come_no_faster_than_the_rate(tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    source = FileSource(tmp_path, fps=50)
    source.open()
    started = time.monotonic()
    for _ in range(11):
        source.read()
    assert time.monotonic() - started >= 10 / 50 * 0.95


@pytest.mark.parametrize("name", ["00.jpg", "picture.jpeg"])
def test_a_single_picture_is_a_folder_of_one(tmp_path: Path, name: str) -> None:
    picture = write_pictures(tmp_path, 2)[0]
    (tmp_path / name).write_bytes(picture)
    source = FileSource(tmp_path / name, fps=200)
    source.open()
    assert [source.read().jpeg for _ in range(3)] == [picture] * 3


def test_a_video_is_played_in_a_loop(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (32, 24))
    for i in range(3):
        writer.write(np.full((24, 32, 3), 80 * i, np.uint8))
    writer.release()
    source = FileSource(path, fps=200)
    source.open()
    levels = [int(np.median(frame.bgr)) for frame in (source.read() for _ in range(6)) if frame.bgr is not None]
    assert levels == pytest.approx([0, 80, 160, 0, 80, 160], abs=6)


def test_an_empty_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"holds no \.jpg"):
        FileSource(tmp_path, 30).open()


def test_a_file_that_is_no_video_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no video")
    with pytest.raises(SourceError, match="no video"):
        FileSource(path, 30).open()
