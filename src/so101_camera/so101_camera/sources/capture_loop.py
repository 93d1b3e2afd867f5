# SPDX-License-Identifier: Apache-2.0
"""The thread that reads one source forever, and opens it again when it is gone."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from so101_node.threads import FatalSlot, WatchedThread

from so101_camera.core.frame import Frame
from so101_camera.core.frame_source import FrameSource
from so101_camera.errors import SourceEndedError, SourceError

# A UVC camera that was plugged in again needs 0.3-1 s to appear; slower retries would hold the robot up for longer.
FIRST_BACK_OFF_S = 0.25
LONGEST_BACK_OFF_S = 4.0

# Torn buffers come singly; that many in a row mean that the stream itself is broken and must be opened again.
ERRORS_BEFORE_REOPENING = 3


@dataclass(frozen=True, slots=True)
class CaptureState:
    """How capturing goes: frames read so far, times the source was opened, the present error ("" = none)."""

    frames: int
    openings: int
    error: str


class CaptureLoop:
    """Reads frames on its own thread and hands each to `on_frame`."""

    def __init__(
        self,
        source: FrameSource,
        on_frame: Callable[[Frame], None],
        on_error: Callable[[str], None],
        fatal: FatalSlot,
    ) -> None:
        """Keep the source and callbacks; both callbacks run on the capture thread, and their faults go into `fatal`."""
        self._source = source
        self._on_frame = on_frame
        self._on_error = on_error
        self._stop = threading.Event()
        self._thread = WatchedThread("capture", self._run, fatal)
        self._frames = self._openings = 0
        self._error = self._told = ""

    @property
    def state(self) -> CaptureState:
        """A snapshot for people."""
        return CaptureState(self._frames, self._openings, self._error)

    def start(self) -> None:
        """Start reading."""
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """End the thread. One that hangs in a device's driver is left behind; it dies with the process."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        back_off_s = FIRST_BACK_OFF_S
        try:
            while not self._stop.is_set():
                frames_before = self._frames
                self._told = ""
                try:
                    self._source.open()
                    self._openings += 1
                    self._read_until_broken()
                except SourceError as error:
                    self._report(error)
                if self._frames > frames_before:
                    back_off_s = FIRST_BACK_OFF_S
                self._source.close()
                self._stop.wait(back_off_s)
                back_off_s = min(2 * back_off_s, LONGEST_BACK_OFF_S)
        finally:
            self._source.close()

    def _read_until_broken(self) -> None:
        """Read until stopped, until the source ended, or until `ERRORS_BEFORE_REOPENING` reads in a row failed."""
        failed = 0
        while not self._stop.is_set():
            try:
                frame = self._source.read()
            except SourceEndedError:
                raise
            except SourceError as error:
                failed += 1
                if failed >= ERRORS_BEFORE_REOPENING:
                    raise
                self._report(error)
                continue
            failed = 0
            self._error = self._told = ""
            self._frames += 1
            self._on_frame(frame)

    def _report(self, error: SourceError) -> None:
        """Tell an error once for each opening, not for each of the reads that fail alike."""
        self._error = str(error)
        if self._error != self._told:
            self._told = self._error
            self._on_error(self._error)
