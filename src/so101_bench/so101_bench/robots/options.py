# SPDX-License-Identifier: Apache-2.0
"""Options of `bench robots`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from so101_node.one_line_parser import OneLineParser, path, whole, within

MOST_ROBOTS = 16


@dataclass(frozen=True, slots=True)
class RobotsOptions:
    """Runs of 1, 2, 4, ... robots.

    Attributes:
        robots: of the last run.
        seconds: measured of each run.
        checkpoint: policy to serve; None = the stand-in.
        device: where a checkpoint runs.
        torch_threads: CPU threads of a checkpoint; 0 = torch's own choice.
        max_batch: of the server; 1 = one by one.
        report: where to write JSON; None = nowhere.
    """

    robots: int = 4
    seconds: float = 8.0
    checkpoint: Path | None = None
    device: str = "cpu"
    torch_threads: int = 0
    max_batch: int = 8
    report: Path | None = None

    @property
    def counts(self) -> tuple[int, ...]:
        """Robots of each run: powers of two below the last."""
        return (*(2**power for power in range(5) if 2**power < self.robots), self.robots)


def parse(arguments: Sequence[str]) -> RobotsOptions:
    """Return the options; leaves the process with one line where they are wrong."""
    parser = OneLineParser(
        prog="so101 bench robots",
        description="One policy server and 1, 2, 4, ... virtual robots that send requests without a pause, over DDS.",
    )
    parser.add_argument(
        "--robots", type=whole(1, MOST_ROBOTS), default=4, metavar="N", help="robots in the last run (default 4)"
    )
    parser.add_argument(
        "--seconds", type=within(2, 600), default=8.0, help="measure each run for so long, s (default 8)"
    )
    parser.add_argument(
        "--checkpoint",
        type=path,
        metavar="FOLDER",
        help="serve this policy (default: a stand-in that takes 30 ms for a batch, however large)",
    )
    parser.add_argument("--device", default="cpu", help="where the checkpoint runs: cpu, cuda or mps (default cpu)")
    parser.add_argument(
        "--torch-threads",
        type=whole(0, 256),
        default=0,
        metavar="N",
        help="CPU threads of the checkpoint (torch's choice)",
    )
    parser.add_argument(
        "--max-batch",
        type=whole(1, 64),
        default=8,
        metavar="N",
        help="max_batch of the server; 1 = one by one (default 8)",
    )
    parser.add_argument("--report", type=path, metavar="FILE", help="write all metrics there, as JSON")
    given = parser.parse_args(arguments)
    if given.checkpoint is not None and not given.checkpoint.is_dir():
        parser.error(f"argument --checkpoint: {given.checkpoint}: no such folder")
    return RobotsOptions(**vars(given))
