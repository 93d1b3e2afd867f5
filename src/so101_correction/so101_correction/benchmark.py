# SPDX-License-Identifier: Apache-2.0
"""How long a correction takes on one core: `python -m so101_correction.benchmark FILE`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from so101_node.one_line_parser import OneLineParser

PROGRAM = "python -m so101_correction.benchmark"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print times and return an exit code: 0, or 2 for a file that cannot be used."""
    parser = OneLineParser(prog=PROGRAM, description="How long a correction takes on one core, stage by stage.")
    parser.add_argument("file", type=Path, metavar="FILE", help="a correction, .npz")
    parser.add_argument("--rounds", type=int, default=1000, metavar="N", help="control ticks to measure (1000)")
    parser.add_argument(
        "--jpeg", type=Path, nargs="+", metavar="IMAGE", help="JPEG frames to decode, in turn; without: 40 drawn ones"
    )
    given = parser.parse_args(arguments)
    if given.rounds < 1:
        parser.error(f"--rounds: expected 1 or more, got {given.rounds}")
    # OpenBLAS counts the cores when numpy loads it, so everything that imports numpy is imported below.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    from so101_correction.errors import CorrectionError
    from so101_correction.stage_times import drawn_frames, measured, table

    try:
        frames = [path.read_bytes() for path in given.jpeg] if given.jpeg else drawn_frames()
        sys.stdout.write(table(measured(given.file, frames, given.rounds)))
    except (CorrectionError, OSError) as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return 2
    finally:
        os.sched_setaffinity(0, cores)
    return 0


if __name__ == "__main__":
    sys.exit(main())
