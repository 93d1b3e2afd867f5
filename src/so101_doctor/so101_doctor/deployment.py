# SPDX-License-Identifier: Apache-2.0
"""What a deployment's YAML file says about policy server, action queue and cameras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from so101_node.parameters import ParameterError, build, rules
from so101_policy_server.parameters import ServerParameters

from so101_doctor.errors import DeploymentError


@dataclass(frozen=True, slots=True)
class Deployment:
    """Parameters as far as a file has them.

    Attributes:
        server: of `policy_server`, with defaults for what is not given.
        queue: of `action_queue`, as given.
        cameras: name -> (height, width) of the frames as they go out, pixels, of each section that has both; they are
            those after `rotation`, as in LeRobot.
    """

    server: ServerParameters = field(default_factory=ServerParameters)
    queue: Mapping[str, Any] = field(default_factory=dict)
    cameras: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def read_deployment(file: Path | None) -> Deployment:
    """Read a ROS parameter file.

    Raises:
        DeploymentError: it cannot be read, or the server would not accept a value.
    """
    if file is None:
        return Deployment()
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        sections = {str(key): dict(value["ros__parameters"]) for key, value in content.items()}
    except (OSError, ValueError, yaml.YAMLError, AttributeError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise DeploymentError(f"--config {file}: not a ROS parameter file: {reason}") from error
    named = {("" if key in ("/**", "/*") else key.rsplit("/", 1)[-1]): values for key, values in sections.items()}
    server = named.get("policy_server", named.get("", {}))
    known = rules(ServerParameters)
    try:
        parameters = build(ServerParameters, {name: value for name, value in server.items() if name in known})
    except (ParameterError, TypeError) as error:
        raise DeploymentError(f"--config {file}: policy_server: {error}") from error
    cameras = {
        name: (values["height"], values["width"])
        for name, values in named.items()
        if isinstance(values.get("height"), int) and isinstance(values.get("width"), int)
    }
    return Deployment(parameters, named.get("action_queue", {}), cameras)
