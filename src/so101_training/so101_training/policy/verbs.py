# SPDX-License-Identifier: Apache-2.0
"""What the verbs of `./so101 policy` do, with progress for people."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from so101_demo.execution_modes import MODES

from so101_training.errors import TrainingError
from so101_training.policy.recipe import TRAINING_SEEDS, ModelRecipe, ObservationRecipe, TrainingRecipe
from so101_training.progress_bar import counting_bar

if TYPE_CHECKING:
    from so101_training.policy.comparison import ModeCell

_console = Console(stderr=True)


class PolicyVerbError(TrainingError):
    """A verb cannot do what it was told. The message is one line."""


TRIED_EPISODES = 20


def make(options: argparse.Namespace) -> int:
    """Record, train and try the policy of a task; the belt's begins with what the static task has taught."""
    from so101_shipped_policies import shipped_policy

    if options.task == "belt" and options.init is None:
        options.init = shipped_policy("static")
    _console.print(f"1 of 3: {options.episodes} demonstrations")
    data(options)
    _console.print("2 of 3: training")
    train(options)
    _console.print("3 of 3: trying it")
    tried = {"checkpoint": None, "episodes": TRIED_EPISODES, "seed": 0, "delay_ms": 100.0, "mode": MODES[0]}
    return eval(argparse.Namespace(**{**vars(options), **tried}))


def data(options: argparse.Namespace) -> int:
    """Record demonstrations as a LeRobotDataset: the workers record, this process writes."""
    from so101_sim.core.tasks import task_named
    from so101_sim.world.rendering import graphics_library

    from so101_training.policy.dataset import DatasetBuilder
    from so101_training.policy.episode_files import read_episode
    from so101_training.policy.recording import RAW_EPISODES, record
    from so101_training.policy.recording_plan import plan_for

    plan = plan_for(tuple(options.tasks or [options.task]), options.expert, options.noise == "on")
    graphics_library()  # one line about a missing library from here, instead of one from each worker
    recipe = ObservationRecipe()
    episodes, root = options.folder / "episodes", options.folder / "dataset"
    builder = DatasetBuilder(root, recipe)
    with counting_bar(_console) as bar:
        task = bar.add_task("recording episodes", total=options.episodes)
        for seed in record(episodes, plan, options.episodes, options.workers, recipe):
            if seed is not None:
                builder.add(read_episode(episodes, seed), task_named(plan.task_of(seed)).instruction)
                bar.advance(task)
            bar.refresh()
    builder.finish()
    _console.print(f"{options.episodes} episodes from seed {TRAINING_SEEDS.start} on: {root}")
    _console.print(f"JPEG files of the first {RAW_EPISODES} scenes: {episodes}")
    return 0


def train(options: argparse.Namespace) -> int:
    """Train ACT on the recorded dataset."""
    import torch

    from so101_training.policy.dataset import load
    from so101_training.policy.training import Report, Trainer, TrainingRunError, pretrained_folder

    torch.set_num_threads(1)
    observation, model = ObservationRecipe(), ModelRecipe()
    training = replace(TrainingRecipe(), seed=options.train_seed)
    if options.steps is not None:
        training = replace(training, steps=options.steps)
    arrays = load(options.folder / "dataset", observation)
    _console.print(
        f"{arrays.episodes} episodes, {arrays.frames} frames; {training.steps} steps of {training.batch_size}"
    )
    run = options.folder / options.run
    note = {"task": options.task, "first_scene_seed": TRAINING_SEEDS.start}
    try:
        trainer = Trainer(arrays, run, observation, model, training, note, options.init)
        if trainer.step:
            _console.print(f"going on at step {trainer.step}")
        with counting_bar(_console) as bar:
            task = bar.add_task("training", total=training.steps, completed=trainer.step)

            def show(report: Report) -> None:
                bar.update(task, completed=report.step, description=f"training, loss {report.loss:.4f}")
                minutes = report.seconds / 60
                if report.step % 500 == 0:
                    bar.console.print(f"step {report.step}: loss {report.loss:.4f}, {minutes:.1f} min")

            trainer.train(show)
    except TrainingRunError as error:
        raise PolicyVerbError(str(error)) from error
    _console.print(f"policy: {pretrained_folder(run)}")
    return 0


def eval(options: argparse.Namespace) -> int:
    """Run episodes in virtual time and say how many succeeded."""
    from so101_training.policy.trials import evaluation_seeds, virtual_trials

    seeds = evaluation_seeds(options.seed, options.episodes)
    done = won = 0
    with virtual_trials(options.task, _checkpoint(options), seeds) as trials:
        for outcome in trials.run(options.mode, options.delay_ms / 1000):
            done, won = done + 1, won + outcome.succeeded
            word = "success" if outcome.succeeded else "FAILURE"
            _console.print(f"seed {outcome.seed}: {word} after {outcome.duration_s:.1f} s   ({won}/{done})")
    print(f"{won}/{done} episodes succeeded in virtual time")
    return 0


