# SPDX-License-Identifier: Apache-2.0
"""A folder or a video as a camera."""

import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from so101_camera.core.size_watch import SizeWatch
from so101_camera.errors import SourceError
from so101_camera.image_codec import encode_jpeg, frame_size
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


def write_video(path: Path, *sizes: tuple[int, int]) -> None:
    """Three H.264 frames of each size, in one stream: the upper half is bright."""
    streams = []
    for width, height in sizes:
        part = path.with_suffix(".part.h264")
        with av.open(str(part), "w") as container:
            encoder = container.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
            pixels = np.zeros((height, width, 3), np.uint8)
            pixels[: height // 2] = 200
            for _ in range(3):
                container.mux(encoder.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
            container.mux(encoder.encode())
        streams.append(part.read_bytes())
    path.write_bytes(b"".join(streams))


def test_a_video_that_changes_its_size_is_not_fitted_to_the_first_size_and_the_change_is_said(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.h264", (64, 48), (96, 96))
    source = FileSource(tmp_path / "clip.h264", fps=200)
    source.open()
    watch = SizeWatch(frame_size)
    sizes, said = [], []
    for _ in range(7):
        frame = source.read()
        watch.add(frame)
        sizes.append(frame_size(frame))
        said.append(watch.look())
    source.close()
    assert sizes == 3 * [(64, 48)] + 3 * [(96, 96)] + [(64, 48)]
    assert "96x96, of another aspect ratio, 64x48 at first" in said[3]
    assert said[6] == "the frames are 64x48 again, as at first"
    assert [said[i] for i in (0, 1, 2, 4, 5)] == 5 * [""]


def test_a_video_of_a_phone_that_was_held_upright_is_upright(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        encoder = container.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "yuv420p"
        pixels = np.zeros((48, 64, 3), np.uint8)
        pixels[:, :32] = 200  # bright on the left; turned clockwise by 90 degrees: bright above
        container.mux(encoder.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(encoder.encode())
    content = path.read_bytes()
    matrix = content.index(b"tkhd") + 44  # of the track header, ISO/IEC 14496-12: 3 x 3, of 4 bytes each
    clockwise = [0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30]
    turned = b"".join(value.to_bytes(4, "big", signed=True) for value in clockwise)
    path.write_bytes(content[:matrix] + turned + content[matrix + 36 :])
    source = FileSource(path, fps=200)
    source.open()
    frame = source.read().bgr
    source.close()
    assert frame is not None and frame.shape == (64, 48, 3)
    assert frame[:24].mean() > 150 > 50 > frame[40:].mean()


def test_a_damaged_frame_of_a_video_is_left_out(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.h264", (64, 48), (64, 48), (64, 48))
    content = bytearray((tmp_path / "clip.h264").read_bytes())
    third = len(content) // 3
    content[third + 40 : 2 * third - 40] = bytes(third - 80)
    (tmp_path / "clip.h264").write_bytes(content)
    source = FileSource(tmp_path / "clip.h264", fps=200)
    source.open()
    assert [frame_size(source.read()) for _ in range(12)] == 12 * [(64, 48)]
    source.close()
