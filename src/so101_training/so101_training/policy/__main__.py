# SPDX-License-Identifier: Apache-2.0
"""`./so101 policy make|data|train|eval|compare|correction|migrate`: the demo policies from nothing, without a GPU.

`make` is data, train and eval in one; each goes on where it was interrupted. `correction` trains what a robot adds to
the rows of a policy from what its cameras see now. `migrate` makes a checkpoint of a LeRobot before 0.5 one that can be
served.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from so101_demo.execution_modes import MODES
from so101_node.one_line_parser import OneLineParser, path, whole, within
from so101_sim.core.tasks import TASKS

from so101_training.policy.recording_plan import EXPERTS

DEFAULT_FOLDER = Path("outputs/policy")
DEFAULT_TASK = "static"
# What options of a single delay are where they are not given.
_SINGLE = {
    "correction": None, "warm": False, "threshold": None, "in_flight": 1, "execution": MODES[0], "frames": "live",
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.verb == "compare":
        _check_single(parser, options)
    if options.verb == "migrate":
        return _migrate(options)
    if options.verb != "correction":
        options.folder = options.folder or DEFAULT_FOLDER / "+".join(getattr(options, "tasks", None) or [options.task])
    # One thread: on two cores two OpenMP threads that wait for each other are 4-7 times slower. Set before torch loads.
    os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT="0", HF_HUB_OFFLINE="1")
    # Imported here, so that --help and a mistyped option do not wait for torch.
    from so101_sim.errors import SimulationError

    from so101_training.errors import TrainingError
    from so101_training.policy import verbs

    try:
        return int(getattr(verbs, options.verb)(options))
    except BrokenPipeError:  # see so101_node.verb
        raise
    except (TrainingError, SimulationError, OSError) as error:
        print(f"so101 policy {options.verb}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"so101 policy {options.verb}: stopped; the same command resumes from here", file=sys.stderr)
        return 130


def _check_single(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with one line where an option of a single delay stands alone."""
    if options.delay is None:
        for name in ("correction", "warm", "threshold", "in_flight", "execution"):
            if getattr(options, name) != _SINGLE[name]:
                parser.error(f"--{name.replace('_', '-')}: only with --delay")
    elif options.chain:
        parser.error("--delay: in virtual time only; with --chain give --delays-ms")
    if options.correction is None and options.frames != _SINGLE["frames"]:
        parser.error(f"--frames {options.frames}: only with --correction")


