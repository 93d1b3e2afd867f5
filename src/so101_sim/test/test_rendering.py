# SPDX-License-Identifier: Apache-2.0
"""Tests of the pictures: what is in them, and what happens where none can be made."""

import os
import subprocess
import sys
from collections.abc import Iterator

import mujoco
import numpy as np
import pytest
from so101_sim.core.joints import HOME
from so101_sim.core.tasks import STATIC
from so101_sim.errors import GraphicsError
from so101_sim.expert.expert import Expert
from so101_sim.world import rendering, scene
from so101_sim.world.rendering import CameraRenderer, graphics_library


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return scene.build_model()


@pytest.fixture(scope="module")
def renderer(model: mujoco.MjModel) -> Iterator[CameraRenderer]:
    with CameraRenderer(model) as result:
        yield result


def red(picture: np.ndarray) -> np.ndarray:
    """Where the cube is seen, (height, width) bool."""
    channels = picture.astype(int)
    return (
        (channels[..., 0] > 90) & (channels[..., 0] > 3 * channels[..., 1]) & (channels[..., 0] > 3 * channels[..., 2])
    )


def blue(picture: np.ndarray) -> np.ndarray:
    channels = picture.astype(int)
    return (channels[..., 2] > 90) & (channels[..., 2] > 2 * channels[..., 0])


def yellow(picture: np.ndarray) -> np.ndarray:
    channels = picture.astype(int)
    return (channels[..., 0] > 120) & (channels[..., 1] > 90) & (channels[..., 2] < 60)


def placed(model: mujoco.MjModel, seed: int) -> np.ndarray:
    data = scene.new_data(model)
    scene.place_objects(model, data, "static", seed)
    return data.qpos.copy()


@pytest.mark.parametrize("camera", ["front", "top"])
def test_the_outer_cameras_see_arm_and_bin_and_nearly_always_the_cube(
    model: mujoco.MjModel, renderer: CameraRenderer, camera: str
) -> None:
    seen = 0
    for seed in range(20):
        renderer.show(placed(model, seed))
        picture = renderer.render(camera)
        assert picture.shape == (480, 640, 3)
        assert picture.dtype == np.uint8
        assert blue(picture).sum() > 5000
        assert yellow(picture).sum() > 5000
        seen += red(picture).sum() > 200
    assert seen >= 18


def test_the_pictures_are_upright(model: mujoco.MjModel, renderer: CameraRenderer) -> None:
    qpos = placed(model, 0)
    heights = []
    for z in (0.0125, 0.1):
        qpos[6:9] = [0.25, 0.1, z]
        renderer.show(qpos)
        rows, _ = np.nonzero(red(renderer.render("front")))
        heights.append(rows.mean())
    assert heights[1] < heights[0] - 50  # a higher cube is nearer to row 0


def test_the_wrist_camera_sees_the_cube_between_the_jaws_at_the_grasp(
    model: mujoco.MjModel, renderer: CameraRenderer
) -> None:
    for seed in range(5):
        cube = STATIC.cube_start(seed)
        plan = Expert(model).plan(cube, np.array(HOME))
        closing = np.flatnonzero((plan[:, 5] < 0.5) & (np.arange(len(plan)) > 50))[0]
        qpos = placed(model, seed)
        qpos[:6] = plan[closing]
        renderer.show(qpos)
        picture = renderer.render("wrist")
        cube_columns = np.nonzero(red(picture))[1]
        assert len(cube_columns) > 10_000
        assert 200 < cube_columns.mean() < 500
        assert yellow(picture)[:, : int(cube_columns.min())].any()


def test_the_same_state_gives_the_same_picture_and_the_array_is_ones_own(
    model: mujoco.MjModel, renderer: CameraRenderer
) -> None:
    qpos = placed(model, 2)
    renderer.show(qpos)
    first = renderer.render("top")
    kept = first.copy()
    renderer.render("front")
    np.testing.assert_array_equal(first, kept)
    renderer.show(qpos)
    np.testing.assert_array_equal(renderer.render("top"), kept)


def test_an_unknown_camera_is_a_key_error(renderer: CameraRenderer) -> None:
    with pytest.raises(KeyError, match="ceiling"):
        renderer.render("ceiling")


def test_smaller_pictures_can_be_had_and_larger_ones_not(model: mujoco.MjModel) -> None:
    with CameraRenderer(model, width=160, height=120) as small:
        small.show(placed(model, 0))
        assert small.render("top").shape == (120, 160, 3)
    small.close()  # a second time
    with pytest.raises(ValueError, match="at most 640x480 pixels, got 800x600"):
        CameraRenderer(model, width=800, height=600)


def test_without_any_gl_library_one_line_names_the_packages(
    model: mujoco.MjModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(rendering, "_loads", lambda name: None)
    with pytest.raises(GraphicsError, match=r"apt-get install libegl1 .*libosmesa6") as error:
        CameraRenderer(model)
    assert "\n" not in str(error.value)


def test_without_egl_osmesa_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(rendering, "_loads", lambda name: object() if "OSMesa" in name else None)
    assert graphics_library() == "osmesa"


@pytest.mark.parametrize("library", ["egl", "osmesa"])
def test_mujoco_gl_decides_if_it_is_set(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setenv("MUJOCO_GL", library)
    assert graphics_library() == library


def test_a_library_that_does_not_work_is_one_line_too() -> None:
    # PyOpenGL settles for one platform per process: that is what makes this one fail.
    program = """
from so101_sim.world import rendering, scene
from so101_sim.errors import GraphicsError
try:
    rendering.CameraRenderer(scene.build_model(), library="egl")
except GraphicsError as error:
    print(error)
"""
    environment = {**os.environ, "MUJOCO_GL": "disable", "PYOPENGL_PLATFORM": "nonsense"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("GL library 'egl' does not work here (")
    assert done.stdout.count("\n") == 1


def test_physics_needs_no_gl_library() -> None:
    program = """
import sys
from so101_sim.world import scene
scene.new_data(scene.build_model())
assert not any(name.startswith("OpenGL") or name == "glfw" for name in sys.modules), "GL was imported"
"""
    environment = {**os.environ, "MUJOCO_GL": "disable"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
