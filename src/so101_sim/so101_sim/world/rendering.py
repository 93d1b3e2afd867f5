# SPDX-License-Identifier: Apache-2.0
"""Pictures of the scene from its cameras, without a screen: EGL or OSMesa, whichever this machine has.

`mujoco.Renderer` chooses its GL library from MUJOCO_GL when MuJoCo is first imported, and fails there with a traceback.
Here the library is looked for when a renderer is made, so that physics runs on a machine that has none, and a missing
one is a single line that names the packages.
"""

from __future__ import annotations

import atexit
import ctypes
import os
from types import TracebackType
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from so101_sim.errors import GraphicsError
from so101_sim.world.scene import IMAGE_HEIGHT, IMAGE_WIDTH

_PACKAGES = "apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri libgles2 (or libosmesa6)"
_EGL_PLATFORM_DEVICE = 0x313F  # EGL_EXT_platform_device: a display without X11 or Wayland
_MAX_GEOMS = 200  # the scene has about 60
_PLAIN = (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION)


class CameraRenderer:
    """Renders the cameras of one model. To be made, used and closed on one thread, as a GL context belongs to one.

    width, height: size of the frames, pixels; at most the model's off-screen buffer. library: "egl" or "osmesa"; ""
    asks `graphics_library`. GraphicsError if it does not work here.
    """

    def __init__(
        self, model: mujoco.MjModel, *, width: int = IMAGE_WIDTH, height: int = IMAGE_HEIGHT, library: str = ""
    ) -> None:
        limit = model.vis.global_
        if width > limit.offwidth or height > limit.offheight:
            raise ValueError(f"expected at most {limit.offwidth}x{limit.offheight} pixels, got {width}x{height}")
        self._model = model
        self._data = mujoco.MjData(model)
        self._cameras = {model.camera(i).name: i for i in range(model.ncam)}
        self._gl = _offscreen_context(library or graphics_library(), width, height)
        self._gl.make_current()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._scene = mujoco.MjvScene(model, _MAX_GEOMS)
        for flag in _PLAIN:
            self._scene.flags[flag] = False
        self._option = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._viewport = mujoco.MjrRect(0, 0, width, height)
        self._pixels = np.empty((height, width, 3), np.uint8)
        atexit.register(self.close)  # before EGL itself ends, which would turn the freeing into an error

    def show(self, qpos: NDArray[np.float64]) -> None:
        """The configuration to render from now on, qpos: (nq,)."""
        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)

    def render(self, camera: str) -> NDArray[np.uint8]:
        """What `camera` sees, (height, width, 3), RGB, upper row first; the array is the caller's to keep.

        KeyError if the model has no such camera.
        """
        return np.ascontiguousarray(self.render_upside_down(camera)[::-1])

    def render_upside_down(self, camera: str) -> NDArray[np.uint8]:
        """As `render`, but lowest row first as GL delivers it, and overwritten by the next call: no copy."""
        self._camera.fixedcamid = self._cameras[camera]
        mujoco.mjv_updateScene(
            self._model, self._data, self._option, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        mujoco.mjr_render(self._viewport, self._scene, self._context)
        mujoco.mjr_readPixels(self._pixels, None, self._viewport, self._context)
        return self._pixels

    def close(self) -> None:
        """Frees the GL context; harmless a second time."""
        atexit.unregister(self.close)
        if self._gl is not None:
            self._context.free()
            self._gl.free()
            self._gl = None

    def __enter__(self) -> CameraRenderer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def graphics_library() -> str:
    """What MUJOCO_GL asks for, else the first of "egl" and "osmesa" that is installed. GraphicsError if neither is."""
    asked = os.environ.get("MUJOCO_GL", "").lower().strip()
    if asked in ("egl", "osmesa"):
        return asked
    if _egl_has_a_device():
        return "egl"
    if any(_loads(name) for name in ("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so")):
        return "osmesa"
    raise GraphicsError(f"no GL library renders without a screen here: {_PACKAGES}")


def _offscreen_context(library: str, width: int, height: int) -> Any:
    try:
        if library == "egl":
            from mujoco.egl import GLContext
        else:
            from mujoco.osmesa import GLContext
        return GLContext(width, height)
    except Exception as error:  # PyOpenGL raises AttributeError, ImportError, TypeError, GLError, ... for one cause
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GraphicsError(f"GL library {library!r} does not work here ({reason}): {_PACKAGES}") from error


def _egl_has_a_device() -> bool:
    """Asks EGL itself, as PyOpenGL cannot go back to OSMesa once it was imported for EGL."""
    egl = _loads("libEGL.so.1")
    if egl is None:
        return False
    address = egl.eglGetProcAddress
    address.restype, address.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    query, display = address(b"eglQueryDevicesEXT"), address(b"eglGetPlatformDisplayEXT")
    if not query or not display:
        return False
    query_devices = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(query)
    get_display = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p)(display)
    egl.eglInitialize.argtypes = [ctypes.c_void_p] * 3
    devices, count = (ctypes.c_void_p * 16)(), ctypes.c_int()
    if not query_devices(len(devices), devices, ctypes.byref(count)):
        return False
    displays = (get_display(_EGL_PLATFORM_DEVICE, device, None) for device in devices[: count.value])
    return any(handle and egl.eglInitialize(handle, None, None) for handle in displays)


def _loads(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None