def _migrate(options: argparse.Namespace) -> int:
    # Imported here, so that --help does not wait for torch; and not with the others: a server has no simulator.
    from so101_policy_server.lerobot.migration import MigrationError, migrate
    from so101_policy_server.policy import PolicyLoadError

    def say(text: str) -> None:
        print(text, file=sys.stderr)

    try:
        done = migrate(options.checkpoint, options.out, options.robot, say, options.statistics)
    except (MigrationError, PolicyLoadError, OSError) as error:
        print(f"so101 policy migrate: {' '.join(str(error).split())}; nothing was written", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("so101 policy migrate: stopped; nothing was written", file=sys.stderr)
        return 130
    print(
        f"{done.folder}: loads, and normalises as the old checkpoint did (largest difference {done.difference:.1e}); "
        f"serve it with {shlex.quote(f'pretrained_name_or_path:={done.folder.absolute()}')}"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="so101 policy", description=__doc__)
    verbs = parser.add_subparsers(
        dest="verb",
        required=True,
        metavar="make|data|train|eval|compare|correction|migrate",
        parser_class=OneLineParser,
    )

    make = verbs.add_parser(
        "make", help="the policy of a task from nothing: record, train, try it; resumes where it was interrupted"
    )
    _add_recorded(make)
    _add_trained(make)
    _add_folder(make)

    data = verbs.add_parser("data", help="record demonstrations of the scripted expert as a LeRobotDataset")
    _add_recorded(data)
    data.add_argument(
        "--task",
        type=_tasks,
        action="extend",
        dest="tasks",
        metavar="TASK[,TASK...]",
        help=f"what the arm has to do, of {', '.join(TASKS)}; several take turns scene by scene ({DEFAULT_TASK})",
    )
    _add_kept(data, "TASK+TASK...")

    train = verbs.add_parser("train", help="train ACT on that dataset; resumes where it was interrupted")
    _add_trained(train)
    _add_folder(train)

    evaluate = verbs.add_parser("eval", help="a quick look in virtual time; `./so101 demo` is what counts")
    _add_evaluated(evaluate)
    evaluate.add_argument(
        "--delay-ms", type=within(0, 60_000, "ms"), default=100.0, help="from request to chunk, ms (100)"
    )
    evaluate.add_argument("--mode", choices=MODES, default=MODES[0], help="how late chunks are executed (aligned)")
    _add_folder(evaluate)

    compare = verbs.add_parser("compare", help="success against the policy's delay, for each mode: JSON and a plot")
    _add_evaluated(compare)
    compare.add_argument(
        "--delays-ms",
        type=within(0, 60_000, "ms"),
        nargs="+",
        default=[0.0, 100.0, 200.0, 400.0],
        help="delays, ms (0 100 200 400)",
    )
    compare.add_argument("--modes", choices=MODES, nargs="+", default=list(MODES), help="modes (all)")
    compare.add_argument(
        "--report", type=path, required=True, help="folder for compare.json and .png; with --delay a JSON file"
    )
    compare.add_argument(
        "--chain", action="store_true", help="through the whole chain in real time, as `./so101 demo` runs it"
    )
    _add_single(compare)
    _add_folder(compare)

    correction = verbs.add_parser("correction", help="train what a robot adds to a policy's rows from what it sees now")
    _add_correction(correction)

    migrate = verbs.add_parser("migrate", help="convert a checkpoint of a LeRobot before 0.5 to one that can be served")
    migrate.add_argument("checkpoint", metavar="CHECKPOINT", help="checkpoint folder, run folder or hub id")
    migrate.add_argument("out", metavar="OUT", nargs="?", type=path, help="new folder (CHECKPOINT_migrated)")
    migrate.add_argument(
        "--robot", default="", help="robot whose statistics to take, where the checkpoint has those of several"
    )
    migrate.add_argument(
        "--statistics", type=path, metavar="FILE", help="meta/stats.json of the dataset, where the checkpoint has none"
    )
    return parser


def _add_recorded(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--episodes", type=whole(1, 100_000), default=250, help="successful episodes to record (250)")
    parser.add_argument("--workers", type=whole(1, 64), default=2, help="virtual arms side by side (2)")
    parser.add_argument(
        "--expert",
        choices=EXPERTS,
        help="planned: once, for an episode; reactive: again at each tick (planned, where the world does not change)",
    )
    parser.add_argument(
        "--noise", choices=("on", "off"), default="on", help="add noise to the commands that are sent (on)"
    )
    parser.set_defaults(tasks=None, task=DEFAULT_TASK)


def _add_trained(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=whole(1, 100_000_000), default=None, help="training steps, one batch each")
    parser.add_argument(
        "--seed",
        dest="train_seed",
        type=whole(0, 2**32 - 1),
        default=0,
        help="seed of weights, batches and dropout (0)",
    )
    parser.add_argument("--run", default="run", help="name of the run's folder (run)")
    parser.add_argument(
        "--init",
        type=path,
        default=None,
        metavar="FOLDER",
        help="policy to start from, trained on a similar task",
    )


def _add_evaluated(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", type=path, default=None, help="checkpoint or run folder (the trained run)")
    parser.add_argument("--episodes", type=whole(1, 100_000), default=20, help="scenes to try (20)")
    parser.add_argument(
        "--seed", type=whole(0, 2**32 - 1), default=0, help="seed of the first scene, with --chain of all (0)"
    )


def _add_single(parser: argparse.ArgumentParser) -> None:
    """What compares one cell of a task, with a correction or without."""
    parser.add_argument(
        "--delay", type=within(0, 60, "s"), metavar="S", help="only this delay, s, of the shipped policy"
    )
    parser.add_argument("--correction", type=path, metavar="FILE", help="with --delay: corrected by this file")
    parser.add_argument("--warm", action="store_true", help="with --delay: the first chunk comes without a delay")
    parser.add_argument(
        "--in-flight",
        type=whole(1, 8),
        default=1,
        metavar="N",
        help="with --delay: requests under way at once, at most (1)",
    )
    parser.add_argument(
        "--execution", choices=MODES, default=MODES[0], help="with --delay: how late chunks are executed (aligned)"
    )
    parser.add_argument(
        "--threshold",
        type=within(0, 1),
        help="with --delay: chunk_size_threshold (the task's; with --correction 1, below 0.17 s 0.9)",
    )
    parser.add_argument(
        "--frames",
        choices=("live", "frozen", "missing"),
        default="live",
        help="with --correction: which frames it gets (live)",
    )


def _add_correction(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", type=path, nargs="+", required=True, help="folders of LeRobotDatasets")
    parser.add_argument("--checkpoint", type=path, required=True, help="folder of the policy to be corrected")
    parser.add_argument("--output", type=path, default=DEFAULT_FOLDER / "correction.npz", help="file to write")
    parser.add_argument("--blind", action="store_true", help="also train one without frames, FILE_blind, to compare")
    parser.add_argument("--seed", type=whole(0, 2**32 - 1), default=0, help="seed of weights and batches (0)")
    parser.add_argument("--steps", type=whole(1, 100_000_000), help="training steps, one batch each (2500)")
    parser.add_argument("--init", type=path, metavar="FILE", help="correction of the same policy to start from")
    parser.add_argument(
        "--earlier-steps",
        type=whole(0, 30),
        default=3,
        metavar="N",
        help="show it also the frame of so many control steps ago, from which it sees speeds; 0: no such frame (3)",
    )
    parser.add_argument("--cameras", nargs="+", help="cameras of the correction (those of the policy)")
    parser.add_argument(
        "--units", choices=("degrees", "normalized"), default="degrees", help="units of the dataset (degrees)"
    )
    parser.add_argument("--calibration", type=path, metavar="FILE", help="calibration of the robot (the virtual arm's)")
    parser.add_argument("--fps", type=within(1, 120, "Hz"), default=30.0, help="control rate of the queue (30)")
    parser.add_argument(
        "--gripper",
        choices=("hidden", "told"),
        default="hidden",
        help="told: the network gets the measured gripper position; hidden: for a gripper that is open or closed",
    )
    parser.add_argument(
        "--statistics-from",
        nargs="+",
        metavar="KEY",
        help="the policy server's parameter of that name, where it is set",
    )


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--task", choices=tuple(TASKS), default=DEFAULT_TASK, help=f"what the arm has to do ({DEFAULT_TASK})"
    )
    _add_kept(parser, "TASK")


def _add_kept(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument(
        "--folder", type=path, default=None, help=f"where data and runs are kept ({DEFAULT_FOLDER}/{name})"
    )


def _tasks(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in TASKS:
            raise argparse.ArgumentTypeError(f"{name!r}: expected one of {', '.join(TASKS)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
