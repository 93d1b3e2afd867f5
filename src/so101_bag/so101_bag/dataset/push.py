# SPDX-License-Identifier: Apache-2.0
"""A finished dataset to the Hugging Face hub, by LeRobot's own push_to_hub."""

from pathlib import Path
from typing import Any

from so101_bag.dataset.existing_dataset import undo_exchange
from so101_bag.errors import DatasetError


def check_push(repo_id: str) -> None:
    """Tell before a long conversion what would keep the dataset from being pushed after it.

    Raises:
        DatasetError: the id is none, or nobody is logged in.
    """
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise DatasetError(f"--push {repo_id}: not the id of a repository, expected owner/name") from error
    if repo_id.count("/") != 1:
        raise DatasetError(f"--push {repo_id}: expected owner/name")
    if constants.HF_HUB_OFFLINE:
        raise DatasetError("--push: HF_HUB_OFFLINE is set in the environment, so nothing can be pushed: unset it")
    if get_token() is None:
        raise DatasetError("--push: nobody is logged in to the hub: `hf auth login`, or set HF_TOKEN")


def push(folder: Path, repo_id: str, private: bool) -> str:
    """Push the dataset in a folder and return its address.

    Raises:
        DatasetError: the hub cannot be reached or refuses; the dataset in the folder is complete all the same.
    """
    import httpx
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    again = f"the dataset in {folder} is complete; again with: ./so101 dataset --out {folder} --push {repo_id}"
    undo_exchange(folder.resolve())
    if not (folder / "meta" / "info.json").is_file():
        raise DatasetError(f"--push: {folder} is not a LeRobotDataset (no meta/info.json)")
    try:
        dataset: Any = LeRobotDataset(repo_id, root=folder, video_backend="pyav")
        dataset.push_to_hub(private=private or None, tags=["LeRobot", "so101"])
    except HfHubHTTPError as error:
        first = str(error).strip().splitlines()[0]
        raise DatasetError(f"--push {repo_id}: the hub refuses it ({first}); {again}") from error
    except (OfflineModeIsEnabled, httpx.HTTPError, OSError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(f"--push {repo_id}: the hub cannot be reached ({said[:200]}); {again}") from error
    return f"https://huggingface.co/datasets/{repo_id}"
