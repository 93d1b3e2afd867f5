"""`./so101 dataset BAG...`: turn bags into a LeRobotDataset; exit 0 if one was written, 1 with one line if not."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

KEPT = {"succeeded": ("succeeded", "not marked"), "finished": ("succeeded", "failed", "not marked"), "all": ()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert the bags and return the exit code."""
    given = _parser().parse_args(arguments)
    from so101_tools.bag.errors import BagError
    from so101_tools.dataset.errors import DatasetError

    try:
        return _convert(given)
    except (BagError, DatasetError) as error:
        print(f"so101 dataset: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("so101 dataset: stopped, nothing is left behind", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="so101 dataset", description="Turn bags into a LeRobotDataset (v3): joints, and the cameras as video."
    )
    parser.add_argument("bags", nargs="+", type=Path, metavar="BAG", help="folder of a bag")
    parser.add_argument("--out", type=Path, help="folder of the dataset; default: outputs/datasets/ and the bag's name")
    parser.add_argument("--fps", type=_fps, default=30, help="frames a second (30)")
    parser.add_argument("--task", help="language instruction; default: as recorded")
    parser.add_argument("--cameras", type=_names, default=(), metavar="A,B", help="default: all that were recorded")
    parser.add_argument("--keep", choices=KEPT, default="succeeded", help="which episodes (succeeded)")
    parser.add_argument("--units", choices=("degrees", "normalized"), default="degrees", help="of the arm's joints")
    parser.add_argument("--codec", choices=("h264", "av1"), default="h264", help="of the video (h264)")
    parser.add_argument("--max-gap", type=float, default=0.5, metavar="S", help="oldest picture of a frame, s (0.5)")
    parser.add_argument("--namespace", help="robot of the bag, where it holds several")
    return parser


def _convert(given: argparse.Namespace) -> int:
    from so101_policy_server.units import Units

    from so101_tools.bag.reader import Bag
    from so101_tools.dataset.bag_streams import read_streams

    for folder in given.bags:  # one that lacks something is told before LeRobot is loaded and others are converted
        with Bag(folder, given.namespace) as bag:
            read_streams(bag, Units[given.units.upper()], given.cameras)
    from so101_tools.dataset.conversion import Conversion
    from so101_tools.dataset.errors import DatasetError

    out = given.out or Path("outputs/datasets") / given.bags[0].resolve().name
    begin_s = time.monotonic()
    conversion = Conversion(
        out, given.fps, given.codec, given.units, given.cameras, KEPT[given.keep], given.task, given.max_gap
    )
    try:
        for folder in given.bags:
            with Bag(folder, given.namespace) as bag:
                for line in conversion.add(bag):
                    print(line, flush=True)
        if not conversion.episodes:
            raise DatasetError("not one episode could be used: nothing was written (--keep all takes failed ones too)")
        conversion.finish()
    finally:
        conversion.discard()
    took_s = time.monotonic() - begin_s
    length_s = conversion.frames / given.fps
    print(
        f"{out}: {conversion.episodes} episodes, {conversion.frames} frames, {length_s:.1f} s, converted in "
        f"{took_s:.1f} s ({length_s / took_s:.1f} x real time)"
    )
    return 0


def _fps(text: str) -> int:
    value = int(text) if text.isdigit() else 0
    if not 1 <= value <= 120:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number from 1 to 120")
    return value


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


if __name__ == "__main__":
    sys.exit(main())
