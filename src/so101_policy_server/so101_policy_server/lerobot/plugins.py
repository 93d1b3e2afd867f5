# SPDX-License-Identifier: Apache-2.0
"""Policies of other packages: those named `lerobot_policy_*`, which LeRobot's own programs import at their start.

Part of the adaptor to LeRobot.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from functools import cache
from typing import Final

from so101_policy_server.errors import one_line

PREFIX: Final = "lerobot_policy_"


@cache
def import_plugins() -> Mapping[str, str]:
    """Import each once, so that it registers its types; returns why the others could not be, by their names."""
    failed = {}
    for name in sorted({str(one.metadata["Name"]).replace("-", "_") for one in importlib.metadata.distributions()}):
        if not name.startswith(PREFIX):
            continue
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - other people's code: whatever it raises
            failed[name] = f"{type(error).__name__}: {one_line(error)}"
    return failed


def told_of_failed_plugins() -> str:
    """Which could not be imported and why, to be added to a line; "" where all could."""
    return "".join(f"; {name} could not be imported: {reason}" for name, reason in import_plugins().items())
