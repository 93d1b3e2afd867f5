# SPDX-License-Identifier: Apache-2.0
"""The files that --checkpoint and --correction mean, refused where they are missing or do not fit each other."""

from pathlib import Path

from so101_correction.core.correction_file import check, read
from so101_correction.errors import CorrectionFileError
from so101_node.fingerprint import FingerprintError, of_checkpoint
from so101_node.protocol import JOINT_NAMES
from so101_policy_server.lerobot.checkpoint import find_folder, has_adapter
from so101_policy_server.policy import PolicyLoadError

from so101_demo.errors import DemoError
from so101_demo.execution_modes import queue_parameters
from so101_demo.options import OFF, ON, DemoOptions
from so101_shipped_policies import shipped_correction, shipped_policy


def checkpoint_folder(options: DemoOptions) -> Path:
    """Return the policy's folder: the one that was named, else the one that ships.

    Raises:
        DemoError: there is no such folder, or no policy in it.
    """
    if options.checkpoint is not None:
        if not options.checkpoint.is_dir():
            raise DemoError(f"--checkpoint {options.checkpoint}: no such folder; expected a LeRobot policy folder")
        try:
            if not has_adapter(options.checkpoint):  # its base is known to the server alone
                find_folder(options.checkpoint)  # as the server will, a quarter of a minute later
        except PolicyLoadError as error:
            raise DemoError(f"--checkpoint: {error}") from error
        except OSError as error:
            raise DemoError(f"--checkpoint {options.checkpoint}: {error.strerror}") from error
        return options.checkpoint.absolute()
    shipped = shipped_policy(options.task)
    if not (shipped / "config.json").is_file():
        raise DemoError(
            f"no checkpoint in {shipped}: make one with ./so101 policy train, name one with --checkpoint, "
            "or run the scripted expert with --policy expert"
        )
    return shipped


def chosen_correction(options: DemoOptions, cameras: tuple[str, ...]) -> Path | None:
    """Return the file of the correction, None for none.

    Args:
        options: what --correction says, and the task and checkpoint whose rows are corrected.
        cameras: those of the robot.

    Raises:
        DemoError: there is no such file, or it is of another policy, other cameras, joints or rate.
    """
    if options.correction == OFF:
        return None
    path = shipped_correction(options.task) if options.correction == ON else Path(options.correction).absolute()
    if not path.is_file():
        if options.correction == ON:
            raise DemoError(
                f"--correction on: none ships for task {options.task} ({path} is missing): train one with "
                "./so101 policy correction, or name its file"
            )
        raise DemoError(f"--correction {options.correction}: no such file; expected on, off or a correction.npz")
    differs = _unfit(options, path, cameras)
    if differs:
        raise DemoError(f"--correction {options.correction}: {differs}")
    return path


def _unfit(options: DemoOptions, path: Path, cameras: tuple[str, ...]) -> str:
    """Return one line that says what of the file does not fit, "" where all does. DemoError where it cannot be read."""
    try:
        file = read(path)
    except CorrectionFileError as error:
        raise DemoError(f"--correction: {error}") from error
    policy = checkpoint_folder(options)
    try:
        if (policy / "adapter_config.json").is_file():
            return ""  # its base is known to the server alone; the queue compares what that says
        return check(
            file,
            fingerprint=of_checkpoint(policy),
            cameras=cameras,
            joint_names=JOINT_NAMES,
            fps=queue_parameters(options.task, options.execution)["fps"],
        )
    except FingerprintError as error:
        return str(error)
