# SPDX-License-Identifier: Apache-2.0
"""`./so101 tune`: the matrix of chunk sizes, thresholds and delays, in virtual time; a recommendation in words."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from so101_node.one_line_parser import OneLineParser, path, whole, within
from so101_sim.core.tasks import TASKS

DEFAULT_FOLDER = Path("outputs/tune")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options; leaves the process with one line where they are wrong."""
    parser = OneLineParser(prog="so101 tune", description=__doc__)
    parser.add_argument("--report", type=path, default=DEFAULT_FOLDER, metavar="DIR", help=f"({DEFAULT_FOLDER})")
    parser.add_argument("--delays-ms", type=_delays, default=None, help="added delays, with commas (100,300,700)")
    parser.add_argument(
        "--seconds", type=within(10, 100_000, "s"), default=120.0, help="virtual seconds of each cell (120)"
    )
    parser.add_argument("--task", choices=tuple(TASKS), default="static", help="of the episodes (static)")
    parser.add_argument(
        "--episodes", type=whole(0, 1000), default=3, help="episodes of each cell on the virtual arm (3)"
    )
    parser.add_argument("--workers", type=whole(1, 64), default=2, help="virtual arms side by side (2)")
    parser.add_argument("--validate", action="store_true", help="run three cells through the real chain, too")
    parser.add_argument("--no-tips", action="store_true", help="leave out the nine tuning tips")
    trip = parser.add_mutually_exclusive_group()
    trip.add_argument("--round-trip-ms", type=_milliseconds, default=None, help="from request to chunk, as measured")
    trip.add_argument("--from", type=path, dest="source", metavar="FILE", help="report of demo or bench that tells it")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Tune; returns the exit code."""
    options = parse(arguments)
    # Imported here, so that --help and a mistyped option wait for nothing.
    from so101_sim.errors import SimulationError

    from so101_training.tune import advice, run
    from so101_training.tune.episodes import EpisodesError
    from so101_training.tune.validation import ValidationError

    try:
        round_trip_s = advice.round_trip_of(options.source) if options.source else options.round_trip_ms
        run.tune(options, round_trip_s)
    except BrokenPipeError:  # see so101_node.verb
        raise
    except (advice.ReportError, EpisodesError, ValidationError, SimulationError, OSError) as error:
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else error
        print(f"so101 tune: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("so101 tune: stopped", file=sys.stderr)
        return 130
    return 0


def _number(text: str, low: float, high: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = low - 1.0
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text}: must be {low:g} to {high:g} {what}")
    return value


def _milliseconds(text: str) -> float:
    return _number(text, 1.0, 10_000.0, "ms") / 1e3


def _delays(text: str) -> tuple[float, ...]:
    return tuple(sorted({_number(part, 0.0, 5_000.0, "ms") / 1e3 for part in text.split(",")}))


if __name__ == "__main__":
    sys.exit(main())
