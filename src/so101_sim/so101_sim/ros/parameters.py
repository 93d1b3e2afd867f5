# SPDX-License-Identifier: Apache-2.0
"""Parameters of the simulator's nodes; apart from them, so that a list of all parameters needs no MuJoCo."""

from dataclasses import dataclass

from so101_camera.image_codec import DEFAULT_JPEG_QUALITY
from so101_node.parameters import ParameterError, parameter, precedence

from so101_sim.core.camera_names import CAMERAS
from so101_sim.core.tasks import TASKS


@dataclass(frozen=True, slots=True)
class VirtualCamerasParameters:
    """Parameters of the virtual cameras."""

    sim_dir: str = parameter("", "run folder of virtual_arm, as given to its --sim-dir")
    cameras: list[str] = parameter(list(CAMERAS), "cameras to publish, of front, top and wrist", choices=CAMERAS)
    fps: float = parameter(30.0, "frames a second of each camera", lower=1.0, upper=120.0)
    jpeg_quality: int = parameter(DEFAULT_JPEG_QUALITY, "JPEG quality, 1 to 100", lower=1, upper=100)
    lossless: bool = parameter(False, "send PNG frames instead of JPEG on request")
    next_frame_within_s: float = parameter(
        0.0, "a request waits for the next frame where that is due within this time, s", lower=0.0, upper=0.1
    )
    render_unwatched: bool = parameter(False, "render also the cameras that no policy and no listener wants")
    niceness: int = precedence.niceness(-5)
    render_niceness: int = parameter(10, "niceness of the rendering thread", lower=0, upper=19)
    gl_library: str = parameter("", "GL library; empty = whichever works", choices=("", "egl", "osmesa"))
    connect_timeout_s: float = parameter(30.0, "give up without a virtual arm for this long, s; 0 = never", lower=0.0)

    def validate(self) -> None:
        """Check the rules that ranges cannot say."""
        if not self.sim_dir:
            raise ParameterError("parameter sim_dir = '': give the folder that virtual_arm was started with")
        if not self.cameras or len(set(self.cameras)) < len(self.cameras):
            raise ParameterError(f"parameter cameras = {self.cameras}: must name at least one camera, each once")


@dataclass(frozen=True, slots=True)
class JudgeParameters:
    """Parameters of the judge."""

    sim_dir: str = parameter("", "run folder of virtual_arm, as given to its --sim-dir")
    task_name: str = parameter("static", "task until a reset names another", choices=tuple(TASKS))
    niceness: int = precedence.niceness(0)

    def validate(self) -> None:
        """Check the rules that ranges cannot say."""
        if not self.sim_dir:
            raise ParameterError("parameter sim_dir = '': give the folder that virtual_arm was started with")
