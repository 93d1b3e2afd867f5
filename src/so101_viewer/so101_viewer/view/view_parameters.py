# SPDX-License-Identifier: Apache-2.0
"""Parameters of the browser view."""

from dataclasses import dataclass

from so101_node.parameters import parameter

from so101_viewer.view.viewer_server import DEFAULT_PORT


@dataclass(frozen=True, slots=True)
class ViewParameters:
    """Parameters of the view."""

    port: int = parameter(DEFAULT_PORT, "page on this port of this host, data on the next", lower=1, upper=65534)
    open_browser: bool = parameter(False, "open the page where there is a display")
    camera_hz: float = parameter(8.0, "images shown per second and camera, Hz", lower=0.5, upper=60.0)
    pose_hz: float = parameter(15.0, "joint states shown per second, Hz", lower=1.0, upper=60.0)
    memory_mb: int = parameter(300, "history kept for viewers that come later, MB", lower=20, upper=20000)
    meshes: str = parameter("auto", "auto, none, or the folder with the STL files of so101-nexus")
    listen_s: float = parameter(0.0, "listen so long and keep showing what came, s; 0: listen forever", lower=0.0)
    niceness: int = parameter(15, "how far the process steps back behind the robot", lower=0, upper=19)
