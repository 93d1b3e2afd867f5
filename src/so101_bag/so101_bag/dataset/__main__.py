# SPDX-License-Identifier: Apache-2.0
"""`./so101 dataset BAG...`: turn bags into a LeRobotDataset, or add them to one, and push it.

Exit 0 if that was done, 1 with one line if not.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from so101_node.one_line_parser import OneLineParser, path, whole, within

KEPT = {"succeeded": ("succeeded", "not marked"), "finished": ("succeeded", "failed", "not marked"), "all": ()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert the bags and return the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    _refuse(parser, given)
    from so101_bag.errors import BagError, DatasetError

    try:
        if given.draft_mapping is not None:
            return _draft(given)
        if given.push:
            _check_push(given)
        if given.bags:
            _convert(given)
        if given.push:
            _push(given)
        return 0
    except (BagError, DatasetError) as error:
        print(f"so101 dataset: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        left = "the dataset is as it was" if given.append else "nothing is left behind"
        print(f"so101 dataset: stopped, {left}", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="so101 dataset", description="Turn bags into a LeRobotDataset (v3): joints, and the cameras as video."
    )
    parser.add_argument("bags", nargs="*", type=path, metavar="BAG", help="folder of a bag")
    parser.add_argument("--out", type=path, help="folder of the dataset; default: outputs/datasets/ and the bag's name")
    parser.add_argument("--fps", type=whole(1, 120), default=30, help="frames a second (30)")
    parser.add_argument("--task", help="language instruction; default: as recorded")
    parser.add_argument("--cameras", type=_names, default=(), metavar="A,B", help="default: all that were recorded")
    parser.add_argument("--keep", choices=KEPT, default="succeeded", help="which episodes (succeeded)")
    parser.add_argument("--units", choices=("degrees", "normalized"), default="degrees", help="of the arm's joints")
    parser.add_argument("--codec", choices=("h264", "av1"), default="h264", help="of the video (h264)")
    parser.add_argument(
        "--max-gap", type=within(0, 3600, "s"), default=0.5, metavar="S", help="oldest image of a frame, s (0.5)"
    )
    parser.add_argument("--namespace", help="robot of the bag, where it holds several")
    parser.add_argument("--whole", action="store_true", help="one episode of each bag, whatever its markers say")
    parser.add_argument("--append", action="store_true", help="add to the dataset that is in --out")
    parser.add_argument("--robot-type", default="so101_follower", help="robot_type of the dataset (so101_follower)")
    elsewhere = parser.add_argument_group("bags from elsewhere")
    elsewhere.add_argument("--mapping", type=path, metavar="FILE", help="YAML: topics, joints and units of the bags")
    elsewhere.add_argument(
        "--draft-mapping", type=path, metavar="FILE", help="write a mapping that the bag's topics suggest, and exit"
    )
    elsewhere.add_argument("--calibration", type=path, metavar="FILE", help="LeRobot's, of the arm that was recorded")
    hub = parser.add_argument_group("Hugging Face hub")
    hub.add_argument("--push", metavar="OWNER/NAME", help="push the dataset afterwards; without BAG the one in --out")
    hub.add_argument("--private", action="store_true", help="as a private repository")
    return parser


def _refuse(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """An option without what it belongs to would silently do nothing."""
    if not given.bags and not given.push:
        parser.error("the following arguments are required: BAG")
    if not given.bags and given.out is None:
        parser.error("--push without BAG needs --out: the folder of the dataset")
    if given.append and (given.out is None or not given.bags):
        parser.error("--append needs --out, the folder of the dataset, and BAG")
    if given.private and not given.push:
        parser.error("--private goes with --push")
    if given.draft_mapping is not None and len(given.bags) != 1:
        parser.error("--draft-mapping goes with one BAG")


def _draft(given: argparse.Namespace) -> int:
    from so101_bag.dataset.draft_mapping import write_draft
    from so101_bag.storage.reader import Bag

    with Bag(given.bags[0], given.namespace) as bag:
        write_draft(bag, given.draft_mapping)
    print(f"{given.draft_mapping} written: read and correct it, then ./so101 dataset {given.bags[0]} --mapping "
          f"{given.draft_mapping}")  # fmt: skip
    return 0


def _check_push(given: argparse.Namespace) -> None:
    from so101_bag.dataset.push import check_push

    check_push(given.push)


def _push(given: argparse.Namespace) -> None:
    from so101_bag.dataset.push import push

    print(f"pushed: {push(_out(given), given.push, given.private)}")


def _out(given: argparse.Namespace) -> Path:
    return Path(given.out or Path("outputs/datasets") / given.bags[0].resolve().name)


def _convert(given: argparse.Namespace) -> None:
    from so101_node.protocol.units import Units

    from so101_bag.dataset.mapping import Mapping, read_mapping
    from so101_bag.dataset.options import DatasetOptions
    from so101_bag.storage.reader import Bag

    mapping = read_mapping(given.mapping) if given.mapping is not None else Mapping()
    if given.calibration is not None:
        mapping = replace(mapping, calibration=given.calibration)
    options = DatasetOptions(
        given.fps, Units[given.units.upper()], given.cameras, KEPT[given.keep], given.task, given.max_gap, mapping,
        given.whole,
    )  # fmt: skip
    for folder in given.bags:  # one that lacks something is told before LeRobot is loaded and others are converted
        with Bag(folder, given.namespace) as bag:
            options.streams(bag)
    from so101_bag.dataset.conversion import DatasetConversion
    from so101_bag.dataset.lerobot_writer import LeRobotWriter, Target
    from so101_bag.errors import DatasetError

    out = _out(given)
    begin_s = time.monotonic()
    writer = LeRobotWriter(Target(out, given.fps, given.codec, given.units, given.robot_type, given.append))
    conversion = DatasetConversion(options, writer)
    try:
        for folder in given.bags:
            with Bag(folder, given.namespace) as bag:
                for line in conversion.add(bag):
                    print(line, flush=True)
        if not conversion.episodes:
            hint = "" if given.keep == "all" else " (--keep all takes failed ones too)"
            raise DatasetError(f"not one episode could be used: nothing was written{hint}")
        writer.finish()
    finally:
        writer.discard()
    took_s = time.monotonic() - begin_s
    length_s = conversion.frames / given.fps
    print(
        f"{out}: {conversion.episodes} episodes, {conversion.frames} frames, {length_s:.1f} s, converted in "
        f"{took_s:.1f} s ({length_s / took_s:.1f} x real time){', appended' if given.append else ''}"
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


if __name__ == "__main__":
    sys.exit(main())
