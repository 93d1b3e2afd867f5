# SPDX-License-Identifier: Apache-2.0
"""Episodes on disk before they become a dataset: one file each, so that an interrupted recording can go on."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from so101_training.policy.demonstration import Demonstration


def episode_path(folder: Path, seed: int) -> Path:
    """Where the episode of that scene lies, recorded or not."""
    return folder / f"{seed}.npz"


def failed_path(folder: Path, seed: int) -> Path:
    """A mark that the expert failed in that scene, so that it is not tried again."""
    return folder / f"{seed}.failed"


def write_episode(folder: Path, episode: Demonstration) -> None:
    """Write one episode whole or not at all; its JPEG files go to `<seed>/<camera>/` beside it."""
    for camera, jpegs in episode.jpegs.items():
        target = folder / str(episode.seed) / camera
        target.mkdir(parents=True, exist_ok=True)
        for index, jpeg in enumerate(jpegs):
            (target / f"{index:04d}.jpg").write_bytes(jpeg)
    temporary = folder / f"{episode.seed}.{os.getpid()}.tmp"
    with temporary.open("wb") as file:
        np.savez(
            file,
            positions=episode.positions,
            state=episode.state,
            action=episode.action,
            **{f"image_{camera}": pixels for camera, pixels in episode.images.items()},  # type: ignore[arg-type]
        )
    temporary.replace(episode_path(folder, episode.seed))


def read_episode(folder: Path, seed: int) -> Demonstration:
    """Read one episode back, with the JPEG files where they were kept."""
    with np.load(episode_path(folder, seed), allow_pickle=False) as stored:
        images = {key.removeprefix("image_"): stored[key] for key in stored.files if key.startswith("image_")}
        jpegs = {
            camera: [path.read_bytes() for path in sorted((folder / str(seed) / camera).glob("*.jpg"))]
            for camera in images
            if (folder / str(seed) / camera).is_dir()
        }
        return Demonstration(seed, stored["positions"], stored["state"], stored["action"], images, jpegs)
