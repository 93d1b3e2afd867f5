# SPDX-License-Identifier: Apache-2.0
"""What a deployment's YAML file says about policy server, action queue and cameras, read as their nodes read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from so101_node.parameters import ParameterError, known_nodes
from so101_node.parameters.files import ParameterFileError, Section, read
from so101_node.parameters.node_file import nodes_called, parameters_of, values_for
from so101_policy_server.parameters import ServerParameters

from so101_doctor.errors import DeploymentError

_SERVER, _QUEUE = "policy_server", "action_queue"
_OF_A_CAMERA = frozenset({"device", "frame_source", "width", "height"})


class Queue(Protocol):
    """Those of the action queue's parameters that a policy server is told."""

    task: str
    policy_type: str
    pretrained_name_or_path: str
    policy_device: str
    actions_per_chunk: int
    fps: float
    cameras: Sequence[str]
    joint_names: Sequence[str]
    units: str
    rename_from: Sequence[str]
    rename_to: Sequence[str]


@dataclass(frozen=True, slots=True)
class Deployment:
    """Parameters as far as a file has them.

    Attributes:
        server: of `policy_server`, with defaults for what is not given.
        queue: of `action_queue`; None where the file has no section for it, or it is not installed here.
        has_queue: whether the file has a section for it.
        cameras: names of the cameras that the file has a section for.
        sizes: name -> (height, width) of the frames as they go out, pixels, of each section that has both; they are
            those after `rotation`, as in LeRobot.
    """

    server: ServerParameters = field(default_factory=ServerParameters)
    queue: Queue | None = None
    has_queue: bool = False
    cameras: tuple[str, ...] = ()
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def read_deployment(file: Path | None) -> Deployment:
    """Read a ROS parameter file.

    Raises:
        DeploymentError: it cannot be read, or a node would not accept what it says.
    """
    if file is None:
        return Deployment()
    try:
        sections = read(file)
        servers, queues = nodes_called(_SERVER, sections), nodes_called(_QUEUE, sections)
        server = parameters_of(ServerParameters, file, servers[0] if servers else f"/{_SERVER}")
        of_queue = known_nodes.parameters_of(_QUEUE) if queues else None
        queue = None if of_queue is None else cast(Queue, parameters_of(of_queue, file, queues[0]))
        cameras = {section.node_name: _values(file, section) for section in sections if _is_of_a_camera(section)}
    except (ParameterFileError, ParameterError) as error:
        place = "" if str(file) in str(error) else f"{file}: "  # a rule that names none of those given
        raise DeploymentError(f"--config: {place}{error}") from error
    sizes = {
        name: (values["height"], values["width"])
        for name, values in cameras.items()
        if isinstance(values.get("height"), int) and isinstance(values.get("width"), int)
    }
    return Deployment(server, queue, bool(queues), tuple(cameras), sizes)


def _is_of_a_camera(section: Section) -> bool:
    """Cameras have the names that people give them, and no other node has such keys."""
    known = section.node_name in known_nodes.node_names()
    return section.names_a_node and not known and not _OF_A_CAMERA.isdisjoint(section.keys)


def _values(file: Path, section: Section) -> dict[str, Any]:
    (node,) = nodes_called(section.node_name, [section])
    return {key: value for _, values in values_for(file, node) for key, value in values.items()}
