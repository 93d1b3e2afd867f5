# SPDX-License-Identifier: Apache-2.0
"""Where LeRobot keeps calibrations, under every folder name that its versions have used."""

import difflib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from so101_driver.core.calibration import FULL_TURN_JOINTS, Calibration, load_calibration
from so101_driver.core.errors import CalibrationError

# LeRobot 0.5 and later, then 0.2 to 0.4, which had a folder for each model and one for a variant of its own.
_FOLDERS: Final = ("so_follower", "so101_follower", "so100_follower", "so100_follower_end_effector")
_AGAIN: Final = "calibrating again moves the zero of policies that were trained before"


@dataclass(frozen=True, slots=True)
class CalibrationFile:
    """The file in use. `notes`: what a person should know of the choice, one line each; `others`: not taken."""

    path: Path
    notes: tuple[str, ...] = ()
    others: tuple[Path, ...] = ()

    def load(self, full_turn_joints: Sequence[str] = FULL_TURN_JOINTS) -> Calibration:
        """What is in it. Raises CalibrationError, which names the files that may be sound where this one is not."""
        try:
            return load_calibration(self.path, full_turn_joints)
        except CalibrationError as error:
            if not self.others:
                raise
            others = ", ".join(map(str, self.others))
            raise CalibrationError(
                f"{error}. There is another calibration of {self.path.stem} ({others}): if it is the right one, remove "
                f"{self.path.name} from {self.path.parent}"
            ) from error


def calibration_root(environ: Mapping[str, str], home: Path) -> Path:
    """LeRobot's calibration folder: HF_LEROBOT_CALIBRATION, else below HF_LEROBOT_HOME, HF_HOME, XDG_CACHE_HOME."""
    if value := environ.get("HF_LEROBOT_CALIBRATION"):
        return Path(value).expanduser()
    if value := environ.get("HF_LEROBOT_HOME"):
        return Path(value).expanduser() / "calibration"
    cache = _expanded(environ.get("XDG_CACHE_HOME")) or home / ".cache"
    hugging_face = _expanded(environ.get("HF_HOME")) or cache / "huggingface"
    return hugging_face / "lerobot" / "calibration"


def find_calibration(
    robot_id: str,
    calibration_dir: str = "",
    port: str = "/dev/ttyACM0",
    environ: Mapping[str, str] | None = None,
    home: Path | None = None,
) -> CalibrationFile:
    """The calibration of `robot_id`.

    `calibration_dir` holds `<robot_id>.json` itself; empty means LeRobot's place, where all its folder names are
    searched. Of several files of that id the one written last is taken, with a note. `port` only completes a command.
    Raises CalibrationError that names the ids that exist, and only then how to make a calibration.
    """
    try:
        return _find(robot_id, calibration_dir, port, environ, home)
    except OSError as error:  # a folder that this user may not look into
        raise CalibrationError(
            f"calibration of {robot_id[:100]!r}: {error.filename} cannot be read: {error.strerror}; run as the user "
            "that calibrated, or set calibration_dir to a copy of the folder"
        ) from error


def _find(
    robot_id: str, calibration_dir: str, port: str, environ: Mapping[str, str] | None, home: Path | None
) -> CalibrationFile:
    folders, root = _folders(calibration_dir, environ, home)
    known = sorted({path.stem for folder in folders for path in folder.glob("*.json") if path.is_file()})
    where = " and ".join(str(folder) for folder in folders if folder.is_dir()) or str(folders[0])
    if not robot_id:
        listed = f"; found there: {', '.join(known)}" if known else ""
        raise CalibrationError(
            f"robot_id is empty: set it to the id given to lerobot-calibrate --robot.id (looked in {where}{listed})"
        )
    found = [path for folder in folders if (path := folder / f"{robot_id}.json").is_file()]
    if not found:
        raise CalibrationError(_elsewhere(robot_id, folders, root) or _missing(robot_id, folders, known, port))
    newest = max(found, key=lambda path: path.stat().st_mtime_ns)  # the first of equals
    others = tuple(path for path in found if not _is_copy(newest, path))
    return CalibrationFile(newest, tuple(_note(newest, other) for other in others), others)


def known_files(calibration_dir: str = "", environ: Mapping[str, str] | None = None) -> list[Path]:
    """Calibration files of every arm of this computer, leaders included."""
    folders, root = _folders(calibration_dir, environ, None)
    every = [*folders, *sorted(root.glob("robots/*")), *sorted(root.glob("teleoperators/*"))]
    return list(dict.fromkeys(path for folder in every for path in sorted(folder.glob("*.json"))))


