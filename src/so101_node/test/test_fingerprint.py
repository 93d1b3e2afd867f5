# SPDX-License-Identifier: Apache-2.0
"""The fingerprint of a checkpoint: of its configuration, weights and statistics, not of its place or other files."""

import hashlib
import shutil
from pathlib import Path

import pytest
from so101_node.fingerprint import FingerprintError, of_checkpoint

FILES = {"config.json": b"{}", "model.safetensors": b"weights", "policy_preprocessor_step_3.safetensors": b"mean"}


def checkpoint(folder: Path) -> Path:
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def test_it_is_the_sha_256_of_name_size_and_bytes_of_each_file(tmp_path: Path) -> None:
    expected = hashlib.sha256(
        b"config.json\x002\x00{}model.safetensors\x007\x00weightspolicy_preprocessor_step_3.safetensors\x004\x00mean"
    ).hexdigest()
    assert of_checkpoint(checkpoint(tmp_path / "run")) == expected


def test_neither_place_nor_other_files_change_it(tmp_path: Path) -> None:
    first = checkpoint(tmp_path / "a")
    second = shutil.copytree(first, tmp_path / "b")
    (second / "README.md").write_text("a model card")
    (second / "train_config.json").write_text("{}")
    assert of_checkpoint(first) == of_checkpoint(second)


@pytest.mark.parametrize("name", FILES)
def test_another_byte_or_another_name_changes_it(tmp_path: Path, name: str) -> None:
    folder = checkpoint(tmp_path / "run")
    before = of_checkpoint(folder)
    (folder / name).write_bytes(FILES[name][:-1] + b"X")
    assert of_checkpoint(folder) != before
    (folder / name).write_bytes(FILES[name])
    assert of_checkpoint(folder) == before
    if name.endswith(".safetensors"):
        (folder / name).rename(folder / f"another_{name}")
        assert of_checkpoint(folder) != before


def test_other_statistics_change_it_by_their_bytes_and_not_by_their_place(tmp_path: Path) -> None:
    folder, stats = checkpoint(tmp_path / "run"), tmp_path / "stats.json"
    stats.write_text("{}")
    moved = tmp_path / "moved.json"
    moved.write_text("{}")
    own, keyed = of_checkpoint(folder), of_checkpoint(folder, statistics_from=["so100.buffer.*"])
    before = of_checkpoint(folder, statistics_from=[str(stats)])
    assert len({own, keyed, before, of_checkpoint(folder, statistics_from=["so100.buffer.*", str(stats)])}) == 4
    assert of_checkpoint(folder, statistics_from=[str(moved)]) == before
    stats.write_text("[]")
    assert of_checkpoint(folder, statistics_from=[str(stats)]) != before
    with pytest.raises(FingerprintError, match=r"gone\.json cannot be read"):
        of_checkpoint(folder, statistics_from=[str(tmp_path / "gone.json")])


def test_an_adapter_has_that_of_itself_and_its_base(tmp_path: Path) -> None:
    base, adapter = checkpoint(tmp_path / "base"), tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.safetensors").write_bytes(b"low rank")
    before = of_checkpoint(adapter, base)
    assert len({of_checkpoint(base), of_checkpoint(adapter), before}) == 3
    (base / "model.safetensors").write_bytes(b"WEIGHTS")
    assert of_checkpoint(adapter, base) != before


@pytest.mark.parametrize(
    ("missing", "told"), [("config.json", "config.json"), ("model.safetensors", r"\*.safetensors")]
)
def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path, missing: str, told: str) -> None:
    folder = checkpoint(tmp_path / "run")
    (folder / "policy_preprocessor_step_3.safetensors").unlink()
    (folder / missing).unlink()
    with pytest.raises(FingerprintError, match=f"has no {told}: expected the folder of a LeRobot checkpoint"):
        of_checkpoint(folder)
