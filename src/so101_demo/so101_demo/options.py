# SPDX-License-Identifier: Apache-2.0
"""Options of the demo, and the seeds that follow from it."""

import argparse
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from so101_node.one_line_parser import OneLineParser, path, whole, within
from so101_node.writable import obstacle
from so101_sim.core.tasks import TASKS

from so101_demo.execution_modes import MODES

POLICIES = ("act", "expert")
FILM_ENDINGS = (".mp4", ".webp", ".gif")
OFF, ON = "off", "on"
MOST_IN_FLIGHT = 8
DEFAULT_FILM = Path("outputs/demo.mp4")


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """One run of the demo.

    policy_delay_s: the least time that an inference takes; wire_delay_s: how long each chunk travels; in_flight:
    requests under way at once, at most; film: None for none; record: folder of the bag, or None; execution: one of
    MODES; correction: OFF, ON (the file that ships for the task), or a file; link: whether one TLS connection alone
    joins robot and server; cut: the link is cut for so long, s, once in so long, s, or None.
    """

    headless: bool
    task: str
    policy: str
    checkpoint: Path | None
    episodes: int
    seed: int
    policy_delay_s: float
    report: Path | None
    film: Path | None
    record: Path | None = None
    execution: str = MODES[0]
    wire_delay_s: float = 0.0
    in_flight: int = 1
    correction: str = OFF
    link: bool = False
    cut: tuple[float, float] | None = None
    view_port: int | None = None
    """Where the browser view is served; None serves none, 0 the first free port from 9090 on."""

    def scene_seeds(self) -> list[int]:
        """Return one seed per episode; they follow from `seed` alone."""
        source = random.Random(self.seed)
        return [source.getrandbits(48) for _ in range(self.episodes)]


def parse(arguments: Sequence[str] | None = None) -> DemoOptions:
    """Return the options; leaves the process with one line where they are wrong."""
    parser = OneLineParser(
        prog="so101 demo",
        description="A simulated SO-101 picks a cube, driven by a LeRobot policy over DDS and the servo protocol.",
    )
    parser.add_argument("--headless", action="store_true", help="plain lines instead of the live panel")
    parser.add_argument("--task", choices=tuple(TASKS), default="static", help="what the arm has to do")
    parser.add_argument(
        "--policy", choices=POLICIES, default=POLICIES[0], help="LeRobot policy, or the scripted expert"
    )
    parser.add_argument("--checkpoint", type=path, help="policy folder; default: the one that ships with the demo")
    parser.add_argument("--episodes", type=whole(1, 100_000), default=5, help="episodes to run (default 5)")
    parser.add_argument(
        "--seed", type=whole(0, 2**63 - 1), help="where the cube lies in each episode; default: fresh ones"
    )
    parser.add_argument("--policy-delay", type=within(0, 10, "s"), default=0.0, help="least time of an inference, s")
    parser.add_argument(
        "--wire-delay", type=within(0, 10, "s"), default=0.0, help="how long each chunk travels to the robot, s"
    )
    parser.add_argument(
        "--in-flight",
        type=whole(1, MOST_IN_FLIGHT),
        default=1,
        metavar="N",
        help="requests under way at once, at most (default 1)",
    )
    parser.add_argument(
        "--correction",
        default=OFF,
        metavar="on|off|FILE",
        help="correct each row on the robot by the newest frames: on = with the file that ships for the task",
    )
    parser.add_argument(
        "--link", action="store_true", help="join robot and server by one encrypted TCP connection alone, not by DDS"
    )
    parser.add_argument(
        "--cut",
        type=_cut,
        metavar="S/EVERY",
        help="with --link: let nothing through for S of each EVERY seconds (root)",
    )
    parser.add_argument(
        "--execution",
        choices=MODES,
        default=MODES[0],
        help="how late chunks are executed (aligned)",
    )
    parser.add_argument("--report", type=path, help="write the report of the run there, as JSON")
    parser.add_argument("--record", type=path, metavar="DIR", help="record the run there as a rosbag2 bag")
    view = parser.add_mutually_exclusive_group()
    view.add_argument(
        "--port", type=whole(1, 65534), help="serve the browser view there; default: from 9090, none if --headless"
    )
    view.add_argument("--no-view", action="store_true", help="serve no browser view")
    film = parser.add_mutually_exclusive_group()
    film.add_argument(
        "--video", type=path, default=DEFAULT_FILM, help=f".mp4, .webp or .gif to write (default {DEFAULT_FILM})"
    )
    film.add_argument("--no-video", action="store_true", help="write no film")
    given = parser.parse_args(arguments)
    if not given.no_video and given.video.suffix not in FILM_ENDINGS:
        parser.error(f"--video {given.video}: must end in {', '.join(FILM_ENDINGS)}")
    if given.policy != "act" and given.checkpoint is not None:
        parser.error(f"--checkpoint {given.checkpoint}: goes with --policy act, the {given.policy} has none")
    if given.policy != "act" and given.correction != OFF:
        parser.error(f"--correction {given.correction}: goes with --policy act, the {given.policy} has none")
    if given.cut is not None and not given.link:
        parser.error(f"--cut {given.cut[0]:g}/{given.cut[1]:g}: goes with --link")
    _refuse_unwritable(parser, given)
    return DemoOptions(
        headless=given.headless,
        task=given.task,
        policy=given.policy,
        checkpoint=given.checkpoint,
        episodes=given.episodes,
        seed=secrets.randbits(31) if given.seed is None else given.seed,
        policy_delay_s=given.policy_delay,
        wire_delay_s=given.wire_delay,
        in_flight=given.in_flight,
        correction=given.correction,
        link=given.link,
        cut=given.cut,
        report=given.report,
        film=None if given.no_video else given.video,
        record=given.record,
        execution=given.execution,
        view_port=given.port or (None if given.no_view or given.headless else 0),
    )


def _refuse_unwritable(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """Leave with one line where a file that was named cannot be written: before the episodes, not after them."""
    film = None if given.no_video or given.video == DEFAULT_FILM else given.video  # without that one the demo runs, too
    for option, file, why_not in (
        ("--report", given.report, obstacle),
        ("--video", film, obstacle),
        ("--record", given.record, _bag_obstacle),
    ):
        if file is not None and (reason := why_not(file)):
            parser.error(f"{option} {file}: cannot be written ({reason})")


def _bag_obstacle(folder: Path) -> str:
    if folder.is_dir():
        return "it is not empty: name another folder" if any(folder.iterdir()) else ""
    return "it is a file: name a folder" if folder.exists() else obstacle(folder)


def _cut(text: str) -> tuple[float, float]:
    cut, _, every = text.partition("/")
    try:
        times_s = float(cut), float(every)
    except ValueError:
        times_s = 0.0, 0.0
    if not 0.0 < times_s[0] < times_s[1] <= 600.0:
        raise argparse.ArgumentTypeError(f"{text}: must be S/EVERY, such as 3/12 s, S below EVERY, EVERY at most 600")
    return times_s
