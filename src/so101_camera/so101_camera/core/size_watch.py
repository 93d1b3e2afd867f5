# SPDX-License-Identifier: Apache-2.0
"""Frames that change their size while a camera runs: a policy was trained with one, and fits any other to it."""

from collections.abc import Callable

from so101_node.diagnostics import Cause, Level
from so101_node.protocol.aspect import is_distorted

from so101_camera.core.frame import Frame
from so101_camera.errors import ImageCodecError

SIZE_CHANGED = Cause(
    "SIZE_CHANGED",
    Level.WARN,
    "the frames have another size than at first, and the policy gets them fitted to its own",
    "set the camera back to what it gave in training; if the new size is meant, restart this node",
)


class SizeWatch:
    """Compares the newest frame with the first. `add` may run on another thread than the rest."""

    def __init__(self, size_of: Callable[[Frame], tuple[int, int]]) -> None:
        """`size_of` gives a frame's width and height, pixels, or raises ImageCodecError where the frame is torn."""
        self._size_of = size_of
        self._newest: Frame | None = None
        self._first: tuple[int, int] | None = None
        self._last: tuple[int, int] | None = None

    def add(self, frame: Frame) -> None:
        """Take in the newest frame."""
        self._newest = frame

    def look(self) -> str:
        """Return one line where the size has changed since the last look, else "". Ask about once a second."""
        if self._newest is None:
            return ""
        try:
            size = self._size_of(self._newest)
        except ImageCodecError:
            return ""  # a torn frame; the next one says it
        before, self._last = self._last, size
        if self._first is None or before is None:
            self._first = size
            return ""
        if size == before:
            return ""
        words = self.words()
        if not words:
            return f"the frames are {_text(size)} again, as at first"
        return f"{SIZE_CHANGED.meaning}: {words}; {SIZE_CHANGED.remedy}"

    def words(self) -> str:
        """Return both sizes while the frames have another than the first one, else ""."""
        if self._first is None or self._last is None or self._last == self._first:
            return ""
        shape = ", of another aspect ratio" if is_distorted(self._last, self._first) else ""
        return f"{_text(self._last)}{shape}, {_text(self._first)} at first"


def _text(size: tuple[int, int]) -> str:
    return "{}x{}".format(*size)
