# SPDX-License-Identifier: Apache-2.0
"""Threads around the core: decoding in parallel, loading and inference on one thread, errors that do not end it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import pytest
from so101_node.log_lines import LogLine
from so101_node.protocol import ChunkStatus, PolicyState
from so101_policy_server.core.request import ServedChunk
from so101_policy_server.core.server import PolicyServer
from so101_policy_server.inference import frame_pixels
from so101_policy_server.inference.inference_thread import InferenceThread
from so101_policy_server.policy import PolicyLoadError, PolicySource

WAIT_S = 30.0


class Bench:
    """An InferenceThread whose answers and announcements can be waited for."""

    def __init__(self, examples, loader, **config) -> None:
        self.examples = examples
        self.answers: queue.Queue[ServedChunk] = queue.Queue()
        self.announced: queue.Queue[None] = queue.Queue()
        self.lines: list[str] = []
        core = PolicyServer(examples.config(**config))
        core.activate()
        core.spec("", examples.spec(), 0)
        self.thread = InferenceThread(core, loader, self.answers.put, self._log, lambda: self.announced.put(None))
        self.thread.start()

    def _log(self, line: LogLine) -> None:
        self.lines.append(line.text)

    def ask(self, request_id: int, data: bytes | None = None) -> None:
        """A request and its frames, as the executor would bring them."""
        import numpy as np

        changes = {} if data is None else {"data": np.frombuffer(data, np.uint8)}
        request = self.examples.request(request_id)
        self.thread.call(lambda core, now: core.request(request, now))
        for camera in ("front", "wrist"):
            frame = self.examples.frame(camera, request_id, **changes)
            self.thread.call(lambda core, _now, frame=frame: core.frame(frame))

    def close(self) -> None:
        assert self.thread.stop(WAIT_S)


@pytest.fixture
def bench(examples, spy_policy) -> Iterator[Bench]:
    made = Bench(examples, lambda _source, _progress: spy_policy(examples.description()))
    made.announced.get(timeout=WAIT_S)
    yield made
    made.close()


def test_a_request_becomes_an_answer(bench) -> None:
    bench.ask(1)
    answer = bench.answers.get(timeout=WAIT_S)
    assert (answer.status, answer.positions.shape) == (ChunkStatus.OK, (50, 6))


def test_a_policy_is_loaded_and_used_on_one_thread_only(examples, spy_policy) -> None:
    threads = []

    class Watched(spy_policy):
        def infer(self, observation, leftover):
            threads.append(threading.current_thread())
            return super().infer(observation, leftover)

    def loader(_source, _progress):
        threads.append(threading.current_thread())
        return Watched(examples.description())

    bench = Bench(examples, loader)
    bench.announced.get(timeout=WAIT_S)
    for request_id in (1, 2):
        bench.ask(request_id)
        bench.answers.get(timeout=WAIT_S)
    bench.close()
    assert len(threads) == 3
    assert len(set(threads)) == 1
    assert threads[0] is not threading.main_thread()


def test_frames_of_one_request_are_decoded_at_the_same_time(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)
    decode = frame_pixels.decode_image

    def waiting(*arguments):
        both.wait(WAIT_S)  # passes only if the other camera's frame is being decoded too
        return decode(*arguments)

    monkeypatch.setattr(frame_pixels, "decode_image", waiting)
    bench.ask(1)
    assert bench.answers.get(timeout=WAIT_S).status is ChunkStatus.OK


def test_a_frame_that_cannot_be_decoded_is_the_answer(bench) -> None:
    bench.ask(1, b"\x89PNG nonsense")
    answer = bench.answers.get(timeout=WAIT_S)
    assert answer.status is ChunkStatus.OBSERVATION_INCOMPLETE
    assert answer.message.endswith("image announced as png has no PNG header (13 bytes)")


def test_a_decoder_that_fails_in_its_own_way_is_an_answer_too(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments):
        raise MemoryError("no room\nfor a picture")

    with monkeypatch.context() as patch:
        patch.setattr(frame_pixels, "decode_image", broken)
        bench.ask(1)
        answer = bench.answers.get(timeout=WAIT_S)
    assert answer.status is ChunkStatus.OBSERVATION_INCOMPLETE
    assert "MemoryError: no room for a picture" in answer.message
    bench.ask(2)
    assert bench.answers.get(timeout=WAIT_S).status is ChunkStatus.OK


@pytest.mark.parametrize("error", [MemoryError("cannot allocate"), RuntimeError("CUDA out of memory"), ValueError()])
def test_running_out_of_memory_in_one_inference_is_one_answer_and_the_next_is_good(examples, spy_policy, error) -> None:
    class Full(spy_policy):
        def infer(self, observation, leftover):
            self.asked.append(())
            if len(self.asked) == 2:
                raise error
            prediction = super().infer(observation, leftover)
            self.asked.pop()
            return prediction

    bench = Bench(examples, lambda _source, _progress: Full(examples.description()))
    bench.announced.get(timeout=WAIT_S)
    statuses = []
    for request_id in (1, 2, 3):
        bench.ask(request_id)
        statuses.append(bench.answers.get(timeout=WAIT_S).status)
    bench.close()
    assert statuses == [ChunkStatus.OK, ChunkStatus.POLICY_ERROR, ChunkStatus.OK]
    assert bench.answers.empty()  # each was answered once


def test_whatever_a_policy_raises_the_thread_lives_on(examples, spy_policy) -> None:
    class Odd(spy_policy):
        def infer(self, observation, leftover):
            if len(self.asked) == 0:
                self.asked.append(())
                raise KeyError("missing\nthing")
            return super().infer(observation, leftover)

    bench = Bench(examples, lambda _source, _progress: Odd(examples.description()))
    bench.announced.get(timeout=WAIT_S)
    bench.ask(1)
    first = bench.answers.get(timeout=WAIT_S)
    bench.ask(2)
    second = bench.answers.get(timeout=WAIT_S)
    bench.close()
    assert (first.status, second.status) == (ChunkStatus.POLICY_ERROR, ChunkStatus.OK)
    assert first.message.startswith("KeyError: ")
    assert "\n" not in first.message


@pytest.mark.parametrize("error", [PolicyLoadError("no folder /models/pick"), OSError("disk\nfull")])
def test_a_load_that_fails_is_announced_with_its_reason(examples, error: Exception) -> None:
    def loader(_source, _progress):
        raise error

    bench = Bench(examples, loader)
    bench.announced.get(timeout=WAIT_S)
    report = bench.thread.status("")
    bench.close()
    assert report.state is PolicyState.ERROR
    assert "no folder" in report.message or report.message.endswith("OSError: disk full")


def test_progress_of_loading_is_told_while_it_loads(examples, spy_policy) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def loader(_source, progress):
        progress("loading weights")
        reached.set()
        assert go_on.wait(WAIT_S)
        return spy_policy(examples.description())

    bench = Bench(examples, loader)
    assert reached.wait(WAIT_S)
    report = bench.thread.status("")
    go_on.set()
    bench.close()
    assert (report.state, report.message) == (PolicyState.LOADING, "loading /models/pick: loading weights")


def test_a_policy_that_is_no_longer_wanted_when_it_is_loaded_is_not_served(examples, spy_policy) -> None:
    loading, go_on, loaded = threading.Event(), threading.Event(), []

    def loader(source: PolicySource, _progress):
        loaded.append(source.path)
        loading.set()
        assert go_on.wait(WAIT_S)
        return spy_policy(examples.description(path=source.path))

    bench = Bench(examples, loader, allowed_policies=("/models/*",))
    assert loading.wait(WAIT_S)
    bench.thread.call(lambda core, now: core.spec("", examples.spec(spec_id=10, path="/models/place"), now))
    go_on.set()
    for _ in range(2):
        bench.announced.get(timeout=WAIT_S)
    report = bench.thread.status("")
    bench.close()
    assert loaded == ["/models/pick", "/models/place"]
    assert (report.state, report.policy.path) == (PolicyState.READY, "/models/place")


def test_after_stop_nothing_is_published(bench) -> None:
    assert bench.thread.stop(WAIT_S)
    bench.thread.call(lambda core, _now: core.deactivate())
    bench.ask(1)
    assert bench.answers.empty()


def test_a_policy_that_can_prepare_a_blank_does_so_before_the_next_request_and_one_that_breaks_no_more(
    examples, spy_policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearsed: queue.Queue[threading.Thread] = queue.Queue()

    class Prepares(spy_policy):
        def prepare_blank(self) -> None:
            rehearsed.put(threading.current_thread())
            raise RuntimeError("no room")

    bench = Bench(examples, lambda _source, _progress: Prepares(examples.description()))
    bench.announced.get(timeout=WAIT_S)
    waits = iter([0])  # due once, then not for a long time
    monkeypatch.setattr(PolicyServer, "rehearsal_in_ns", lambda *_arguments: next(waits, None))
    bench.ask(1)
    assert bench.answers.get(timeout=WAIT_S).status is ChunkStatus.OK
    assert rehearsed.get(timeout=WAIT_S) is not threading.main_thread()
    waits = iter([0])
    bench.ask(2)
    assert bench.answers.get(timeout=WAIT_S).status is ChunkStatus.OK, "an inference thread outlives a rehearsal"
    bench.close()
    assert rehearsed.empty()
    assert [line for line in bench.lines if "rehears" in line] == [
        "no more rehearsals before requests: RuntimeError: no room"
    ]
