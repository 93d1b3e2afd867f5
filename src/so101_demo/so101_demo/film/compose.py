# SPDX-License-Identifier: Apache-2.0
"""Turns a reel into a video or an animated image: `python -m so101_demo.film.compose REEL OUT [OUT ...]`.

The ending of each OUT decides: .mp4 (needs ffmpeg), .webp or .gif (looping, for a README).
"""

import argparse
import os
import shutil
import subprocess
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from so101_demo.errors import FilmError
from so101_demo.film.drawing import PLOT_WINDOW_S, FilmMoment, draw, drawing_size
from so101_demo.film.reel import QueueSample, Reel, RowSample, read_reel
from so101_demo.film.row_drawing import ROWS_WINDOW_S, RowsSeen

ANIMATED_WIDTH = 864  # pixels; with 8 frames a second a README's animation stays under 4 MB
ANIMATED_FPS = 8.0
ENDINGS = (".mp4", ".webp", ".gif")


def moments(reel: Reel, fps: float, cameras: Sequence[str], subtitle: str) -> Iterator[FilmMoment]:
    """Yield what each image shows, at `fps`, over the recorded stretches only.

    Raises:
        FilmError: the reel holds no frame of a camera.
    """
    for camera in cameras:
        if not reel.frames.get(camera):
            raise FilmError(f"no frame of camera {camera} was recorded: is {camera}/image_raw/compressed published?")
    open_files: dict[str, tuple[Path, Image.Image]] = {}
    for start_ns, end_ns in _stretches(reel, cameras):
        for time_ns in range(start_ns, end_ns, int(1e9 / fps)):
            frames: dict[str, Image.Image | None] = {}
            for camera in cameras:
                path = reel.frame_at(camera, time_ns)
                if path is not None and (camera not in open_files or open_files[camera][0] != path):
                    open_files[camera] = (path, Image.open(path).convert("RGB"))
                frames[camera] = open_files[camera][1] if camera in open_files else None
            episode = reel.episode_at(time_ns)
            elapsed_s = 0.0
            if episode is not None:
                elapsed_s = episode.duration if episode.event != "started" else (time_ns - episode.time_ns) * 1e-9
            window = _between(reel.queue, time_ns, PLOT_WINDOW_S)
            rows = None if not reel.rows else RowsSeen(time_ns, _between(reel.rows, time_ns, ROWS_WINDOW_S))
            yield FilmMoment(time_ns, frames, window, episode, elapsed_s, subtitle, rows)


def _between[Sample: (QueueSample, RowSample)](samples: Sequence[Sample], end_ns: int, window_s: float) -> list[Sample]:
    """Return the samples of the last `window_s` before that time; `samples` are in order of time."""
    first = bisect_left(samples, end_ns - round(window_s * 1e9), key=lambda sample: sample.time_ns)
    return list(samples[first : bisect_right(samples, end_ns, key=lambda sample: sample.time_ns)])


def _stretches(reel: Reel, cameras: Sequence[str]) -> list[tuple[int, int]]:
    """Return begin and end of each stretch in which frames came without a gap above 1 s, ns."""
    times = sorted(time_ns for camera in cameras for time_ns, _ in reel.frames[camera])
    stretches = [[times[0], times[0]]]
    for time_ns in times:
        if time_ns - stretches[-1][1] > 1e9:
            stretches.append([time_ns, time_ns])
        stretches[-1][1] = time_ns
    return [(start, end) for start, end in stretches if end > start]


def find_ffmpeg() -> str:
    """Return an ffmpeg: the system's, else the one that imageio-ffmpeg carries.

    Raises:
        FilmError: there is neither.
    """
    found = shutil.which("ffmpeg")
    if found:
        return found
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise FilmError(
            "no ffmpeg found: apt install ffmpeg, pip install imageio-ffmpeg, or name a .webp file"
        ) from error


def write_mp4(path: Path, frames: Iterator[Image.Image], size: tuple[int, int], fps: float) -> None:
    """Encode the frames as H.264."""
    command = [find_ffmpeg(), "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{size[0]}x{size[1]}", "-r", f"{fps:g}", "-i", "-", "-c:v", "libx264", "-preset", "fast"]
    command += ["-crf", "24", "-pix_fmt", "yuv420p", "-threads", "1", "-movflags", "+faststart", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as encoder:
        assert encoder.stdin is not None and encoder.stderr is not None
        try:
            for image in frames:
                encoder.stdin.write(image.tobytes())
        except BrokenPipeError:
            pass  # ffmpeg ended early; its own words follow
        finally:
            encoder.stdin.close()
        complaint = encoder.stderr.read().decode(errors="replace").strip()
    if encoder.returncode != 0:
        raise FilmError(f"ffmpeg could not write {path}: {' '.join(complaint.split()) or encoder.returncode}")


def write_animation(path: Path, images: Iterator[Image.Image], fps: float) -> None:
    """Write a looping WebP or GIF, reduced in width."""
    frames = []
    for image in images:
        height = round(image.height * ANIMATED_WIDTH / image.width)
        frame = image.resize((ANIMATED_WIDTH, height), Image.Resampling.LANCZOS)
        frames.append(frame.quantize(128, dither=Image.Dither.NONE) if path.suffix == ".gif" else frame)
    options: dict[str, Any] = {} if path.suffix == ".gif" else {"quality": 62, "method": 4}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=round(1e3 / fps), loop=0, **options)


def compose(reel_folder: Path, outputs: Sequence[Path], cameras: Sequence[str], fps: float, subtitle: str) -> None:
    """Write each output from the reel.

    Raises:
        FilmError: nothing was recorded, or an output cannot be written.
    """
    if not (reel_folder / "log.jsonl").is_file():
        raise FilmError(f"{reel_folder} holds no recording (log.jsonl is missing)")
    reel = read_reel(reel_folder)
    for output in outputs:
        if output.suffix not in ENDINGS:
            raise FilmError(f"{output}: must end in {', '.join(ENDINGS)}")
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            if output.suffix == ".mp4":
                frames = (draw(moment) for moment in moments(reel, fps, cameras, subtitle))
                write_mp4(output, frames, drawing_size(len(cameras), rows=bool(reel.rows)), fps)
            else:
                frames = (draw(moment) for moment in moments(reel, ANIMATED_FPS, cameras, subtitle))
                write_animation(output, frames, ANIMATED_FPS)
        except OSError as error:
            raise FilmError(f"{output} cannot be written: {error.strerror or error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with one line on failure."""
    parser = argparse.ArgumentParser(prog="so101_demo.film.compose", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("reel", type=Path, help="folder written by film_recorder")
    parser.add_argument("outputs", type=Path, nargs="+", help=f"files to write: {', '.join(ENDINGS)}")
    parser.add_argument("--cameras", default="front,top,wrist", help="cameras from left to right")
    parser.add_argument("--fps", type=float, default=12.0, help="frames a second of an mp4")
    parser.add_argument("--subtitle", default="", help="text beside the task")
    options = parser.parse_args(arguments)
    os.nice(10)
    try:
        compose(options.reel, options.outputs, options.cameras.split(","), options.fps, options.subtitle)
    except FilmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
