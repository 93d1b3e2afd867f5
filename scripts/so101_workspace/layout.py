"""Where the workspace keeps its things."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Paths of one workspace; nothing outside `root` is ever written."""

    root: Path

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def tools(self) -> Path:
        """uv, a Python fetched by uv, and the lock; ignored by git."""
        return self.root / ".tools"

    @property
    def requirements(self) -> Path:
        return self.root / "requirements"

    @property
    def install(self) -> Path:
        return self.root / "install"

    @property
    def build(self) -> Path:
        return self.root / "build"

    @property
    def log(self) -> Path:
        return self.root / "log"


def this_workspace() -> Layout:
    """The workspace this file belongs to."""
    return Layout(Path(__file__).resolve().parents[2])
