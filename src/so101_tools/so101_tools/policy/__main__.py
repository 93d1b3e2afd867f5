"""`./so101 policy make|data|train|eval|compare|migrate`: the demo policies from nothing, on two cores and no GPU.

`make` is data, train and eval in one; each goes on where it was interrupted. `migrate` makes a checkpoint of a LeRobot
before 0.5 one that can be served.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from so101_tools.execution_modes import MODES

DEFAULT_FOLDER = Path("outputs/policy")
TASKS = ("static", "belt")


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    options = _parser().parse_args(argv)
    if options.verb == "migrate":
        return _migrate(options)
    options.folder = options.folder or DEFAULT_FOLDER / options.task
    # One thread: on two cores two OpenMP threads that wait for each other are 4-7 times slower. Set before torch loads.
    os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT="0", HF_HUB_OFFLINE="1")
    # Imported here, so that --help and a mistyped option do not wait for torch.
    from so101_sim.errors import SimulationError

    from so101_tools.policy import verbs
    from so101_tools.policy.dataset import DatasetError
    from so101_tools.policy.recording import RecordingError
    from so101_tools.policy.trials import TrialError

    try:
        return int(getattr(verbs, options.verb)(options))
    except (DatasetError, RecordingError, SimulationError, TrialError, verbs.PolicyVerbError, OSError) as error:
        print(f"policy {options.verb}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"policy {options.verb}: stopped; the same command goes on from here", file=sys.stderr)
        return 130


def _migrate(options: argparse.Namespace) -> int:
    # Imported here, so that --help does not wait for torch; and not with the others: a server has no simulator.
    from so101_policy_server.lerobot_migration import MigrationError, migrate
    from so101_policy_server.policy import PolicyLoadError

    def say(text: str) -> None:
        print(text, file=sys.stderr)

    try:
        done = migrate(options.checkpoint, options.out, options.robot, say, options.statistics)
    except (MigrationError, PolicyLoadError, OSError) as error:
        print(f"policy migrate: {' '.join(str(error).split())}; nothing was written", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("policy migrate: stopped; nothing was written", file=sys.stderr)
        return 130
    print(
        f"{done.folder}: loads, and normalises as the old checkpoint did (largest difference {done.difference:.1e}); "
        f"serve it with {shlex.quote(f'pretrained_name_or_path:={done.folder.absolute()}')}"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _OneLineParser(prog="so101 policy", description=__doc__)
    verbs = parser.add_subparsers(
        dest="verb", required=True, metavar="make|data|train|eval|compare|migrate", parser_class=_OneLineParser
    )

    make = verbs.add_parser("make", help="the policy of a task from nothing: record, train, try it; goes on as well")
    _add_recorded(make)
    _add_trained(make)
    _add_folder(make)

    data = verbs.add_parser("data", help="record demonstrations of the scripted expert as a LeRobotDataset")
    _add_recorded(data)
    _add_folder(data)

    train = verbs.add_parser("train", help="train ACT on that dataset; goes on where it was interrupted")
    _add_trained(train)
    _add_folder(train)

    evaluate = verbs.add_parser("eval", help="a quick look in virtual time; `./so101 demo` is what counts")
    _add_evaluated(evaluate)
    evaluate.add_argument("--delay-ms", type=float, default=100.0, help="from question to answer, ms (100)")
    evaluate.add_argument("--mode", choices=MODES, default=MODES[0], help="how late answers are executed (aligned)")
    _add_folder(evaluate)

    compare = verbs.add_parser("compare", help="success against the policy's delay, for each mode: JSON and a plot")
    _add_evaluated(compare)
    compare.add_argument(
        "--delays-ms", type=float, nargs="+", default=[0.0, 100.0, 200.0, 400.0], help="delays, ms (0 100 200 400)"
    )
    compare.add_argument("--modes", choices=MODES, nargs="+", default=list(MODES), help="modes (all)")
    compare.add_argument("--report", type=Path, required=True, metavar="DIR", help="folder for compare.json and .png")
    compare.add_argument(
        "--chain", action="store_true", help="through the whole chain in real time, as `./so101 demo` runs it"
    )
    _add_folder(compare)

    migrate = verbs.add_parser("migrate", help="a checkpoint of a LeRobot before 0.5 as one that can be served")
    migrate.add_argument("checkpoint", metavar="CHECKPOINT", help="checkpoint folder, run folder or hub id")
    migrate.add_argument("out", metavar="OUT", nargs="?", type=Path, help="new folder (CHECKPOINT_migrated)")
    migrate.add_argument("--robot", default="", help="whose statistics, where the checkpoint has several robots'")
    migrate.add_argument(
        "--statistics", type=Path, metavar="FILE", help="meta/stats.json of the dataset, where the checkpoint has none"
    )
    return parser


def _add_recorded(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--episodes", type=_positive, default=250, help="successful episodes to record (250)")
    parser.add_argument("--workers", type=_positive, default=2, help="virtual arms side by side (2)")


def _add_trained(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=_positive, default=None, help="batches to learn from")
    parser.add_argument("--seed", dest="train_seed", type=int, default=0, help="of weights, batches and dropout (0)")
    parser.add_argument("--run", default="run", help="name of the run's folder (run)")
    parser.add_argument(
        "--init",
        type=Path,
        default=None,
        metavar="FOLDER",
        help="policy to begin with, that does a task like this one",
    )


def _add_evaluated(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", type=Path, default=None, help="checkpoint or run folder (the trained run)")
    parser.add_argument("--episodes", type=_positive, default=20, help="scenes to try (20)")
    parser.add_argument("--seed", type=int, default=0, help="of the first scene, with --chain of all (0)")


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", choices=TASKS, default=TASKS[0], help=f"what the arm has to do ({TASKS[0]})")
    parser.add_argument(
        "--folder", type=Path, default=None, help=f"where data and runs are kept ({DEFAULT_FOLDER}/TASK)"
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected 1 or more")
    return value


if __name__ == "__main__":
    sys.exit(main())
