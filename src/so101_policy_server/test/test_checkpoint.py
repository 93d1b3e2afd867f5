# SPDX-License-Identifier: Apache-2.0
"""Finding a checkpoint, and naming what is wrong with a folder before torch is imported."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from so101_policy_server.lerobot.checkpoint import find_checkpoint
from so101_policy_server.policy import PolicyLoadError

NO_WEIGHTS = b"\2\0\0\0\0\0\0\0{}"
FILES = ("model.safetensors", "policy_preprocessor.json", "policy_postprocessor.json")


def make(folder: Path, config: object = None, files: tuple[str, ...] = FILES) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"type": "act"} if config is None else config))
    for name in files:
        (folder / name).write_bytes(NO_WEIGHTS)
    return folder


def test_a_checkpoint_folder_is_found(tmp_path: Path) -> None:
    found = find_checkpoint(str(make(tmp_path / "pick")))
    assert (found.path, found.is_local, found.policy_type) == (str(tmp_path / "pick"), True, "act")


@pytest.mark.parametrize("inside", ["checkpoints/last/pretrained_model", "last/pretrained_model", "pretrained_model"])
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
    with pytest.raises(PolicyLoadError, match=f"no folder {path}: name a checkpoint"):
        find_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("https://huggingface.co/lerobot/act_aloha/tree/main", "is a page of the hub: name its id, lerobot/act_aloha"),
        ("hf://lerobot/act_aloha", "is a page of the hub: name its id, lerobot/act_aloha"),
        ("~nobody_of_that_name/pick", "no folder ~nobody_of_that_name/pick: "),
        ("x" * 300, "cannot be read: File name too long"),  # as what this user may not read
    ],
)
def test_what_is_neither_folder_nor_hub_id_is_one_line(name: str, said: str) -> None:
    with pytest.raises(PolicyLoadError) as error:
        find_checkpoint(name)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("config", "files", "reason"),
    [
        ({}, FILES, "has no policy type"),
        ([], FILES, "is not a JSON object"),
        (None, FILES[1:], "has no model.safetensors: only safetensors weights are loaded, never pickle"),
        (
            None,
            FILES[:1],
            "has no policy_preprocessor.json and no policy_postprocessor.json: .*policy migrate .*pick_migrated",
        ),
        (None, FILES[:2], "has no policy_postprocessor.json"),
        ({"type": "act", "use_peft": True}, FILES[1:], "says use_peft, and beside it is neither adapter_config"),
    ],
)
def test_a_folder_that_cannot_be_loaded_says_why(tmp_path: Path, config, files, reason: str) -> None:
    with pytest.raises(PolicyLoadError, match=reason) as error:
        find_checkpoint(str(make(tmp_path / "pick", config, files)))
    assert "\n" not in str(error.value)


def make_adapter(folder: Path, base: object, config: object = None) -> Path:
    make(folder, config or {"type": "act", "use_peft": True}, FILES[1:])
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": base}))
    (folder / "adapter_model.safetensors").write_bytes(NO_WEIGHTS)
    return folder


def test_an_adapter_is_found_with_its_base(tmp_path: Path) -> None:
    run = make(tmp_path / "base" / "checkpoints" / "last" / "pretrained_model")
    found = find_checkpoint(str(make_adapter(tmp_path / "lora", str(tmp_path / "base"))))
    assert (found.path, found.policy_type) == (str(tmp_path / "lora"), "act")
    assert found.base is not None
    assert found.base.path == str(run)
    assert (found.config_path, found.processors_path, found.notes) == (found.path, found.path, ())
    of_the_hub = find_checkpoint(str(make_adapter(tmp_path / "other", "lerobot/smolvla_base"))).base
    assert of_the_hub is not None
    assert (of_the_hub.path, of_the_hub.is_local) == ("lerobot/smolvla_base", False)


def test_a_bare_adapter_has_its_bases_configuration_and_processors_and_says_so(tmp_path: Path) -> None:
    base, adapter = make(tmp_path / "base"), make_adapter(tmp_path / "lora", str(tmp_path / "base"))
    for name in ("config.json", *FILES[1:]):
        (adapter / name).unlink()
    found = find_checkpoint(str(adapter))
    assert (found.policy_type, found.config_path, found.processors_path) == ("act", str(base), str(base))
    assert found.notes == (
        f"the adapter has no processors: its base {base} normalises, with statistics of its own data",
    )


def test_a_base_needs_no_processors_where_the_adapter_has_them(tmp_path: Path) -> None:
    make(tmp_path / "base", files=FILES[:1])
    assert find_checkpoint(str(make_adapter(tmp_path / "lora", str(tmp_path / "base")))).base


def test_a_base_of_the_machine_that_trained_it_is_named_with_what_to_set_and_can_be_set(tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "lora", "/srv/alice/outputs/base")
    with pytest.raises(PolicyLoadError, match=r"of /srv/alice/outputs/base, which is not on .*base_model_name_or_path"):
        find_checkpoint(str(adapter))
    found = find_checkpoint(str(adapter), base=str(make(tmp_path / "base")))
    assert found.base is not None
    assert found.base.path == str(tmp_path / "base")
    assert found.notes == (
        f"base_model_name_or_path is {tmp_path / 'base'}: the adapter was trained on /srv/alice/outputs/base, which "
        "must be the same",
    )


@pytest.mark.parametrize(
    ("base", "reason"),
    [(None, "names no base policy: set base_model_name_or_path"), ("lora", "which is an adapter itself")],
)
def test_a_base_that_is_none_is_named(tmp_path: Path, base: object, reason: str) -> None:
    adapter = make_adapter(tmp_path / "lora", base and str(make_adapter(tmp_path / "deeper", "lerobot/x")))
    with pytest.raises(PolicyLoadError, match=reason):
        find_checkpoint(str(adapter))


def test_an_adapter_in_pickle_is_refused(tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "lora", "lerobot/smolvla_base")
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(PolicyLoadError, match=r"without adapter_model\.safetensors.*never pickle"):
        find_checkpoint(str(adapter))


def test_merged_weights_are_a_whole_policy_though_the_configuration_still_says_use_peft(tmp_path: Path) -> None:
    assert find_checkpoint(str(make(tmp_path / "merged", {"type": "act", "use_peft": True}))).base is None


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


def test_a_run_whose_last_was_not_copied_names_a_step_that_was(tmp_path: Path) -> None:
    run = tmp_path / "outputs" / "train"
    for step in ("005000", "010000"):
        make(run / "checkpoints" / step / "pretrained_model")
    newest = f"name one of its 2 checkpoints, such as {run}/checkpoints/010000/pretrained_model"
    for named in (run, run / "checkpoints", run.parent):
        with pytest.raises(PolicyLoadError, match=newest):
            find_checkpoint(str(named))


HEADER = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
LFS_STUB = b"version https://git-lfs.github.com/spec/v1\noid sha256:4665a5\nsize 206701072\n"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (LFS_STUB, "is a stub of Git LFS, not the file itself: run `git lfs pull`"),
        (b"", "is empty: copy the checkpoint again"),
        (b"\n<!DOCTYPE html>", "is a page of HTML, not the file itself: download it again"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_named(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (make(tmp_path / "pick") / name).write_bytes(content)
    with pytest.raises(PolicyLoadError, match=f"pick/{name} {reason}"):
        find_checkpoint(str(tmp_path / "pick"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (NO_WEIGHTS[:5], "was only copied in part"),
        (NO_WEIGHTS[:9], "was only copied in part"),
        (b"\2\0\0\0\0\0\0\0[]", "is no safetensors file"),
        (struct.pack("<Q", len(HEADER)) + HEADER + b"12", r"was only copied in part \("),
        (
            struct.pack("<Q", len(HEADER)) + HEADER + b"1" * 400,
            r"has \d+ bytes, \d+ by its own header: something changed",
        ),
        (b"PK\x03\x04 as torch.save writes it", "is a pickle under another name, which is never loaded"),
        (b"anything else that is longer", "is no safetensors file"),
    ],
)
def test_weights_that_are_none_are_named_before_torch_is_imported(tmp_path: Path, content: bytes, reason: str) -> None:
    (make(tmp_path / "pick") / "model.safetensors").write_bytes(content)
    with pytest.raises(PolicyLoadError, match=f"pick/model.safetensors {reason}"):
        find_checkpoint(str(tmp_path / "pick"))


def test_a_link_that_leads_nowhere_is_named_with_where_it_leads(tmp_path: Path) -> None:
    weights = make(tmp_path / "pick") / "model.safetensors"
    weights.unlink()
    weights.symlink_to("../../blobs/4665a5")
    with pytest.raises(PolicyLoadError, match=r"is a link to \.\./\.\./blobs/4665a5, which is not there: .*cp -rL"):
        find_checkpoint(str(tmp_path / "pick"))
