# SPDX-License-Identifier: Apache-2.0
"""The topics that the link carries, which way each goes and how urgent it is. Nothing else ever crosses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final


class LinkRole(StrEnum):
    """Which end of a link it is. A probe is the doctor's: it listens to the server and replaces no robot."""

    ROBOT = "robot"
    SERVER = "server"
    PROBE = "probe"


class Urgency(IntEnum):
    """The order of sending, the most urgent first."""

    NOW = 0
    LATCHED = 1
    FRAME = 2


@dataclass(frozen=True, slots=True)
class LinkTopic:
    """One topic, relative to the robot's namespace. `sender` is the end that hears it on its own DDS.

    `is_heartbeat`: it is published five times a second as long as its publisher lives.
    """

    name: str
    sender: LinkRole
    urgency: Urgency
    is_heartbeat: bool = False


OBSERVATION_REQUEST: Final = LinkTopic("observation_request", LinkRole.ROBOT, Urgency.NOW)
ACTION_CHUNK: Final = LinkTopic("action_chunk", LinkRole.SERVER, Urgency.NOW)
POLICY_SPEC: Final = LinkTopic("policy_spec", LinkRole.ROBOT, Urgency.LATCHED)
POLICY_STATUS: Final = LinkTopic("policy_status", LinkRole.SERVER, Urgency.LATCHED, is_heartbeat=True)
FIXED: Final = (OBSERVATION_REQUEST, ACTION_CHUNK, POLICY_SPEC, POLICY_STATUS)

MAX_CAMERAS: Final = 16
"""As many as PolicySpec.cameras holds."""

_BY_NAME = {topic.name: topic for topic in FIXED}
_CAMERA = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_OBSERVATION = "/observation"


def frames_of(camera: str) -> LinkTopic | None:
    """Return the topic of a camera's frames; None for a name that cannot be part of a topic."""
    if not _CAMERA.fullmatch(camera):
        return None
    return LinkTopic(camera + _OBSERVATION, LinkRole.ROBOT, Urgency.FRAME)


def topic_of(name: str, sender: LinkRole) -> LinkTopic | None:
    """Return the topic of this name if that end may send it; None for all else."""
    topic = _BY_NAME.get(name)
    if topic is None and name.endswith(_OBSERVATION):
        topic = frames_of(name.removesuffix(_OBSERVATION))
    return topic if topic is not None and topic.sender is sender else None
