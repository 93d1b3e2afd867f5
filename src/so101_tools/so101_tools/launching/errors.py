"""What can be wrong with a launch file."""

from pathlib import Path


class LaunchFileError(Exception):
    """A launch file asks for something that cannot be done; the text is one line that begins with file and line."""

    def __init__(self, file: Path, line: int, message: str) -> None:
        super().__init__(f"{file}:{line}: {message}")
        self.file = file
        self.line = line
        self.message = message
