# SPDX-License-Identifier: Apache-2.0
"""A frame source of another package, held to the contract of `FrameSource`."""

import time
from collections.abc import Callable
from typing import TypeVar

from so101_camera.core.frame import Frame
from so101_camera.core.frame_source import FrameSource
from so101_camera.errors import CameraError, SourceEndedError, SourceError, SourceMissingError

_PARTS = ("open", "read", "close")
_EXPECTED = "expected open(), read() that returns a Frame, and close()"

Result = TypeVar("Result")


class CheckedSource:
    """Turns whatever the source does against its contract into a SourceError: one line, and the node opens it again.

    A frame whose number or time runs backwards would otherwise end the node far from here, and one that is stamped with
    another clock would look old to the policy server, or from the future.
    """

    def __init__(self, source: FrameSource, name: str) -> None:
        """Keep the source; `name` is that of its entry point.

        Raises:
            SourceMissingError: it has not the methods of a frame source.
        """
        missing = [part for part in _PARTS if not callable(getattr(source, part, None))]
        self._name = f"frame source {name!r}"
        if missing:
            raise SourceMissingError(
                f"{self._name}: {type(source).__name__} has no {', no '.join(missing)}: {_EXPECTED}"
            )
        self._source = source
        self._last: tuple[int, int] | None = None

    def open(self) -> None:
        """Open the source; see FrameSource."""
        self._call("open", self._source.open)

    def read(self) -> Frame:
        """Return the next frame; see FrameSource. One against the contract is an error that names both."""
        frame: object = self._call("read", self._source.read)
        if not isinstance(frame, Frame):
            raise SourceError(f"{self._name}: read() returned a {type(frame).__name__}: expected a Frame")
        ahead_s = (frame.capture_ns - time.monotonic_ns()) / 1e9
        if ahead_s > 0:
            raise SourceError(
                f"{self._name}: frame {frame.seq} was captured {ahead_s:.3g} s from now: expected capture_ns of "
                "time.monotonic_ns()"
            )
        if self._last is not None and (frame.seq <= self._last[0] or frame.capture_ns < self._last[1]):
            raise SourceError(
                f"{self._name}: frame {frame.seq} at {frame.capture_ns} ns came after {self._last[0]} at "
                f"{self._last[1]} ns: expected seq to rise and time not to run backwards, over close() and open() too"
            )
        self._last = frame.seq, frame.capture_ns
        return frame

    def close(self) -> None:
        """Close the source; see FrameSource."""
        self._call("close", self._source.close)

    def mismatch(self) -> str:
        """Return what the source says of it; a source may leave this method out."""
        mismatch = getattr(self._source, "mismatch", None)
        return str(self._call("mismatch", mismatch)) if callable(mismatch) else ""

    def _call(self, part: str, method: Callable[[], Result]) -> Result:
        try:
            return method()
        except SourceEndedError as error:
            raise SourceEndedError(f"{self._name}: {error}") from error
        except SourceError as error:
            raise SourceError(f"{self._name}: {error}") from error
        except CameraError as error:  # a Frame that is none: its line has both shapes
            raise SourceError(f"{self._name}: {part}(): {error}") from error
        except Exception as error:  # the code of others: anything may come
            text = " ".join(f"{type(error).__name__}: {error}".split())
            raise SourceError(f"{self._name}: {part}() failed: {text}") from error
