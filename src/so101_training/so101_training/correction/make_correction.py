# SPDX-License-Identifier: Apache-2.0
"""The verb `correction`: from demonstrations and a base policy to the file of a correction."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from so101_node.protocol import JOINT_NAMES
from so101_node.protocol.units import UnitConverter, Units

from so101_training.errors import TrainingError
from so101_training.progress_bar import counting_bar

if TYPE_CHECKING:
    from so101_correction.core.correction_file import CorrectionFile
    from so101_policy_server.policy import Policy

    from so101_training.correction.base_chunks import ThumbnailRecipe
    from so101_training.correction.fitting import FitRecipe, Fitted
    from so101_training.correction.recorded_dataset import RecordedDataset
    from so101_training.correction.samples import CorrectionEpisode

CACHE_FOLDER = "base_chunks"
HIDDEN, TOLD = "hidden", "told"
LARGEST_DELTA_RAD, LARGEST_CHANGE_RAD = 0.5, 0.06
FEWEST_ROWS = 2
LATER_LEARNING_RATE = 8e-4  # of a correction that is gone on with

_console = Console(stderr=True)


class CorrectionTrainingError(TrainingError):
    """A correction cannot be trained from what was given. The message is one line."""


def make_correction(options: argparse.Namespace) -> int:
    """Compute the base policy's chunks, train, write the file and say what it does to the residual offline."""
    import torch
    from so101_correction.core.correction_file import write

    from so101_training.correction.base_chunks import ThumbnailRecipe
    from so101_training.correction.fitting import FitRecipe
    from so101_training.correction.recorded_dataset import RecordedDataset
    from so101_training.correction.samples import GRIPPER_HIDDEN, GRIPPER_TOLD
    from so101_training.correction.straying import strayed_rad, told_of_straying

    torch.set_num_threads(1)
    units, datasets = Units[options.units.upper()], [RecordedDataset(root) for root in options.dataset]
    policy = _load_policy(options.checkpoint, tuple(options.statistics_from or ()))
    fingerprint = policy.description.fingerprint
    recipe = ThumbnailRecipe(_cameras(policy, options.checkpoint, options.cameras))
    needed = tuple(dict.fromkeys((*recipe.cameras, *(image.camera for image in policy.description.images))))
    for dataset in datasets:
        dataset.check(JOINT_NAMES, needed, options.fps, units)
    converter = _converter(options.calibration, units)
    begin = _begun(options.init, fingerprint, recipe, options.earlier_steps)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    folder = options.output.parent / CACHE_FOLDER
    episodes = _episodes(datasets, policy, fingerprint, folder, converter, recipe)
    strayed = strayed_rad(episodes)
    if told := told_of_straying(strayed):
        _console.print(told, soft_wrap=True)
    noise = GRIPPER_TOLD if options.gripper == TOLD else GRIPPER_HIDDEN
    learning = replace(FitRecipe(), seed=options.seed, noise=noise, earlier_steps=options.earlier_steps)
    if begin is not None:
        learning = replace(learning, learning_rate=LATER_LEARNING_RATE)
    if options.steps is not None:
        learning = replace(learning, steps=options.steps)
    for sees, output in _outputs(options.output, options.blind):
        fitted = _fit(episodes, learning, sees, begin if sees else None)
        about = _about(datasets, episodes, learning, fitted) | {
            "gripper": options.gripper,
            "strayed_rad": f"{strayed:.4f}",
        }
        if begin is not None and sees:
            about["begun_with"] = f"{options.init.name}, {begin.trained.get('steps', '?')} steps"
        earlier = options.earlier_steps if sees else 0
        shown = recipe if sees else replace(recipe, cameras=())
        write(output, _file(fitted, fingerprint, shown, options.fps, earlier, about))
        kind = "with frames" if sees else "blind"
        print(
            f"{kind}: {fitted.before_rad:.4f} rad to correct, {fitted.after_rad:.4f} rad left (root mean square, "
            f"demonstrations it was not trained on); {output}"
        )
    _console.print("What is left offline does not rank corrections: `./so101 policy compare --correction` decides.")
    return 0


def _outputs(output: Path, has_blind: bool) -> list[tuple[bool, Path]]:
    blind = output.with_name(f"{output.stem}_blind{output.suffix}")
    return [(True, output), *([(False, blind)] if has_blind else [])]


def _load_policy(checkpoint: Path, statistics_from: tuple[str, ...]) -> Policy:
    """The base policy, on the GPU where there is one; statistics_from: as of the policy server."""
    import torch
    from so101_policy_server.lerobot.lerobot_policy import load_policy
    from so101_policy_server.policy import PolicyLoadError, PolicySource

    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        source = PolicySource(path=str(checkpoint), device=device, statistics_from=statistics_from)
        policy = load_policy(source, _console.print)
    except PolicyLoadError as error:
        raise CorrectionTrainingError(str(error)) from error
    if not policy.description.fingerprint:
        raise CorrectionTrainingError(f"{checkpoint}: its files cannot be read again, so that it has no fingerprint")
    return policy


