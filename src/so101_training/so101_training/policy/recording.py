# SPDX-License-Identifier: Apache-2.0
"""Recording many demonstrations on several cores: each worker has its own virtual arm and takes every n-th scene."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import TYPE_CHECKING

from so101_training.errors import TrainingError
from so101_training.policy.recipe import TRAINING_SEEDS, ObservationRecipe

if TYPE_CHECKING:
    from so101_training.policy.demonstration import Demonstrator
    from so101_training.policy.lockstep_arm import LockstepArm
    from so101_training.policy.reactive_demonstration import ReactiveDemonstrator
    from so101_training.policy.recording_plan import RecordingPlan
    from so101_training.policy.viewpoint import Viewpoint

RAW_EPISODES = 5
"""This many first scenes keep their JPEG files, to replay them through the policy server."""

_POLL_S = 0.5
_LONGEST_EPISODE_S = 60.0  # of real time, on a busy machine


class RecordingError(TrainingError):
    """Recording did not finish. The message is one line."""


def record(
    folder: Path, plan: RecordingPlan, episodes: int, workers: int, recipe: ObservationRecipe
) -> Iterator[int | None]:
    """Record until `episodes` scenes succeeded, and give their seeds in order as they come; None while waiting.

    Args:
        folder: takes one file per episode; what is there already is not recorded again.
        plan: what of, and how.
        episodes: how many.
        workers: processes, one virtual arm each.
        recipe: cameras and size of the images.

    Raises:
        RecordingError: a worker died, or the folder has episodes of another plan.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plan.claim(folder)
    for leftover in folder.glob("*.tmp"):
        leftover.unlink()
    given = 0
    with _running_workers(folder, plan, workers, recipe) as (processes, stop):
        while given < episodes:
            seeds = _consecutive_successes(folder)[given:episodes]
            if given + len(seeds) == episodes:
                stop.set()  # what is left to do with them takes time, in which nobody need record more
            yield from seeds
            given += len(seeds)
            if seeds:
                continue
            dead = [process.name for process in processes if process.exitcode not in (None, 0)]
            if dead:
                raise RecordingError(f"{dead[0]} ended early; its own message is above")
            yield None
            time.sleep(_POLL_S)


@contextmanager
def _running_workers(
    folder: Path, plan: RecordingPlan, workers: int, recipe: ObservationRecipe
) -> Iterator[tuple[list[BaseProcess], Event]]:
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    processes = [
        context.Process(target=_work, args=(folder, plan, worker, workers, recipe, stop), name=f"recorder {worker}")
        for worker in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        yield list(processes), stop
    finally:
        stop.set()
        for process in processes:
            process.join(_LONGEST_EPISODE_S)
            if process.is_alive():
                process.kill()
                process.join()


def _consecutive_successes(folder: Path) -> list[int]:
    """Seeds of the recorded episodes up to the first scene that nobody has tried: the same however workers raced."""
    tried = {int(path.stem): path.suffix for path in folder.iterdir() if path.suffix in (".npz", ".failed")}
    seeds: list[int] = []
    for seed in TRAINING_SEEDS:
        if seed not in tried:
            return seeds
        if tried[seed] == ".npz":
            seeds.append(seed)
    return seeds


def _seeds_of(worker: int, workers: int) -> Iterator[int]:
    return iter(range(TRAINING_SEEDS.start + worker, TRAINING_SEEDS.stop, workers))


def _is_tried(folder: Path, seed: int) -> bool:
    from so101_training.policy.episode_files import episode_path, failed_path

    return episode_path(folder, seed).exists() or failed_path(folder, seed).exists()


def _work(folder: Path, plan: RecordingPlan, worker: int, workers: int, recipe: ObservationRecipe, stop: Event) -> None:
    """Record until told to stop; runs in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Imported here: the parent needs neither MuJoCo nor a GL library.
    import cv2
    from so101_driver.core.errors import DriverError
    from so101_sim.errors import SimulationError

    from so101_training.policy.lockstep_arm import lockstep_arm
    from so101_training.policy.viewpoint import Viewpoint

    cv2.setNumThreads(1)
    seeds = (seed for seed in _seeds_of(worker, workers) if not _is_tried(folder, seed))
    try:
        with lockstep_arm() as arm, Viewpoint(recipe) as viewpoint:
            _record_on(_Demonstrators(arm, viewpoint, plan), folder, seeds, stop)
    except (SimulationError, DriverError, OSError) as error:
        print(f"recorder {worker}: {error}", file=sys.stderr, flush=True)
        sys.exit(1)


class _Demonstrators:
    """One for each task that comes up, all on one arm."""

    def __init__(self, arm: LockstepArm, viewpoint: Viewpoint, plan: RecordingPlan) -> None:
        self._arm = arm
        self._viewpoint = viewpoint
        self._plan = plan
        self._of: dict[str, Demonstrator | ReactiveDemonstrator] = {}

    def for_scene(self, seed: int) -> Demonstrator | ReactiveDemonstrator:
        from so101_sim.core.tasks import task_named

        from so101_training.policy.demonstration import Demonstrator
        from so101_training.policy.reactive_demonstration import ReactiveDemonstrator

        name = self._plan.task_of(seed)
        if name not in self._of:
            kind = ReactiveDemonstrator if self._plan.expert == "reactive" else Demonstrator
            self._of[name] = kind(self._arm, self._viewpoint, task_named(name), noise=self._plan.noise)
        return self._of[name]


def _record_on(demonstrators: _Demonstrators, folder: Path, seeds: Iterator[int], stop: Event) -> None:
    """Record one scene after another until told to stop."""
    from so101_training.policy.episode_files import failed_path, write_episode

    parent = os.getppid()
    for seed in seeds:
        if stop.is_set() or os.getppid() != parent:  # the second: the parent was killed
            return
        episode = demonstrators.for_scene(seed).record(seed, keep_jpegs=seed < TRAINING_SEEDS.start + RAW_EPISODES)
        if episode is None:
            failed_path(folder, seed).touch()
        else:
            write_episode(folder, episode)
