# SPDX-License-Identifier: Apache-2.0
"""A hash over the definition of each message that crosses, so that two versions never misread each other's bytes."""

from __future__ import annotations

import hashlib
import importlib
import re
from typing import Any

from so101_msgs.msg import ActionChunk, ObservationImage, ObservationRequest, PolicySpec, PolicyStatus

CARRIED = (ObservationRequest, ObservationImage, PolicySpec, ActionChunk, PolicyStatus)


def type_hashes() -> dict[str, str]:
    """Return message type -> 16 hex digits over names and types of its fields, those of nested messages included."""
    return {f"so101_msgs/{kind.__name__}": _digest(kind) for kind in CARRIED}


def _digest(kind: Any) -> str:
    return hashlib.sha256("\n".join(_lines(kind, "")).encode()).hexdigest()[:16]


def _lines(kind: Any, prefix: str) -> list[str]:
    lines = []
    for name, type_name in kind.get_fields_and_field_types().items():
        lines.append(f"{prefix}{name} {type_name}")
        nested = re.search(r"(\w+)/(\w+)", type_name)
        if nested:
            module = importlib.import_module(f"{nested[1]}.msg")
            lines += _lines(getattr(module, nested[2]), f"{prefix}{name}.")
    return lines