def correction(options: argparse.Namespace) -> int:
    """Train a correction of a base policy."""
    from so101_training.correction.make_correction import make_correction

    return make_correction(options)


def compare(options: argparse.Namespace) -> int:
    """Success for each mode and delay; the report grows with each cell, and cells that are in it are not run again."""
    from so101_training.policy import comparison

    if options.delay is not None:
        return _compare_one(options)

    checkpoint = _checkpoint(options)
    about = {
        "task": options.task,
        "checkpoint": checkpoint.absolute().name,
        "where": "through the whole chain" if options.chain else "in virtual time",
        "seed": options.seed,
    }
    cells = comparison.read(options.report, about)
    known = {(cell.mode, cell.delay_ms) for cell in cells if cell.episodes >= options.episodes}
    wanted = [(mode, delay) for mode in options.modes for delay in options.delays_ms if (mode, delay) not in known]
    with counting_bar(_console) as bar:
        progress = bar.add_task("comparing", total=len(wanted) * options.episodes)
        for cell in _compared(options, checkpoint, wanted, lambda doing: bar.update(progress, description=doing)):
            cells = [other for other in cells if (other.mode, other.delay_ms) != (cell.mode, cell.delay_ms)]
            cells.append(cell)
            comparison.write(options.report, about, cells)
            bar.advance(progress, options.episodes)
            bar.console.print(f"{cell.mode} at {cell.delay_ms:g} ms: {cell.successes}/{cell.episodes}")
    for cell in sorted(cells, key=comparison.sort_key):
        print(f"{cell.mode:14} {cell.delay_ms:4g} ms  {cell.successes}/{cell.episodes}")
    _console.print(f"report: {options.report / comparison.JSON_FILE}, {options.report / comparison.PLOT_FILE}")
    return 0


def _compare_one(options: argparse.Namespace) -> int:
    """One task at one delay, with a correction or without."""
    from so101_node.writable import obstacle

    from so101_shipped_policies import shipped_policy
    from so101_training.policy.single_comparison import ComparedCell, run_cell, table_line, write_report
    from so101_training.policy.virtual_correction import CameraHealth
    from so101_training.policy.virtual_episode import Outcome, PolicyDelay

    if reason := obstacle(options.report):
        raise PolicyVerbError(f"--report {options.report}: cannot be written ({reason})")
    cell = ComparedCell(
        task=options.task,
        checkpoint=options.checkpoint or shipped_policy(options.task),
        mode=options.execution,
        delay=PolicyDelay(options.delay, is_warm=options.warm, is_far=options.in_flight > 1),
        requests_in_flight=options.in_flight,
        threshold=options.threshold,
        correction=options.correction,
        health=CameraHealth(options.frames),
        seed=options.seed,
        episodes=options.episodes,
    )
    outcomes: list[Outcome] = []
    with counting_bar(_console) as bar:
        progress = bar.add_task(f"{cell.task}, {cell.conditions}", total=cell.episodes)

        def told(outcome: Outcome) -> None:
            outcomes.append(outcome)
            won = sum(one.succeeded for one in outcomes)
            bar.update(progress, advance=1, description=f"{cell.task}, {cell.conditions}: {won}/{len(outcomes)}")
            if not outcome.succeeded:
                bar.console.print(f"seed {outcome.seed}: FAILURE after {outcome.duration_s:.1f} s")

        report = run_cell(cell, told)
    write_report(options.report, report)
    print(table_line(cell, report))
    return 0


def _compared(
    options: argparse.Namespace,
    checkpoint: Path,
    wanted: list[tuple[str, float]],
    say: Callable[[str], None],
) -> Iterator[ModeCell]:
    """The chosen cells, one after the other."""
    from so101_training.policy.comparison import ModeCell
    from so101_training.policy.trials import evaluation_seeds, run_demo, virtual_trials

    if not wanted:
        return
    if options.chain:
        for mode, delay_ms in wanted:
            say(f"{mode} at {delay_ms:g} ms")
            yield run_demo(options.task, checkpoint, mode, delay_ms, options.episodes, options.seed)
        return
    seeds = evaluation_seeds(options.seed, options.episodes)
    with virtual_trials(options.task, checkpoint, seeds) as trials:
        for mode, delay_ms in wanted:
            outcomes = []
            for outcome in trials.run(mode, delay_ms / 1000):
                outcomes.append(outcome)
                say(f"{mode} at {delay_ms:g} ms, episode {len(outcomes)}")
            failed = tuple(outcome.seed for outcome in outcomes if not outcome.succeeded)
            yield ModeCell(mode, delay_ms, len(outcomes) - len(failed), len(outcomes), failed)


def _checkpoint(options: argparse.Namespace) -> Path:
    from so101_training.policy.training import pretrained_folder

    return Path(options.checkpoint or pretrained_folder(options.folder / getattr(options, "run", "run")))
