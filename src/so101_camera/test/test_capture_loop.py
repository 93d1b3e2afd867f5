# SPDX-License-Identifier: Apache-2.0
"""The capture thread and its reopening."""

import threading
import time
from collections.abc import Callable

import pytest
from so101_camera.core.frame import Frame
from so101_camera.errors import SourceError
from so101_camera.sources import capture_loop
from so101_camera.sources.capture_loop import ERRORS_BEFORE_REOPENING, CaptureLoop
from so101_node.threads import FatalSlot, NodeError


class ScriptedSource:
    """Plays a script of "frame", "error" and "gone" (cannot be opened), then frames forever."""

    def __init__(self, script: list[str]) -> None:
        self.script = script
        self.opened = self.closed = self.seq = 0

    def open(self) -> None:
        if self.script and self.script[0] == "gone":
            self.script.pop(0)
            raise SourceError("it is gone")
        self.opened += 1

    def read(self) -> Frame:
        time.sleep(0.001)
        if self.script and self.script[0] != "frame":
            if self.script[0] == "error":
                self.script.pop(0)
            raise SourceError("no frame")
        if self.script:
            self.script.pop(0)
        self.seq += 1
        return Frame(self.seq, time.monotonic_ns(), jpeg=b"x")

    def close(self) -> None:
        self.closed += 1

    def mismatch(self) -> str:
        return ""


def run(source: ScriptedSource, until: Callable[[list[int]], bool]) -> tuple[list[int], list[str], CaptureLoop]:
    frames: list[int] = []
    errors: list[str] = []
    done = threading.Event()

    def on_frame(frame: Frame) -> None:
        frames.append(frame.seq)
        if until(frames):
            done.set()

    loop = CaptureLoop(source, on_frame, errors.append, FatalSlot())
    loop.start()
    assert done.wait(10)
    loop.stop()
    return frames, errors, loop


def test_a_single_torn_frame_is_reported_and_the_device_stays_open() -> None:
    source = ScriptedSource(["frame", "error", "frame"])
    frames, errors, loop = run(source, lambda got: len(got) >= 5)
    assert frames[:5] == [1, 2, 3, 4, 5]
    assert errors == ["no frame"]
    assert source.opened == loop.state.openings == 1


def test_a_device_that_went_is_opened_again_and_its_frames_go_on() -> None:
    source = ScriptedSource(["frame"] + ["error"] * ERRORS_BEFORE_REOPENING + ["gone", "frame"])
    frames, errors, loop = run(source, lambda got: len(got) >= 3)
    assert frames[:3] == [1, 2, 3]
    assert errors == ["no frame", "it is gone"]
    assert loop.state.openings == 2
    assert loop.state.error == ""


def test_each_failed_opening_waits_longer() -> None:
    waits: list[float] = []
    source = ScriptedSource(["gone"] * 7)
    loop = CaptureLoop(source, lambda _frame: loop._stop.set(), lambda _error: None, FatalSlot())

    class Waiting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return self.is_set()

    loop._stop = Waiting()
    loop._run()
    assert waits[:6] == [0.25, 0.5, 1.0, 2.0, 4.0, capture_loop.LONGEST_BACK_OFF_S]


def test_stopping_closes_the_device() -> None:
    source = ScriptedSource([])
    run(source, lambda got: len(got) >= 2)
    assert source.closed >= 1


def test_a_fault_in_a_callback_ends_the_node_with_a_line() -> None:
    source, fatal = ScriptedSource([]), FatalSlot("camera front")

    def broken(_: Frame) -> None:
        raise ValueError("boom")

    loop = CaptureLoop(source, broken, lambda _error: None, fatal)
    loop.start()
    loop.stop(10.0)
    with pytest.raises(NodeError, match=r"^internal error in thread capture: ValueError: boom; camera front$"):
        fatal.check()
    assert source.closed == 1


def test_reads_that_fail_alike_are_told_once_for_each_opening() -> None:
    once = ["error"] * ERRORS_BEFORE_REOPENING
    _, errors, loop = run(ScriptedSource([*once, *once, "frame", "error"]), lambda got: len(got) >= 3)
    assert errors == ["no frame"] * 3
    assert loop.state.openings == 3
