# SPDX-License-Identifier: Apache-2.0
"""What the core asks its caller to do, besides `ServedChunk`, `DecodeFrame` and a line for the log."""

from __future__ import annotations

from dataclasses import dataclass

from so101_node.log_lines import LogLine

from so101_policy_server.core.intake import DecodeFrame
from so101_policy_server.core.request import ServedChunk
from so101_policy_server.policy import PolicySource


@dataclass(frozen=True, slots=True)
class LoadPolicy:
    """To be done: load this policy on the thread of this place, and tell `PolicyServer.loaded` or `load_failed`."""

    source: PolicySource
    place: int = 0


@dataclass(frozen=True, slots=True)
class UnloadPolicy:
    """To be done: let go of the policy at this place."""

    place: int


Effect = ServedChunk | DecodeFrame | LoadPolicy | UnloadPolicy | LogLine
