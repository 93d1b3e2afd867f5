# SPDX-License-Identifier: Apache-2.0
"""The command line of virtual_arm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from so101_node.one_line_parser import OneLineParser


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says. wire_byte_us: time of a byte on the bus at 1 Mbaud."""

    sim_dir: Path
    lockstep: bool
    torque_off: bool
    task: str
    seed: int
    wire_byte_us: float
    exit_with_stdin: bool
    real_time_priority: bool


_HIGHEST_SEED = 2**64 - 1  # the state file has 64 bits for it


def parse_options(arguments: list[str]) -> Options:
    """Options from the command line; what ROS appends behind --ros-args does not concern us. Exits on an error."""
    if "--ros-args" in arguments:
        arguments = arguments[: arguments.index("--ros-args")]
    parser = OneLineParser(prog="virtual_arm", description="An SO-101 arm simulated behind an emulated servo bus.")
    parser.add_argument("--sim-dir", type=Path, required=True, metavar="DIR", help="run folder, created if missing")
    parser.add_argument("--lockstep", action="store_true", help="physics moves only on the command `advance NS`")
    parser.add_argument("--torque-off", action="store_true", help="start limp instead of holding the home positions")
    parser.add_argument("--task", default="static", help="task whose objects lie there at the start (static)")
    parser.add_argument("--seed", type=int, default=0, help="seed of their pose (0)")
    parser.add_argument("--wire-byte-us", type=float, default=10.0, metavar="US", help="time of a byte at 1 Mbaud (10)")
    parser.add_argument(
        "--real-time-priority", action="store_true", help="answer ahead of ordinary processes (needs CAP_SYS_NICE)"
    )
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop when standard input closes")
    values = parser.parse_args(arguments)
    if not 0 <= values.seed <= _HIGHEST_SEED:
        parser.error(f"--seed {values.seed}: expected 0 to {_HIGHEST_SEED}")
    if not 0 <= values.wire_byte_us <= 1000:
        parser.error(f"--wire-byte-us {values.wire_byte_us:g}: expected 0 to 1000")
    values.sim_dir = values.sim_dir.absolute()
    return Options(**vars(values))