def _cameras(policy: Policy, checkpoint: Path, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """The correction's cameras, for a policy that a correction can be trained for."""
    rows = policy.description.horizon
    if rows < FEWEST_ROWS:
        raise CorrectionTrainingError(
            f"{checkpoint} gives chunks of {rows} row: expected chunks of {FEWEST_ROWS} or more"
        )
    cameras = tuple(wanted or (image.camera for image in policy.description.images))
    if not cameras:
        raise CorrectionTrainingError(f"{checkpoint} reads no camera: name those of the correction with --cameras")
    return cameras


def _converter(calibration: Path | None, units: Units) -> UnitConverter:
    """The dataset's units to rad; without a calibration that of the virtual arm."""
    from so101_driver.core.calibration import load_calibration
    from so101_driver.core.errors import CalibrationError
    from so101_sim.core.arm_servos import calibration_of, write_calibration
    from so101_sim.core.joints import JointRanges
    from so101_sim.world import scene

    with tempfile.TemporaryDirectory(prefix="so101-correction-") as folder:
        path = calibration
        if path is None:
            path = Path(folder) / "virtual.json"
            write_calibration(path, calibration_of(JointRanges.of(scene.build_model())))
        try:
            loaded = load_calibration(path)
        except CalibrationError as error:
            raise CorrectionTrainingError(str(error)) from error
    lower, upper = loaded.lower_rad().tolist(), loaded.upper_rad().tolist()
    return UnitConverter(JOINT_NAMES, units, lower, upper, [joint.drive_mode for joint in loaded.joints])


def _episodes(
    datasets: Sequence[RecordedDataset],
    policy: Policy,
    fingerprint: str,
    folder: Path,
    units: UnitConverter,
    recipe: ThumbnailRecipe,
) -> list[CorrectionEpisode]:
    from so101_training.correction.base_chunks import BaseChunks

    episodes: list[CorrectionEpisode] = []
    with counting_bar(_console) as bar:
        progress = bar.add_task("base chunks, frames", total=sum(dataset.frames for dataset in datasets))
        for dataset in datasets:
            chunks = BaseChunks(folder, dataset, policy, fingerprint, units, recipe)
            episodes += chunks.episodes(lambda frames: bar.advance(progress, frames))
    if not any(episode.first_moving < len(episode.positions) for episode in episodes):
        raise CorrectionTrainingError("nothing moves in these demonstrations: every command is the episode's first")
    return episodes


def _begun(path: Path | None, fingerprint: str, recipe: ThumbnailRecipe, earlier_steps: int) -> CorrectionFile | None:
    """The correction to go on from; one that is shown no earlier frame can be gone on with by one that is."""
    if path is None:
        return None
    from so101_correction.core.correction_file import read
    from so101_correction.errors import CorrectionFileError

    try:
        begun = read(path)
    except CorrectionFileError as error:
        raise CorrectionTrainingError(str(error)) from error
    reads, sized = (begun.cameras, begun.height, begun.width), (recipe.cameras, recipe.height, recipe.width)
    if begun.fingerprint != fingerprint or reads != sized:
        raise CorrectionTrainingError(
            f"{path} is of policy {begun.fingerprint[:12]} and {reads}: expected {fingerprint[:12]} and {sized}"
        )
    if begun.earlier_steps not in (0, earlier_steps):
        raise CorrectionTrainingError(
            f"{path} is shown a frame of {begun.earlier_steps} steps ago: expected --earlier-steps to say that, "
            f"got {earlier_steps}"
        )
    if begun.earlier_steps == earlier_steps:
        return begun
    from so101_training.correction.torch_network import widened

    return replace(begun, weights=widened(begun.weights), earlier_steps=earlier_steps)


def _fit(episodes: Sequence[CorrectionEpisode], recipe: FitRecipe, sees: bool, begin: CorrectionFile | None) -> Fitted:
    from so101_training.correction.fitting import FitProgress, fit

    with counting_bar(_console) as bar:
        progress = bar.add_task("training", total=recipe.steps)

        def told(done: FitProgress) -> None:
            kind = "" if sees else " blind"
            bar.update(progress, completed=done.step, description=f"training{kind}, {done.left_rad:.4f} rad left")
            if done.step % 250 == 0:
                bar.console.print(f"step {done.step}: {done.left_rad:.4f} rad left")

        return fit(episodes, recipe, sees=sees, told=told, begin=None if begin is None else begin.weights)


def _about(
    datasets: Sequence[RecordedDataset], episodes: Sequence[CorrectionEpisode], recipe: FitRecipe, fitted: Fitted
) -> dict[str, str]:
    return {
        "datasets": ", ".join(dataset.root.name for dataset in datasets),
        "episodes": str(len(episodes)),
        "frames": str(sum(len(episode.positions) for episode in episodes)),
        "steps": str(recipe.steps),
        "batch_size": str(recipe.batch_size),
        "seed": str(recipe.seed),
        "minutes": f"{fitted.seconds / 60:.1f}",
        "residual_rad": f"{fitted.before_rad:.4f}",
        "residual_left_rad": f"{fitted.after_rad:.4f}",
    }


def _file(
    fitted: Fitted, fingerprint: str, recipe: ThumbnailRecipe, fps: float, earlier_steps: int, about: dict[str, str]
) -> CorrectionFile:
    from so101_correction.core.correction_file import CorrectionFile

    from so101_training.correction.samples import OLDEST_AGE_STEPS

    return CorrectionFile(
        weights=fitted.network.weights(),
        fingerprint=fingerprint,
        cameras=recipe.cameras,
        height=recipe.height,
        width=recipe.width,
        joint_names=tuple(JOINT_NAMES),
        fps=fps,
        oldest_age_steps=OLDEST_AGE_STEPS,
        largest_delta_rad=LARGEST_DELTA_RAD,
        largest_change_rad=LARGEST_CHANGE_RAD,
        earlier_steps=earlier_steps,
        trained=about,
    )
