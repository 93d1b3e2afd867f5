"""Finding a checkpoint, and naming what is wrong with a folder before torch is imported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from so101_policy_server.checkpoint import find_checkpoint
from so101_policy_server.policy import PolicyLoadError

FILES = ("model.safetensors", "policy_preprocessor.json", "policy_postprocessor.json")


def make(folder: Path, config: object = None, files: tuple[str, ...] = FILES) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"type": "act"} if config is None else config))
    for name in files:
        (folder / name).touch()
    return folder


def test_a_checkpoint_folder_is_found(tmp_path: Path) -> None:
    found = find_checkpoint(str(make(tmp_path / "pick")))
    assert (found.path, found.is_local, found.policy_type) == (str(tmp_path / "pick"), True, "act")


@pytest.mark.parametrize("inside", ["checkpoints/last/pretrained_model", "pretrained_model"])
def test_a_run_folder_and_a_step_folder_resolve_to_the_checkpoint_inside(tmp_path: Path, inside: str) -> None:
    make(tmp_path / inside)
    assert find_checkpoint(str(tmp_path)).path == str(tmp_path / inside)


def test_the_home_folder_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    make(tmp_path / "pick")
    assert find_checkpoint("~/pick").path == str(tmp_path / "pick")


def test_a_hub_id_is_left_to_the_hub() -> None:
    assert find_checkpoint("lerobot/smolvla_base").is_local is False


@pytest.mark.parametrize("path", ["/no/such/folder", "outputs/train/none", "./pick", "pick", "~/none/here"])
def test_a_missing_folder_is_named(path: str) -> None:
    with pytest.raises(PolicyLoadError, match=f"no folder {path}: set pretrained_name_or_path to"):
        find_checkpoint(path)


@pytest.mark.parametrize(
    ("config", "files", "reason"),
    [
        ({}, FILES, "has no policy type"),
        ([], FILES, "is not a JSON object"),
        (None, FILES[1:], "has no model.safetensors: only safetensors weights are loaded, never pickle"),
        (None, FILES[:1], "has no policy_preprocessor.json and no policy_postprocessor.json: .*migrate_policy_normal"),
        (None, FILES[:2], "has no policy_postprocessor.json"),
        ({"type": "act", "use_peft": True}, FILES, "is a PEFT adapter"),
    ],
)
def test_a_folder_that_cannot_be_loaded_says_why(tmp_path: Path, config, files, reason: str) -> None:
    with pytest.raises(PolicyLoadError, match=reason) as error:
        find_checkpoint(str(make(tmp_path / "pick", config, files)))
    assert "\n" not in str(error.value)


def test_a_damaged_configuration_is_named(tmp_path: Path) -> None:
    (make(tmp_path / "pick") / "config.json").write_text("{\n,")
    with pytest.raises(PolicyLoadError, match=r"config\.json cannot be read"):
        find_checkpoint(str(tmp_path / "pick"))


def test_an_empty_folder_and_a_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyLoadError, match=r"has no config\.json, and no checkpoints/last"):
        find_checkpoint(str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(PolicyLoadError, match="is a file"):
        find_checkpoint(str(tmp_path / "file"))
