# SPDX-License-Identifier: Apache-2.0
"""The thread that takes a frame of the running simulation with each camera, at a fixed rate.

It gives its own thread a low priority: rendering on a CPU takes half a core, and whoever answers requests on another
thread of this process, or drives the arm in another process, must not wait for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray
from so101_camera.core.frame import Frame
from so101_node.threads import FatalSlot, WatchedThread
from so101_node.threads.priority import use_thread_niceness

from so101_sim.arm.shared_state import StateSnapshot
from so101_sim.errors import SimulationError
from so101_sim.world.rendering import CameraRenderer
from so101_sim.world.world_view import WorldView


@dataclass(frozen=True, slots=True)
class RenderCounts:
    """What the loop has done since its start: frames taken, and deadlines given up because it was too slow."""

    frames: int
    skipped: int


class RenderLoop:
    """Calls `on_frame(camera, frame)` on its own thread for each frame of a wanted camera."""

    def __init__(
        self,
        model: mujoco.MjModel,
        world: WorldView,
        cameras: Sequence[str],
        *,
        fps: float,
        niceness: int,
        library: str,
        wanted: Callable[[], Collection[str]],
        on_frame: Callable[[str, Frame], None],
        fatal: FatalSlot,
    ) -> None:
        """Nothing is opened yet.

        Args:
            model: the scene; used by the loop's thread alone from now on.
            world: gives the states; likewise.
            cameras: names of the model's cameras, in the order of rendering.
            fps: frames a second of each camera.
            niceness: of the rendering thread, 0 to 19.
            library: GL library, "egl" or "osmesa"; "" = whichever works.
            wanted: asked before each frame: the cameras that somebody looks through now.
            on_frame: takes a frame; runs on the loop's thread.
            fatal: why the thread has ended by itself.
        """
        self._model = model
        self._world = world
        self._cameras = tuple(cameras)
        self._period_ns = round(1e9 / fps)
        self._niceness = niceness
        self._library = library
        self._wanted = wanted
        self._on_frame = on_frame
        self._stop = threading.Event()
        self._fatal = fatal
        self._thread = WatchedThread("render", self._run, fatal)
        self._seq = dict.fromkeys(self._cameras, 0)
        self._skipped = 0
        self._problem = ""

    @property
    def problem(self) -> str:
        """Why there are no frames just now, one line; "" while there are."""
        return self._problem

    def counts(self, camera: str) -> RenderCounts:
        """What was done for one camera."""
        return RenderCounts(self._seq[camera], self._skipped)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """End the thread; harmless when it never ran."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        use_thread_niceness(self._niceness)  # Mesa's rendering threads, started below, inherit it
        try:
            with CameraRenderer(self._model, library=self._library) as renderer:
                self._render_until_stopped(renderer)
        except SimulationError as error:
            self._fatal.put(str(error))
        finally:
            self._world.close()

    def _render_until_stopped(self, renderer: CameraRenderer) -> None:
        """One camera after the other, evenly spread over the period, each with the state of its own moment.

        So do USB cameras, which nothing synchronises; and a frame is not held up by the two before it: it is 8 ms
        old when it is ready, not 25.
        """
        next_ns = time.monotonic_ns()
        while True:
            for camera in self._cameras:
                if self._stop.wait(max(0.0, (next_ns - time.monotonic_ns()) / 1e9)):
                    return
                state = self._world.read()
                self._problem = self._world.problem
                if state is not None and camera in self._wanted():
                    self._render(renderer, camera, state)
                next_ns += self._period_ns // len(self._cameras)
            late = (time.monotonic_ns() - next_ns) // self._period_ns
            if late > 0:  # a camera that is too slow drops frames; it does not deliver them in a burst
                self._skipped += late
                next_ns += late * self._period_ns

    def _render(self, renderer: CameraRenderer, camera: str, state: StateSnapshot) -> None:
        capture_ns = time.monotonic_ns()
        renderer.show(state.qpos)
        bgr = _upright_bgr(renderer.render_upside_down(camera))
        self._seq[camera] += 1
        self._on_frame(camera, Frame(self._seq[camera], capture_ns, bgr=bgr))


def _upright_bgr(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """OpenCV's order of rows and colours; 0.2 ms against 2 ms for numpy's strided copy."""
    return np.asarray(cv2.cvtColor(cv2.flip(rgb, 0), cv2.COLOR_RGB2BGR), np.uint8)