def only_id(calibration_dir: str = "") -> str:
    """The id where there is a calibration of one follower only; else empty."""
    folders, _ = _folders(calibration_dir, None, None)
    ids = {path.stem for folder in folders for path in folder.glob("*.json")}
    return ids.pop() if len(ids) == 1 else ""


def _folders(calibration_dir: str, environ: Mapping[str, str] | None, home: Path | None) -> tuple[list[Path], Path]:
    """Folders that may hold followers' files, the preferred ones first; and LeRobot's calibration folder."""
    root = calibration_root(os.environ if environ is None else environ, _home() if home is None else home)
    if not calibration_dir:
        return [root / "robots" / name for name in _FOLDERS], root
    try:
        given = Path(calibration_dir).expanduser()
    except RuntimeError as error:
        raise CalibrationError(f'calibration_dir = "{calibration_dir}": there is no such user') from error
    if given.is_file():
        raise CalibrationError(
            f'calibration_dir = "{calibration_dir}" is a file: set calibration_dir to its folder, {given.parent}, and '
            f"robot_id to {given.stem}"
        )
    below = [given / middle / name for middle in ("", "robots") for name in _FOLDERS]  # LeRobot's own folder was named
    return [given, *(folder for folder in below if folder.is_dir())], root


def _home() -> Path:
    """The user's; where there is none, as in a container with a user id alone, `~` as LeRobot leaves it."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("~")


def _expanded(value: str | None) -> Path | None:
    return Path(os.path.expandvars(value)).expanduser() if value else None


def _elsewhere(robot_id: str, folders: Sequence[Path], root: Path) -> str:
    """Where a file of that id is which is not taken, and what to do; empty where there is none."""
    name = f"{robot_id}.json"
    if robot_id in ("", ".", "..") or "/" in robot_id or "\0" in robot_id:
        return f"robot_id = {robot_id!r}: expected the id alone, as given to lerobot-calibrate --robot.id"
    for folder in folders:
        if (folder / name).is_symlink():
            return f"calibration {folder / name} is a link to a file that does not exist: link it again"
    if leaders := sorted(path for path in root.glob("teleoperators/*/*.json") if path.name == name):
        return (
            f'no calibration for robot_id "{robot_id}": it is the id of a leader arm ({leaders[0]}); set robot_id and '
            f"port to those of the follower (looked for {folders[0] / name})"
        )
    if foreign := sorted(path for path in root.glob("robots/*/*.json") if path.name == name):
        return (
            f'no calibration for robot_id "{robot_id}" where LeRobot keeps those of the SO-101, but there is '
            f"{foreign[0]}: if it is this arm's, set calibration_dir to {foreign[0].parent}; {_AGAIN}"
        )
    return ""


def _missing(robot_id: str, folders: Sequence[Path], known: Sequence[str], port: str) -> str:
    command = f"`lerobot-calibrate --robot.type=so101_follower --robot.port={port} --robot.id={robot_id}`"
    place = folders[0] / f"{robot_id}.json"
    if known:
        nearest = difflib.get_close_matches(robot_id, known, n=1, cutoff=0.0)[0]
        return (
            f'no calibration for robot_id "{robot_id}": the ids that exist are {", ".join(known)}; if this arm is one '
            f"of them, set robot_id to it (nearest: {nearest}); {_AGAIN}. Only an arm that was never calibrated needs "
            f"{command}, which makes {place}"
        )
    others = "" if len(folders) == 1 else f", nor is it in {', '.join(folder.name for folder in folders[1:])}"
    return (
        f'no calibration for robot_id "{robot_id}": {place} does not exist{others}. If the arm was calibrated on '
        f"another computer or by another user, copy its file there: {_AGAIN}. Else make it with {command}"
    )


def _is_copy(taken: Path, other: Path) -> bool:
    """Whether `other` says the same as the file that is taken, or is it."""
    try:
        first, second = taken.read_bytes(), other.read_bytes()
    except OSError:
        return False
    if first == second:
        return True
    try:
        return bool(json.loads(first) == json.loads(second))
    except (ValueError, RecursionError):
        return False


def _note(taken: Path, other: Path) -> str:
    later = taken.stat().st_mtime_ns > other.stat().st_mtime_ns
    why = "which was written last" if later else "the folder of the newer LeRobot, both are of the same age"
    return (
        f"two calibrations of {taken.stem} that differ: {taken} is used, {why}, and not {other}; remove the one that "
        "is out of date"
    )
