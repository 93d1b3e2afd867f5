# SPDX-License-Identifier: Apache-2.0
"""A dataset that is there and to be appended to: whether it fits, a copy to write on, and the exchange of the two.

The copy links the files that LeRobot's `resume` never writes to (videos and tables of the episodes that are there), so
it takes no room; what it writes again (meta/) is copied. Until the exchange the dataset itself is not touched.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from so101_bag.errors import DatasetError

SAME_ARM = frozenset({"so_follower", "so101_follower"})  # LeRobot 0.5 renamed it
UNITS_FILE = "so101.json"


def read_info(folder: Path) -> dict[str, Any]:
    """Return meta/info.json of a dataset.

    Raises:
        DatasetError: there is none, or it is of another format.
    """
    path = folder / "meta" / "info.json"
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        version, features = str(info["codebase_version"]), info["features"]
    except FileNotFoundError as error:
        raise DatasetError(
            f"--append: {folder} is not a LeRobotDataset (no meta/info.json): without --append a new one is made"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"--append: {path} cannot be read ({error})") from error
    if not version.startswith("v3.") or not isinstance(features, dict):
        raise DatasetError(
            f"--append: {folder} has format {version}, expected v3.x: convert it with `python -m "
            "lerobot.scripts.convert_dataset_v21_to_v30 --repo-id=...`"
        )
    return dict(info)


def check_fit(folder: Path, info: Mapping[str, Any], fps: int, robot_type: str, units: str) -> None:
    """Compare a dataset with what is to be appended, as far as it is known before the first frame.

    Raises:
        DatasetError: they do not go together; the line says what to type.
    """
    if info.get("fps") != fps:
        raise DatasetError(f"--append: {folder} has {info.get('fps')} frames a second, --fps is {fps}: use --fps "
                           f"{info.get('fps')}")  # fmt: skip
    there = info.get("robot_type")
    if there != robot_type and not {there, robot_type} <= SAME_ARM:
        raise DatasetError(
            f"--append: {folder} is of robot_type {there}, the bags are of {robot_type}: if it is the same kind of "
            f"arm, say --robot-type {there}"
        )
    known = _known_units(folder)
    if known is not None and known != units:
        raise DatasetError(f"--append: {folder} is in {known}, --units is {units}: use --units {known}")


def check_features(folder: Path, info: Mapping[str, Any], features: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare features: names, shapes, kinds and the joints' order.

    Raises:
        DatasetError: they differ; each difference is named.
    """
    own = ("timestamp", "frame_index", "episode_index", "index", "task_index")
    there = {key: value for key, value in info["features"].items() if key not in own}
    wrong = [f"it lacks {key}" for key in features if key not in there]
    wrong += [f"the bags lack {key}" for key in there if key not in features]
    for key in features.keys() & there.keys():
        for part in ("dtype", "shape", "names"):
            had, has = there[key].get(part), features[key][part]
            if _plain(had) != _plain(has):
                wrong.append(f"{key} has {part} {_text(had)} there, {_text(has)} here")
    if wrong:
        raise DatasetError(f"--append: the bags do not go into {folder}: {'; '.join(sorted(wrong))}")


def linked_copy(folder: Path, target: Path) -> None:
    """Make the copy that is written to.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target, copy_function=_link, ignore=shutil.ignore_patterns("meta"))
    shutil.copytree(folder / "meta", target / "meta")


def exchange(work: Path, folder: Path) -> None:
    """Put the finished copy in the dataset's place.

    Raises:
        OSError: a folder cannot be renamed; the dataset that was there is in its place.
    """
    before = _before(folder)
    shutil.rmtree(before, ignore_errors=True)  # of an exchange that was cut off behind its second step
    folder.rename(before)
    try:
        work.rename(folder)
    except OSError:
        before.rename(folder)
        raise
    shutil.rmtree(before, ignore_errors=True)


def write_units(folder: Path, units: str) -> None:
    """Note the units, which LeRobot's own files do not tell; it reads over this file."""
    (folder / "meta" / UNITS_FILE).write_text(json.dumps({"units": units}) + "\n", encoding="utf-8")


def _known_units(folder: Path) -> str | None:
    """Return the units of a dataset by our note, else as far as its statistics tell."""
    try:
        return str(json.loads((folder / "meta" / UNITS_FILE).read_text(encoding="utf-8"))["units"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        stats = json.loads((folder / "meta" / "stats.json").read_text(encoding="utf-8"))
        ends = [abs(float(value)) for key in ("min", "max") for value in stats["action"][key]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return "degrees" if max(ends, default=0.0) > 100.5 else None  # normalized ones end at 100


def undo_exchange(folder: Path) -> None:
    """Put a dataset back that lies beside its place, since an exchange was cut off between its two steps."""
    if not folder.exists() and _before(folder).is_dir():
        _before(folder).rename(folder)


def _before(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.before")


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _text(value: Any) -> str:
    if not isinstance(value, list | tuple):
        return str(value)
    return ("x" if all(isinstance(item, int) for item in value) else ", ").join(map(str, value))
