"""`./so101 cameras`: a line a camera, and a picture of each in a folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from so101_camera.source_choice import present_cameras
from so101_camera.video_source import SourceError

from so101_tools.cameras.survey import Sight, devices, look


def main(arguments: Sequence[str] | None = None) -> int:
    """Look at the cameras; exit code 0 if one at least delivers."""
    options = _parser().parse_args(arguments)
    try:
        return _survey(options)
    except KeyboardInterrupt:
        return 130


def _survey(options: argparse.Namespace) -> int:
    console = Console(highlight=False)
    sights: list[Sight] = []
    for device in options.devices or devices():
        try:
            with console.status(f"looking at {device}"):
                sights.append(look(device, options.seconds))
        except SourceError as error:
            console.print(f"{device}: {error}", style="yellow", markup=False, soft_wrap=True)
    if not sights:
        print(f"so101 cameras: error: no camera delivers; {present_cameras()}", file=sys.stderr)
        return 1
    try:
        pictures = _save(sights, options.save)
    except OSError as error:
        print(f"so101 cameras: error: --save {options.save}: {error.strerror}", file=sys.stderr)
        return 1
    for sight, picture in zip(sights, pictures, strict=True):  # no table: it would cut the paths that are to be copied
        kind = "JPEG, passed through" if sight.passes_jpeg else "raw, encoded here"
        print(f"{sight.name}: {sight.width}x{sight.height}, {sight.fps:.1f} frames/s, {kind}")
        print(f"  device: {sight.stable_path}")
        print(f"  picture: {picture}")
    print("device goes into camera_config, below the camera's name: config/camera.yaml is an example")
    return 0


def _save(sights: Sequence[Sight], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for number, sight in enumerate(sights):
        picture = folder / f"{number}_{Path(sight.device).name}.jpg"
        picture.write_bytes(sight.jpeg)
        pictures.append(picture)
    return pictures


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 60:
        raise argparse.ArgumentTypeError(f"{text}: must be more than 0, and at most 60")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="so101 cameras",
        description="Finds cameras, shows what they deliver, and saves a picture of each to tell them apart.",
    )
    parser.add_argument(
        "devices",
        nargs="*",
        help="devices, rtsp:// or http:// URLs, video files or folders; default: every /dev/video*",
    )
    parser.add_argument("--seconds", type=_seconds, default=2.0, help="how long to measure each, s (default 2)")
    parser.add_argument("--save", type=Path, default=Path("outputs/cameras"), help="folder for the pictures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
