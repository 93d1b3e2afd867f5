"""What the verbs of `./so101 policy` do, with progress for people."""

from __future__ import annotations

import argparse
from dataclasses import replace

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from so101_tools.policy.recipe import (
    EVALUATION_SEEDS,
    TRAINING_SEEDS,
    ModelRecipe,
    ObservationRecipe,
    TrainingRecipe,
)

_console = Console(stderr=True)


class PolicyVerbError(RuntimeError):
    """A verb cannot do what was asked. The message is one line."""


def data(options: argparse.Namespace) -> int:
    """Record demonstrations as a LeRobotDataset: the workers record, this process writes."""
    from so101_sim.rendering import graphics_library
    from so101_sim.tasks import task_named

    from so101_tools.policy.dataset import DatasetBuilder
    from so101_tools.policy.episode_files import read_episode
    from so101_tools.policy.recording import RAW_EPISODES, record

    graphics_library()  # one line about a missing library from here, instead of one from each worker
    recipe = ObservationRecipe()
    episodes, root = options.folder / "episodes", options.folder / "dataset"
    builder = DatasetBuilder(root, recipe, task_named(options.task).instruction)
    with _bar() as bar:
        task = bar.add_task("recording episodes", total=options.episodes)
        for seed in record(episodes, options.task, options.episodes, options.workers, recipe):
            if seed is not None:
                builder.add(read_episode(episodes, seed))
                bar.advance(task)
            bar.refresh()
    builder.finish()
    _console.print(f"{options.episodes} episodes from seed {TRAINING_SEEDS.start} on: {root}")
    _console.print(f"JPEG files of the first {RAW_EPISODES} scenes: {episodes}")
    return 0


def train(options: argparse.Namespace) -> int:
    """Train ACT on the recorded dataset."""
    import torch

    from so101_tools.policy.dataset import load
    from so101_tools.policy.training import Report, Trainer, TrainingError, pretrained_folder

    torch.set_num_threads(1)
    observation, model = ObservationRecipe(), ModelRecipe()
    training = replace(TrainingRecipe(), seed=options.seed)
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
        with _bar() as bar:
            task = bar.add_task("training", total=training.steps, completed=trainer.step)

            def show(report: Report) -> None:
                bar.update(task, completed=report.step, description=f"training, loss {report.loss:.4f}")
                minutes = report.seconds / 60
                if report.step % 500 == 0:
                    bar.console.print(f"step {report.step}: loss {report.loss:.4f}, {minutes:.1f} min")

            trainer.train(show)
    except TrainingError as error:
        raise PolicyVerbError(str(error)) from error
    _console.print(f"policy: {pretrained_folder(run)}")
    return 0


def eval(options: argparse.Namespace) -> int:
    """Run episodes in virtual time and say how many succeeded."""
    import torch
    from so101_policy_server.lerobot_policy import load_policy
    from so101_policy_server.policy import PolicyLoadError, PolicySource
    from so101_sim.tasks import task_named

    from so101_tools.policy.evaluation import Evaluator, queue_settings
    from so101_tools.policy.lockstep_arm import lockstep_arm
    from so101_tools.policy.training import pretrained_folder
    from so101_tools.policy.viewpoint import Viewpoint

    torch.set_num_threads(1)
    seeds = range(options.seed, options.seed + options.episodes)
    if seeds.start not in EVALUATION_SEEDS or seeds.stop - 1 not in EVALUATION_SEEDS:
        raise PolicyVerbError(
            f"seeds {seeds.start} to {seeds.stop - 1}: evaluation has 0 to {EVALUATION_SEEDS.stop - 1}"
        )
    checkpoint = options.checkpoint or pretrained_folder(options.folder / "run")
    try:
        policy = load_policy(PolicySource(path=str(checkpoint)), lambda _doing: None)
    except PolicyLoadError as error:
        raise PolicyVerbError(str(error)) from error
    task = task_named(options.task)
    settings = queue_settings(policy, task, options.mode)
    outcomes = []
    with lockstep_arm() as arm, Viewpoint(_observation_of(policy.description.images)) as viewpoint:
        evaluator = Evaluator(arm, viewpoint, policy, task, settings, options.delay_ms / 1000)
        for seed in seeds:
            outcome = evaluator.run(seed)
            outcomes.append(outcome)
            won = sum(one.succeeded for one in outcomes)
            word = "success" if outcome.succeeded else "FAILURE"
            _console.print(f"seed {seed}: {word} after {outcome.duration_s:.1f} s   ({won}/{len(outcomes)})")
    print(f"{sum(one.succeeded for one in outcomes)}/{len(outcomes)} episodes succeeded in virtual time")
    return 0


def _observation_of(images: tuple[object, ...]) -> ObservationRecipe:
    """The cameras and the one size that a checkpoint reads."""
    from so101_policy_server.policy import ImageFeature

    features = [image for image in images if isinstance(image, ImageFeature)]
    if not features:
        raise PolicyVerbError("the checkpoint reads no camera")
    return ObservationRecipe(tuple(f.camera for f in features), features[0].height, features[0].width)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=_console,
    )
