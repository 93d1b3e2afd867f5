# SPDX-License-Identifier: Apache-2.0
"""Where ROS keeps the log files of nodes, and starting without them where that cannot be written.

A memory card that went read-only, or a user without a home, would otherwise keep the driver from starting, and an
emergency stop from being called.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

WITHOUT_FILES: Final = ("--ros-args", "--disable-external-lib-logs")
"""ROS arguments with which a process keeps no log file; what it says is on its terminal and on /rosout."""


def why_not_writable(environ: Mapping[str, str] = os.environ) -> str:
    """Return one line on why no log file can be kept, with what to type; "" where ROS can keep one."""
    named = environ.get("ROS_LOG_DIR") or ""
    try:
        folder = Path(named) if named else Path(environ.get("ROS_HOME") or Path.home() / ".ros") / "log"
        folder = folder.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        reason = f"{error.filename or named}: {error.strerror}"
    except RuntimeError:
        reason = "this user has no home folder"
    return f"no log file is kept ({reason}); for one: export ROS_LOG_DIR=FOLDER"
