# SPDX-License-Identifier: Apache-2.0
"""Episodes on the virtual arm in virtual time: the queue's own core, the arm's own bus and images, no DDS."""

from __future__ import annotations

import multiprocessing
import queue
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from so101_policy_server.policy import Leftover, Observation, Policy, PolicyDescription, Prediction

from so101_training.errors import TrainingError
from so101_training.tune.matrix import POLICY_S, TuneCell

POLL_S = 0.5


class EpisodesError(TrainingError):
    """Episodes cannot be run. The message is one line."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One episode of one cell, and whether it succeeded."""

    cell: TuneCell
    seed: int
    succeeded: bool


class ShortenedPolicy:
    """A policy whose chunks are cut to `rows` rows, as the server cuts them to `actions_per_chunk`."""

    def __init__(self, policy: Policy, rows: int) -> None:
        self._policy = policy
        self._rows = rows

    @property
    def description(self) -> PolicyDescription:
        """The policy's own, with the shorter horizon."""
        own = self._policy.description
        return replace(own, horizon=min(own.horizon, self._rows))

    def infer(self, observation: Observation, leftover: Leftover | None) -> Prediction:
        """Predict one chunk; see `Policy.infer`."""
        prediction = self._policy.infer(observation, leftover)
        return replace(prediction, actions=prediction.actions[: self._rows])

    def reset(self) -> None:
        """Forget everything about earlier observations."""
        self._policy.reset()


def attempts(
    cells: Sequence[TuneCell], seeds: Sequence[int], workers: int, checkpoint: Path, task: str
) -> Iterator[Attempt]:
    """Run every cell with every seed, in any order, and give each as it comes.

    Raises:
        EpisodesError: a worker failed.
    """
    spawn = multiprocessing.get_context("spawn")  # OpenGL and torch do not survive a fork
    jobs, done = spawn.Queue(), spawn.Queue()
    for cell in sorted(cells, key=lambda cell: -cell.delay_s):  # the longest first: none is left over at the end
        for seed in seeds:
            jobs.put((cell, seed))
    for _ in range(workers):
        jobs.put(None)
    processes: list[BaseProcess] = [
        spawn.Process(target=_work, args=(jobs, done, str(checkpoint), task), daemon=True) for _ in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        for _ in range(len(cells) * len(seeds)):
            yield _next(done, processes)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(5.0)


def _next(done: Any, processes: Sequence[BaseProcess]) -> Attempt:
    while True:
        try:
            result = done.get(timeout=POLL_S)
        except queue.Empty:
            dead = [process.exitcode for process in processes if process.exitcode not in (None, 0)]
            if dead:
                raise EpisodesError(f"a process with a virtual arm ended with code {dead[0]}") from None
            continue
        if isinstance(result, str):
            raise EpisodesError(result)
        assert isinstance(result, Attempt)
        return result


def _work(jobs: Any, done: Any, checkpoint: str, task: str) -> None:
    """Body of a worker process: one virtual arm, one policy, one episode after the other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    try:
        _run_jobs(jobs, done, checkpoint, task)
    except Exception as error:  # noqa: BLE001 - told by the parent, in one line
        done.put(f"{type(error).__name__}: {' '.join(str(error).split())}")


def _run_jobs(jobs: Any, done: Any, checkpoint: str, task_name: str) -> None:
    import torch
    from so101_policy_server.lerobot.lerobot_policy import load_policy
    from so101_policy_server.policy import PolicySource
    from so101_sim.core.tasks import task_named

    from so101_training.policy.evaluation import Evaluator, queue_settings
    from so101_training.policy.lockstep_arm import lockstep_arm
    from so101_training.policy.recipe import ObservationRecipe
    from so101_training.policy.viewpoint import Viewpoint
    from so101_training.policy.virtual_episode import PolicyDelay
    from so101_training.tune.expert_episodes import ExpertEpisodes

    torch.set_num_threads(1)
    task = task_named(task_name)
    policy = load_policy(PolicySource(checkpoint), lambda _doing: None)
    images = policy.description.images
    recipe = ObservationRecipe(tuple(image.camera for image in images), images[0].height, images[0].width)
    base = queue_settings(policy, task, "aligned")
    with lockstep_arm() as arm, Viewpoint(recipe) as viewpoint:
        for cell, seed in iter(jobs.get, None):
            settings = replace(base, actions_per_chunk=cell.rows, chunk_size_threshold=cell.threshold)
            delay_s = POLICY_S + cell.delay_s
            if cell.policy == "expert":
                succeeded = ExpertEpisodes(arm, task, settings, delay_s).run(seed)
            else:
                shortened = ShortenedPolicy(policy, cell.rows)
                evaluator = Evaluator(arm, viewpoint, shortened, task, settings, PolicyDelay(delay_s))
                succeeded = evaluator.run(seed).succeeded
            done.put(Attempt(cell, seed, succeeded))
