# SPDX-License-Identifier: Apache-2.0
"""`./so101 replay BAG --to queue|policy_server|arm`: exit 0 if done (queue: and identical), 1 with one line if not."""

import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from so101_node.writable import obstacle

from so101_bag.replay.options import ReplayOptions, parse


class _Interrupted(Exception):
    """SIGINT or SIGTERM came."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one replay and return the exit code."""
    options = parse(arguments)
    from so101_bag.errors import BagError, ReplayError

    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda signum, _frame: received.append(signum))

    def check() -> None:
        if received:
            raise _Interrupted

    if options.check:
        return _check_bag(options)
    if options.report is not None and (reason := obstacle(options.report)):
        print(f"so101 replay: --report {options.report}: cannot be written ({reason})", file=sys.stderr)
        return 1
    run = {"queue": _to_queue, "policy_server": _to_policy_server, "arm": _to_arm}[options.target]
    try:
        return run(options, check)
    except (BagError, ReplayError) as error:
        print(f"so101 replay: {error}", file=sys.stderr)
        return 1
    except _Interrupted:
        print("so101 replay: stopped", file=sys.stderr)
        return 128 + received[0]


def _check_bag(options: ReplayOptions) -> int:
    from so101_bag.errors import BagError
    from so101_bag.storage.folder import BagFolder

    try:
        BagFolder(options.bag).close()
    except BagError as error:
        print(f"so101 replay: {error}", file=sys.stderr)
        return 1
    return 0


def _to_queue(options: ReplayOptions, check: Callable[[], None]) -> int:
    from so101_bag.replay.queue_replay import replay_to_queue
    from so101_bag.replay.report import write_report
    from so101_bag.replay.settings_change import parse_changes, title
    from so101_bag.storage.reader import Bag

    changes = parse_changes(options.changes)
    with Bag(options.bag, options.namespace) as bag:
        report, traces = replay_to_queue(bag, changes, check)
    verdict = "identical" if report["identical"] else f"NOT identical: {report['first_difference']}"
    print(f"{report['decisions']} decisions, {verdict}")
    for change, metrics in zip(changes, report.get("alternatives", ()), strict=True):
        apart = metrics["difference"]
        print(
            f"  {title(change)}: {metrics['starved_ticks']} starved of {metrics['ticks']} ticks, jerk "
            f"{metrics['jerk_rms_rad_s3']} rad/s^3, from the recorded commands {apart['rms_rad']} rad RMS, "
            f"{apart['max_rad']} at most"
        )

    def plot(path: Path) -> None:
        from so101_bag.replay.plots import plot_queue

        plot_queue(path, traces)

    _print(write_report(options.report, report, plot))
    return 0 if report["identical"] else 1


def _to_policy_server(options: ReplayOptions, check: Callable[[], None]) -> int:
    from so101_bag.replay.chunk_comparison import ChunkComparison
    from so101_bag.replay.report import write_report
    from so101_bag.replay.server_session import compare_all
    from so101_bag.storage.reader import Bag

    comparison = ChunkComparison()
    with Bag(options.bag, options.namespace) as bag:
        policies = compare_all(bag, options, comparison, check)
    metrics: dict[str, Any] = {"bag": str(options.bag), **policies, **comparison.report()}
    error, latency = metrics["error_rad"], metrics["latency_ms"]
    print(
        f"{metrics['answered']} of {metrics['requests']} requests got a chunk, {metrics['identical_chunks']} chunks "
        f"identical; new - recorded: RMS {error['rms']} rad, at most {error['max']}; inference p50 "
        f"{latency['recorded']['inference']['p50']} ms recorded, {latency['replayed']['inference']['p50']} now"
    )

    def plot(path: Path) -> None:
        from so101_bag.replay.plots import plot_chunks

        lines = {
            f"{name}, {when}": [value * 1e3 for value in times[name]]
            for when, times in (("recorded", comparison.recorded_s), ("now", comparison.replayed_s))
            for name in ("inference", "server_total")
        }
        plot_chunks(path, comparison.joint_names, comparison.error_by_row(), lines)

    _print(write_report(options.report, metrics, plot))
    return 0 if metrics["answered"] else 1


def _to_arm(options: ReplayOptions, check: Callable[[], None]) -> int:
    from so101_bag.replay.arm_session import play_recorded
    from so101_bag.replay.own_processes import OwnProcesses, virtual_arm
    from so101_bag.replay.report import write_report
    from so101_bag.storage.reader import Bag

    with ExitStack() as stack:
        bag = stack.enter_context(Bag(options.bag, options.namespace))
        ends = check
        if options.sim:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="so101-replay-")))
            own = stack.enter_context(OwnProcesses(virtual_arm(folder / "sim")))
            ends = _both(check, own.check)
        metrics, lines = play_recorded(bag, options, ends)
    print(f"played {metrics['commands']} commands; {metrics['values_limited']} values limited by the driver's gate")

    def plot(path: Path) -> None:
        from so101_bag.replay.plots import plot_motion

        plot_motion(path, list(metrics["joints"]), lines)

    _print(write_report(options.report, metrics, plot))
    return 0


def _both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    def check() -> None:
        first()
        second()

    return check


def _print(lines: Sequence[str]) -> None:
    for line in lines:
        print(line)


if __name__ == "__main__":
    sys.exit(main())
