# SPDX-License-Identifier: Apache-2.0
"""The film: from a recorded reel to an image and an encoded file."""

import io
import json
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image
from so101_demo.errors import FilmError
from so101_demo.film.compose import compose, find_ffmpeg, moments
from so101_demo.film.drawing import STATE_COLOURS, THRESHOLD, FilmMoment, draw, drawing_size
from so101_demo.film.reel import EpisodeSample, QueueSample, ReelWriter, RowSample, read_reel
from so101_demo.film.row_drawing import CORRECTED

SECOND = 1_000_000_000
CAMERAS = ("front", "top")
COLOURS = {"front": (200, 30, 30), "top": (30, 30, 200)}


def jpeg(colour: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(out, "JPEG")
    return out.getvalue()


def queue(time_ns: int, length: int = 40, state: str = "RUNNING") -> QueueSample:
    return QueueSample(time_ns, length, 50, 0.5, state, 30.0, 0.06)


@pytest.fixture
def reel_folder(tmp_path: Path) -> Path:
    """One second at 10 frames a second and 30 ticks, then an end."""
    writer = ReelWriter(tmp_path / "reel")
    writer.add(EpisodeSample(100 * SECOND, "started", 0, "Pick the cube to place", 0.0))
    for tick in range(31):
        writer.add(queue(100 * SECOND + tick * SECOND // 30, length=50 - tick))
    for number in range(11):
        for camera in CAMERAS:
            writer.add_frame(camera, 100 * SECOND + number * SECOND // 10, jpeg(COLOURS[camera]))
    writer.add(EpisodeSample(101 * SECOND, "succeeded", 0, "Pick the cube to place", 1.0))
    writer.close()
    return tmp_path / "reel"


def test_a_reel_reads_back_what_was_written(reel_folder: Path):
    reel = read_reel(reel_folder)
    assert {camera: len(frames) for camera, frames in reel.frames.items()} == {"front": 11, "top": 11}
    assert len(reel.queue) == 31
    assert [sample.event for sample in reel.episodes] == ["started", "succeeded"]


def test_a_log_torn_by_a_killed_recorder_still_reads(reel_folder: Path):
    log = reel_folder / "log.jsonl"
    log.write_text(log.read_text()[:-25])
    assert len(read_reel(reel_folder).queue) == 31


def test_at_any_time_the_newest_image_and_tick_are_found(reel_folder: Path):
    reel = read_reel(reel_folder)
    assert reel.frame_at("front", 100 * SECOND + 250_000_000).stem == str(100 * SECOND + 200_000_000)
    assert reel.frame_at("front", 0).stem == str(100 * SECOND)
    assert reel.queue_at(0) is None
    assert reel.queue_at(100 * SECOND + 40_000_000).length == 49
    assert reel.episode_at(100 * SECOND).event == "started"


def test_moments_cover_the_recorded_time_at_the_wanted_rate(reel_folder: Path):
    shown = list(moments(read_reel(reel_folder), 5.0, CAMERAS, ""))
    assert len(shown) == 5
    assert [round(moment.elapsed_s, 1) for moment in shown] == [0.0, 0.2, 0.4, 0.6, 0.8]
    assert all(sample.time_ns <= moment.time_ns for moment in shown for sample in moment.queue)


def test_the_pause_between_two_episodes_is_left_out(tmp_path: Path):
    writer = ReelWriter(tmp_path)
    for start_s in (100, 200):
        for number in range(11):
            writer.add_frame("front", start_s * SECOND + number * SECOND // 10, jpeg((9, 9, 9)))
    writer.close()
    assert len(list(moments(read_reel(tmp_path), 10.0, ["front"], ""))) == 20


def test_a_camera_that_sent_nothing_is_named(reel_folder: Path):
    with pytest.raises(FilmError, match="no frame of camera wrist"):
        list(moments(read_reel(reel_folder), 5.0, ["front", "wrist"], ""))


def test_the_image_shows_each_camera_in_its_place_and_the_curve_in_its_states_colour():
    now = 10 * SECOND
    cameras = {name: Image.new("RGB", (64, 48), colour) for name, colour in COLOURS.items()}
    samples = [queue(now - (90 - k) * SECOND // 30, 40, "STARVED" if k < 45 else "RUNNING") for k in range(91)]
    image = draw(FilmMoment(now, cameras, samples, None, 0.0, ""))
    assert image.size == drawing_size(2)
    assert image.getpixel((100, 150)) == COLOURS["front"]
    assert image.getpixel((image.width - 100, 150)) == COLOURS["top"]
    colours = {colour for _, colour in image.getcolors(image.width * image.height)}
    assert STATE_COLOURS["STARVED"] in colours and STATE_COLOURS["RUNNING"] in colours and THRESHOLD in colours


def test_the_image_can_be_drawn_before_anything_was_heard():
    image = draw(FilmMoment(0, {"front": None}, [], None, 0.0, ""))
    assert image.size == drawing_size(1)


def test_sizes_are_even_as_video_encoders_want():
    assert all(side % 2 == 0 for cameras in range(1, 6) for side in drawing_size(cameras))


def test_with_a_correction_the_film_has_a_band_of_planned_and_corrected_rows(reel_folder: Path):
    bare = drawing_size(2)
    assert draw(next(moments(read_reel(reel_folder), 5.0, CAMERAS, ""))).size == bare
    with (reel_folder / "log.jsonl").open("a", encoding="utf-8") as log:
        for tick in range(31):
            sample = RowSample(100 * SECOND + tick * SECOND // 30, ["shoulder_pan"], [0.1], [0.2])
            log.write(json.dumps({"kind": "row", **asdict(sample)}) + "\n")
    shown = list(moments(read_reel(reel_folder), 5.0, CAMERAS, ""))
    assert [len(moment.rows.rows) for moment in shown] == [1, 7, 13, 19, 25]
    image = draw(shown[-1])
    assert image.size == drawing_size(2, rows=True) and image.height > bare[1]
    assert CORRECTED in {colour for _, colour in image.getcolors(image.width * image.height)}


def test_an_animation_loops_and_has_one_image_per_moment(reel_folder: Path, tmp_path: Path):
    compose(reel_folder, [tmp_path / "film.gif"], CAMERAS, 12.0, "")
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 8  # 1 s at 8 images a second
        assert film.info["loop"] == 0


def test_an_mp4_plays_back_with_the_right_number_of_frames(reel_folder: Path, tmp_path: Path):
    target = tmp_path / "new" / "film.mp4"
    compose(reel_folder, [target], CAMERAS, 10.0, "")
    command = [find_ffmpeg(), "-loglevel", "error", "-i", str(target), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    width, height = drawing_size(2)
    assert len(raw) == 10 * width * height * 3


def test_an_unwritable_target_is_one_line(reel_folder: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FilmError, match="cannot be written"):
        compose(reel_folder, [tmp_path / "file" / "film.gif"], CAMERAS, 10.0, "")


def test_a_folder_without_a_recording_is_named(tmp_path: Path):
    with pytest.raises(FilmError, match=r"holds no recording \(log.jsonl is missing\)"):
        compose(tmp_path, [tmp_path / "film.gif"], CAMERAS, 10.0, "")
