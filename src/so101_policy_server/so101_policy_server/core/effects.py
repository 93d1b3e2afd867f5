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
    """To be done: load this policy on the inference thread, and tell `PolicyServer.loaded` or `load_failed`."""

    source: PolicySource


Effect = ServedChunk | DecodeFrame | LoadPolicy | LogLine
