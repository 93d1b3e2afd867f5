# SPDX-License-Identifier: Apache-2.0
"""Tests of the rendering thread against a state file, without ROS."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
import pytest
from so101_camera.core.frame import Frame
from so101_node.threads import FatalSlot, NodeError
from so101_sim.arm.shared_state import SharedState, StateSnapshot
from so101_sim.virtual_arm_client import STATE_NAME
from so101_sim.world import rendering, scene
from so101_sim.world.render_loop import RenderLoop
from so101_sim.world.world_view import WorldView


class Watched:
    """A loop with what it delivered; `wanted` may be changed while it runs."""

    def __init__(self, sim_dir: Path, fps: float = 20.0, wanted: tuple[str, ...] = scene.CAMERAS) -> None:
        self.model = scene.build_model()
        self.wanted = wanted
        self.frames: list[tuple[str, Frame]] = []
        self.niceness = -1
        world = WorldView(sim_dir, self.model)
        self.fatal = FatalSlot()
        self.loop = RenderLoop(
            self.model,
            world,
            scene.CAMERAS,
            fps=fps,
            niceness=7,
            library="",
            wanted=lambda: self.wanted,
            on_frame=self._on_frame,
            fatal=self.fatal,
        )

    def _on_frame(self, camera: str, frame: Frame) -> None:
        self.niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        self.frames.append((camera, frame))

    def of(self, camera: str) -> list[Frame]:
        return [frame for name, frame in list(self.frames) if name == camera]


def wait_for(condition: Callable[[], bool], limit_s: float = 20.0) -> bool:
    deadline = time.monotonic() + limit_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def write(sim_dir: Path, model: mujoco.MjModel) -> None:
    data = scene.new_data(model)
    with SharedState.create(sim_dir / STATE_NAME) as file:
        file.write(StateSnapshot(0.0, time.monotonic_ns(), 0, 1, data.qpos, data.qvel))


def test_each_camera_delivers_numbered_pictures_with_rising_capture_times(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    write(tmp_path, watched.model)
    watched.loop.start()
    assert wait_for(lambda: all(len(watched.of(camera)) >= 4 for camera in scene.CAMERAS))
    watched.loop.stop()
    for camera in scene.CAMERAS:
        frames = watched.of(camera)
        assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))
        times = np.array([frame.capture_ns for frame in frames])
        assert (np.diff(times) > 0).all()
        assert frames[0].bgr is not None
        assert frames[0].bgr.shape == (480, 640, 3)
        assert watched.loop.counts(camera).frames == len(frames)
    assert watched.niceness == 7
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) != 7


def test_the_pictures_are_those_of_the_renderer_in_opencvs_order(tmp_path: Path) -> None:
    watched = Watched(tmp_path, wanted=("top",))
    write(tmp_path, watched.model)
    watched.loop.start()
    assert wait_for(lambda: bool(watched.of("top")))
    watched.loop.stop()
    with rendering.CameraRenderer(watched.model) as renderer:
        renderer.show(scene.new_data(watched.model).qpos)
        np.testing.assert_array_equal(watched.of("top")[0].bgr, renderer.render("top")[..., ::-1])


def test_only_wanted_cameras_are_rendered_and_a_camera_starts_when_it_is_wanted(tmp_path: Path) -> None:
    watched = Watched(tmp_path, wanted=("top",))
    write(tmp_path, watched.model)
    watched.loop.start()
    assert wait_for(lambda: len(watched.of("top")) >= 3)
    assert not watched.of("wrist")
    watched.wanted = ("top", "wrist")
    assert wait_for(lambda: bool(watched.of("wrist")))
    watched.loop.stop()
    assert not watched.of("front")


def test_the_loop_waits_for_a_virtual_arm_that_starts_later(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.loop.start()
    assert wait_for(lambda: "start virtual_arm" in watched.loop.problem)
    assert not watched.frames
    write(tmp_path, watched.model)
    assert wait_for(lambda: bool(watched.frames))
    assert watched.loop.problem == ""
    watched.loop.stop()


def test_without_a_gl_library_the_thread_ends_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(rendering, "_loads", lambda name: None)
    watched = Watched(tmp_path)
    watched.loop.start()
    assert wait_for(lambda: watched.fatal.is_set)
    with pytest.raises(NodeError, match="apt-get install"):
        watched.fatal.check()
    watched.loop.stop()


def test_a_defect_in_the_thread_does_not_go_unnoticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(tmp_path)
    write(tmp_path, watched.model)
    monkeypatch.setattr(rendering.CameraRenderer, "show", lambda *_: [][1])
    watched.loop.start()
    assert wait_for(lambda: watched.fatal.is_set)
    with pytest.raises(NodeError, match=r"^internal error in thread render: IndexError: "):
        watched.fatal.check()


def test_stopping_a_loop_that_never_ran_does_nothing(tmp_path: Path) -> None:
    Watched(tmp_path).loop.stop()
