# SPDX-License-Identifier: Apache-2.0
"""Options of the bench."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from so101_node.one_line_parser import OneLineParser, path, whole, within

from so101_bench.errors import WireError
from so101_bench.policy_speed import command as policy_speed
from so101_bench.policy_speed.command import PolicyBenchOptions
from so101_bench.two_hosts.wire import NO_WIRE, Wire


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """One run of the bench.

    Attributes:
        seconds: measured of each side, split over the rounds.
        rounds: how often the sides take turns.
        policy_delay_s: least time of predict_action_chunk, for both sides.
        wire: between the robot's computer and the server's; NO_WIRE is loopback.
        cut_s: how long the wire is cut after the last round; 0 = not.
        restart: whether the server is killed and started again after the last round.
        request_policy: of our queue.
        next_frame_within_s: of our cameras.
        fresh_frames_within_s: of our queue; None = its default.
        frame_size: of our queue.
        link: whether our side is measured a second time, robot and server joined by the link alone.
        report, plots: where to write JSON and plots; None = nowhere.
    """

    seconds: float = 20.0
    rounds: int = 2
    policy_delay_s: float = 0.1
    wire: Wire = NO_WIRE
    cut_s: float = 0.0
    restart: bool = True
    matrix: bool = False
    request_policy: str = "threshold"
    chunk_size_threshold: float = 0.5
    actions_per_chunk: int = 50
    next_frame_within_s: float = 0.0
    fresh_frames_within_s: float | None = None
    frame_size: str = "camera"
    link: bool = False
    report: Path | None = None
    plots: Path | None = None


def parse(arguments: Sequence[str] | None = None) -> BenchOptions | PolicyBenchOptions:
    """Return the options; leaves the process with one line where they are wrong."""
    parser = OneLineParser(
        prog="so101 bench",
        description="LeRobot's stock asynchronous inference and ours on the same policy and images, interleaved; one "
        "server with several robots; or a policy alone.",
    )
    against = parser.add_subparsers(
        dest="against", required=True, metavar="lerobot|robots|policy", parser_class=OneLineParser
    )
    against.add_parser("robots", help="measure one server with several robots; has options of its own")
    policy = against.add_parser("policy", help="measure a policy as LeRobot runs it and optimized, stage by stage")
    policy_speed.add_arguments(policy)
    lerobot = against.add_parser("lerobot", help="measure against LeRobot's PolicyServer and RobotClient")
    lerobot.add_argument(
        "--seconds", type=within(4, 3600), default=20.0, help="measure each side for so long, s (default 20)"
    )
    lerobot.add_argument("--rounds", type=whole(1, 10), default=2, help="how often the sides take turns (default 2)")
    lerobot.add_argument(
        "--policy-delay", type=within(0, 5), default=0.1, metavar="S", help="least time of an inference (default 0.1)"
    )
    wire = lerobot.add_argument_group("the wire between the two computers (root; default: loopback)")
    wire.add_argument("--rate-mbit", type=float, default=0.0, metavar="R", help="Mbit/s in each direction")
    wire.add_argument("--delay-ms", type=float, default=0.0, metavar="D", help="delay, one way")
    wire.add_argument("--jitter-ms", type=float, default=0.0, metavar="J", help="standard deviation of the delay")
    wire.add_argument("--loss-pct", type=float, default=0.0, metavar="P", help="packets lost in each direction, %%")
    wire.add_argument(
        "--cut", type=within(0, 60), default=0.0, metavar="S", help="cut the wire for S seconds at the end"
    )
    wire.add_argument("--matrix", action="store_true", help="one run on each wire of the standard set")
    lerobot.add_argument("--no-restart", action="store_true", help="do not kill and restart the server at the end")
    lerobot.add_argument(
        "--request-policy", choices=("threshold", "adaptive"), default="threshold", help="request_policy of our queue"
    )
    lerobot.add_argument("--threshold", type=within(0, 1), default=0.5, help="chunk_size_threshold of both (0.5)")
    lerobot.add_argument(
        "--next-frame-within",
        type=within(0, 0.1),
        default=0.0,
        metavar="S",
        help="next_frame_within_s of our cameras (default 0)",
    )
    lerobot.add_argument(
        "--fresh-frames-within",
        type=within(0, 0.1),
        metavar="S",
        help="fresh_frames_within_s of our queue (default: its own; 0 = no request waits)",
    )
    lerobot.add_argument(
        "--frame-size", choices=("camera", "policy"), default="camera", help="frame_size of our queue (default camera)"
    )
    lerobot.add_argument(
        "--actions-per-chunk",
        type=whole(10, 100),
        default=50,
        help="rows of a chunk on both sides, 10 to 100 (default 50)",
    )
    lerobot.add_argument(
        "--link",
        action="store_true",
        help="a third column: ours again, joined by one TLS connection instead of DDS",
    )
    lerobot.add_argument("--report", type=path, metavar="FILE", help="write all metrics there, as JSON")
    lerobot.add_argument("--plots", type=path, metavar="DIR", help="write the plots to it as PNG")
    given = parser.parse_args(arguments)
    if given.against == "policy":
        return policy_speed.read(given)
    if given.seconds / given.rounds < 4:
        lerobot.error(f"argument --seconds: {given.seconds:g} in {given.rounds} rounds: each round needs 4 s or more")
    try:
        shaped = Wire(given.delay_ms, given.jitter_ms, given.loss_pct, given.rate_mbit)
    except WireError as error:
        lerobot.error(str(error))
    if given.matrix and shaped != NO_WIRE:
        lerobot.error("argument --matrix: brings wires of its own; leave --rate-mbit, --delay-ms and --loss-pct out")
    return BenchOptions(
        seconds=given.seconds,
        rounds=given.rounds,
        policy_delay_s=given.policy_delay,
        wire=shaped,
        cut_s=given.cut,
        restart=not given.no_restart,
        matrix=given.matrix,
        request_policy=given.request_policy,
        chunk_size_threshold=given.threshold,
        actions_per_chunk=given.actions_per_chunk,
        next_frame_within_s=given.next_frame_within,
        fresh_frames_within_s=given.fresh_frames_within,
        frame_size=given.frame_size,
        link=given.link,
        report=given.report,
        plots=given.plots,
    )
