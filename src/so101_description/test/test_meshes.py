# SPDX-License-Identifier: Apache-2.0
"""Tests of thinning the arm's meshes, and of the cache."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from so101_description.errors import AssetError
from so101_description.meshes import read_stl, thin, thinned_meshes, write_stl

from so101_description import meshes


def grid_of_triangles(cells: int) -> np.ndarray:
    """A flat square of 1 x 1, two triangles per cell, (2 cells^2, 3, 3)."""
    corners = np.arange(cells) / cells
    x, y = np.meshgrid(corners, corners)
    low = np.stack([x.ravel(), y.ravel(), np.zeros(cells * cells)], axis=1)
    right, up = np.array([1 / cells, 0, 0]), np.array([0, 1 / cells, 0])
    first = np.stack([low, low + right, low + right + up], axis=1)
    second = np.stack([low, low + right + up, low + up], axis=1)
    return np.concatenate([first, second]).astype(np.float32)


def test_a_fine_square_becomes_a_coarse_one_of_the_same_extent() -> None:
    thinned = thin(grid_of_triangles(40), 0.1)
    assert len(thinned) == 200  # 10 x 10 cells
    np.testing.assert_allclose(thinned.reshape(-1, 3).min(axis=0), [0, 0, 0], atol=0.05)
    np.testing.assert_allclose(thinned.reshape(-1, 3).max(axis=0), [1, 1, 0], atol=0.05)


def test_no_triangle_of_a_thinned_mesh_is_degenerate_or_doubled() -> None:
    source = np.random.default_rng(0).uniform(0, 1, (500, 3, 3)).astype(np.float32)
    thinned = thin(source, 0.3)
    assert 0 < len(thinned) < len(source)
    keys = [tuple(sorted(map(tuple, triangle.tolist()))) for triangle in thinned]
    assert len(set(keys)) == len(keys)
    assert all(len(set(key)) == 3 for key in keys)


def test_triangles_keep_their_winding_so_that_normals_still_point_outwards() -> None:
    thinned = thin(grid_of_triangles(40), 0.1)
    normals = np.cross(thinned[:, 1] - thinned[:, 0], thinned[:, 2] - thinned[:, 0])
    assert (normals[:, 2] > 0).all()


def test_stl_files_are_read_as_they_were_written(tmp_path: Path) -> None:
    triangles = grid_of_triangles(3)
    write_stl(tmp_path / "a.stl", triangles)
    np.testing.assert_array_equal(read_stl(tmp_path / "a.stl"), triangles)


@pytest.mark.parametrize("content", [b"", b"solid text\nfacet", bytes(80) + b"\xff\xff\xff\x00" + bytes(100)])
def test_a_broken_stl_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.stl").write_bytes(content)
    with pytest.raises(AssetError, match=r"broken\.stl: not a complete binary STL file"):
        read_stl(tmp_path / "broken.stl")


def test_the_arms_meshes_shrink_to_what_a_cpu_can_render(tmp_path: Path) -> None:
    folder = thinned_meshes(tmp_path)
    sources = {path.name: path for path in (meshes.arm_model_dir() / "assets").glob("*.stl")}
    assert {path.name for path in folder.iterdir()} == set(sources)
    visual = [name for name in sources if "gripper_part" not in name]
    before = sum(len(read_stl(sources[name])) for name in visual)
    after = sum(len(read_stl(folder / name)) for name in visual)
    assert before > 300_000
    assert after < 20_000
    convex = next(name for name in sources if "gripper_part" in name)
    assert (folder / convex).read_bytes() == sources[convex].read_bytes()


def test_the_second_call_thins_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = thinned_meshes(tmp_path)
    monkeypatch.setattr(meshes, "thin", lambda *_: pytest.fail("thinned again"))
    assert thinned_meshes(tmp_path) == first


def test_an_interrupted_first_use_leaves_nothing_that_is_mistaken_for_a_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(meshes, "write_stl", interrupted)
        with pytest.raises(KeyboardInterrupt):
            thinned_meshes(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["meshes.lock"]
    assert len(list(thinned_meshes(tmp_path).glob("*.stl"))) > 10


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    name = thinned_meshes(tmp_path / "elsewhere").name
    cache = tmp_path / "cache"
    leftover = cache / f".{name}-killed"
    leftover.mkdir(parents=True)
    (leftover / "half.stl").write_bytes(b"half")
    thinned_meshes(cache)
    assert sorted(path.name for path in cache.iterdir()) == sorted(["meshes.lock", name])


def _thin_into(cache: Path, results: "multiprocessing.Queue[int]") -> None:
    results.put(sum(len(read_stl(path)) for path in thinned_meshes(cache).glob("*.stl")))


def test_several_processes_may_start_for_the_first_time_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results: multiprocessing.Queue[int] = context.Queue()
    workers = [context.Process(target=_thin_into, args=(tmp_path, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    faces = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert len(set(faces)) == 1
    assert [worker.exitcode for worker in workers] == [0, 0, 0]


def test_a_cache_that_cannot_be_written_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(AssetError, match=r"file/so101: cannot store the arm's meshes .*XDG_CACHE_HOME") as error:
        thinned_meshes(tmp_path / "file" / "so101")
    assert "\n" not in str(error.value)


def test_the_cache_follows_the_xdg_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/where")
    assert meshes.default_cache_dir() == Path("/some/where/so101")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert meshes.default_cache_dir() == Path.home() / ".cache" / "so101"
