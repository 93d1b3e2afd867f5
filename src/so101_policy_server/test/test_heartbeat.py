"""A steady beat on a thread of its own."""

from __future__ import annotations

import threading
import time

from so101_policy_server.heartbeat import Heartbeat

from so101_policy_server import heartbeat


def test_it_beats_at_its_period_and_not_after_stop(monkeypatch) -> None:
    monkeypatch.setattr(heartbeat, "PERIOD_S", 0.02)
    enough = threading.Event()
    beats: list[float] = []

    def beat() -> None:
        beats.append(time.monotonic())
        if len(beats) == 20:
            enough.set()

    beating = Heartbeat(beat)
    beating.start()
    assert enough.wait(30)
    beating.stop()
    count = len(beats)
    time.sleep(0.1)
    assert len(beats) == count
    assert beats[19] - beats[0] >= 0.9 * 19 * 0.02


def test_a_heartbeat_that_never_began_can_be_stopped() -> None:
    Heartbeat(lambda: None).stop()
