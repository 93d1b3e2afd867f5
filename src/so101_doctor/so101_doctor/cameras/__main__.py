# SPDX-License-Identifier: Apache-2.0
"""`./so101 cameras`: a line a camera, and an image of each in a folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from so101_camera.errors import SourceError, UnknownSourceError
from so101_camera.sources.frame_sources import FRAME_SOURCES, foreign_sources, present_cameras
from so101_node.one_line_parser import OneLineParser, path, within

from so101_doctor.cameras.survey import Sight, devices, look


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
    source = options.frame_source
    for device in options.devices or ([""] if source else devices()):
        name = device or source
        try:
            with console.status(f"looking at {name}"):
                sights.append(look(device, options.seconds, source))
        except UnknownSourceError as error:
            print(f"so101 cameras: {error}", file=sys.stderr)
            return 2
        except SourceError as error:
            print(f"so101 cameras: {name}: {error}", file=sys.stderr)
    if not sights:
        if options.devices:  # each has been named with its reason
            return 1
        print(f"so101 cameras: no camera delivers; {present_cameras()}", file=sys.stderr)
        return 1
    try:
        images = _save(sights, options.save)
    except OSError as error:
        print(f"so101 cameras: --save {options.save}: {error.strerror}", file=sys.stderr)
        return 1
    for sight, image in zip(sights, images, strict=True):  # no table: it would cut the paths that are to be copied
        kind = "JPEG, passed through" if sight.passes_jpeg else "raw, encoded here"
        print(f"{sight.name}: {sight.width}x{sight.height}, {sight.fps:.1f} frames/s, {kind}")
        if source:
            print(f"  frame_source: {source}")
        if sight.device:
            print(f"  device: {sight.stable_path}")
        print(f"  image: {image}")
    if foreign_sources():
        print(f"frame sources installed: {', '.join(FRAME_SOURCES.installed())}")
    print("device goes into camera_config, below the camera's name: config/camera.yaml is an example")
    return 0


def _save(sights: Sequence[Sight], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for number, sight in enumerate(sights):
        image = folder / f"{number}_{Path(sight.device).name or sight.name}.jpg"
        image.write_bytes(sight.jpeg)
        images.append(image)
    return images


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="so101 cameras",
        description="Finds cameras, shows what they deliver, and saves an image of each to tell them apart.",
    )
    parser.add_argument(
        "devices",
        nargs="*",
        help="devices, rtsp:// or http:// URLs, video files or folders; default: every /dev/video*",
    )
    parser.add_argument(
        "--frame-source",
        default="",
        metavar="NAME",
        help="kind of frame source, as the camera node's parameter frame_source: that of another package, for example",
    )
    parser.add_argument(
        "--seconds", type=within(0.1, 60, "s"), default=2.0, help="how long to measure each, s (default 2)"
    )
    parser.add_argument("--save", type=path, default=Path("outputs/cameras"), help="folder for the images")
    return parser


if __name__ == "__main__":
    sys.exit(main())
