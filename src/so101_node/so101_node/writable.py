# SPDX-License-Identifier: Apache-2.0
"""Whether a report can be written, asked before minutes are spent on what goes into it."""

from pathlib import Path


def obstacle(file: Path) -> str:
    """Return why the file cannot be written, "" where it can. Its folder is made; a file that was not there is not."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        existed = file.exists()
        file.open("a").close()
        if not existed:
            file.unlink()
    except (FileExistsError, NotADirectoryError):  # the words of the system for it, "File exists", mislead
        return f"{file.parent} is no folder"
    except OSError as error:
        return error.strerror or str(error)
    return ""
