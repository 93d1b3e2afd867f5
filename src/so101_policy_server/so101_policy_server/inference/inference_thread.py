# SPDX-License-Identifier: Apache-2.0
"""The threads of the server: one for each policy or replica that loads and infers, a few that decode, and the lock."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

import cv2
from so101_node.log_lines import LogLine

from so101_policy_server.core.aspect import find_distortion
from so101_policy_server.core.clock import NS_PER_S
from so101_policy_server.core.effects import Effect, LoadPolicy, UnloadPolicy
from so101_policy_server.core.image import ImageDecodeError
from so101_policy_server.core.intake import DecodeFrame
from so101_policy_server.core.prepared_request import PreparedRequest
from so101_policy_server.core.request import ServedChunk
from so101_policy_server.core.server import PolicyServer
from so101_policy_server.core.status_report import StatusReport
from so101_policy_server.errors import one_line
from so101_policy_server.inference.frame_pixels import pixels_of
from so101_policy_server.inference.infer_chunk import ask_again
from so101_policy_server.inference.replica_worker import ReplicaWorker
from so101_policy_server.policy import Loader, Policy, PolicyLoadError, PolicySource, ReplicaLostError

DECODE_THREADS: Final = 4
"""One per camera of a usual arm and one to spare; decoding releases the interpreter."""

LOST_RETRY_S: Final = 2.0
"""How long after a replica was lost, or could not be made, it is made again."""

CoreCall = Callable[[PolicyServer, int], list[Effect]]
"""A call of the core, given the core and the server's monotonic time, ns."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a place is to hold: the policy, none to let go of it; `number` counts the wishes."""

    source: PolicySource | None
    number: int


_NO_WISH: Final = _Wish(None, 0)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Requests that a replica has in hand, and whether another one had them before."""

    requests: list[PreparedRequest]
    was_handed_over: bool = False


_REHEARSAL: Final = _Batch([])
"""In place of requests: go through one that is thrown away."""


class InferenceThread:
    """Runs the core's effects.

    Loading and inference of a policy happen on one thread, so it is only ever touched by the thread that made it. Each
    place that the core loads a policy at has such a thread, and so has each replica, which takes requests when it has
    nothing in hand.

    Args:
        core: the decisions; only ever called with this object's lock held.
        loader: loads a policy; imports what it needs when it is called.
        publish: sends a chunk; called from any thread.
        log: writes a line; called from any thread.
        announce: tells the robots the state; called when loading has ended, or a replica is lost.
        replicas: how many policies are loaded, each by a thread of its own that answers with it.
    """

    def __init__(
        self,
        core: PolicyServer,
        loader: Loader,
        publish: Callable[[ServedChunk], None],
        log: Callable[[LogLine], None],
        announce: Callable[[], None],
        replicas: int = 1,
    ) -> None:
        self._core = core
        self._loader = loader
        self._publish = publish
        self._log = log
        self._announce = announce
        self._condition = threading.Condition()
        self._wishes: dict[int, _Wish] = {}
        self._orphans: defaultdict[int, deque[_Batch]] = defaultdict(deque)  # by place
        self._stopping = False
        # Frames are the unit of parallelism; OpenCV's own threads on top would only take turns with the policy's.
        cv2.setNumThreads(1)
        self._decoders = ThreadPoolExecutor(DECODE_THREADS, thread_name_prefix="decode")
        self._replicas = replicas
        self._newest: DecodeFrame | None = None  # what is decoded again in a rehearsal
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Let the core begin with its policy."""
        self.call(lambda core, _now: core.start())

    def stop(self, timeout_s: float) -> bool:
        """Ask the threads to end; False when a load or an inference, which cannot be broken off, outlasts the time."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        self._decoders.shutdown(wait=False, cancel_futures=True)
        deadline_s = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def call(self, call: CoreCall) -> None:
        """Call the core under its lock and do what it asks for."""
        with self._condition:
            effects = call(self._core, time.monotonic_ns())
            for effect in effects:
                if isinstance(effect, LoadPolicy | UnloadPolicy):
                    self._wish(effect)
            self._condition.notify_all()
        self._perform(effects)

    def _wish(self, effect: LoadPolicy | UnloadPolicy) -> None:
        """Tell the thread of a place, which begins with its first policy; the lock is held."""
        is_new = effect.place not in self._wishes
        number = self._wishes.get(effect.place, _NO_WISH).number + 1
        self._wishes[effect.place] = _Wish(effect.source if isinstance(effect, LoadPolicy) else None, number)
        for replica in range(self._replicas if is_new and not self._stopping else 0):
            name = f"inference {effect.place}.{replica}"
            thread = threading.Thread(target=self._run, args=(effect.place, replica), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def status(self, robot: str) -> StatusReport:
        """What to tell this robot now."""
        with self._condition:
            return self._core.status(robot)

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, LogLine):
                self._log(effect)
            elif self._stopping:
                continue  # the publishers may be gone, and the decoders take nothing more
            elif isinstance(effect, ServedChunk):
                self._publish(effect)
            elif isinstance(effect, DecodeFrame):
                self._newest = effect
                self._decoders.submit(self._decode, effect)

    def _decode(self, wanted: DecodeFrame) -> None:
        frame, need = wanted.frame, wanted.need
        try:
            pixels, given = pixels_of(wanted)
        except ImageDecodeError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - else the request would wait for this frame forever
            reason = f"{type(error).__name__}: {one_line(error)}"
        else:
            distortion = find_distortion(need, *given)
            self.call(lambda core, now: core.decoded(frame, pixels, now, distortion))
            return
        self.call(lambda core, _now: core.not_decoded(frame, reason))

    def _run(self, place: int, replica: int) -> None:
        wish, worker = _NO_WISH, None
        while True:
            wanted, batch = self._next(place, replica, wish)
            if wanted is not None and wanted != wish:
                if worker is not None:
                    worker.close()
                worker = None  # its memory is needed for the next
                worker = self._load(place, replica, wanted) if wanted.source is not None else None
                wish = wanted
            elif batch is _REHEARSAL and worker is not None:
                self._rehearse(worker)
            elif batch is not None and worker is not None:
                if not self._infer(worker, batch, place, replica):
                    worker, wish = None, _NO_WISH  # loaded again
            else:
                return

    def _next(self, place: int, replica: int, wish: _Wish) -> tuple[_Wish | None, _Batch | None]:
        """Wait for what is to be done next: another wish or requests to answer; neither when the thread ends."""
        with self._condition:
            while not self._stopping:
                if self._wishes[place] != wish:
                    return self._wishes[place], None
                now_ns = time.monotonic_ns()
                if self._orphans[place]:
                    batch = self._orphans[place].popleft()
                    self._core.begin(batch.requests, now_ns, replica, place)
                    return None, batch
                wait_ns = self._core.batch_wait_ns(now_ns, replica, place)
                if wait_ns == 0:
                    return None, _Batch(self._core.take(now_ns, replica, place))
                rehearsal_ns = self._core.rehearsal_in_ns(now_ns, place) if wait_ns is None else None
                if rehearsal_ns == 0:
                    self._core.rehearses(now_ns, place)
                    return None, _REHEARSAL
                waits_ns = rehearsal_ns if wait_ns is None else wait_ns
                self._condition.wait(None if waits_ns is None else waits_ns / NS_PER_S)
            return None, None

    def _rehearse(self, worker: ReplicaWorker) -> None:
        """Do once what the next request needs before the policy begins, and throw it away."""
        newest = self._newest
        if newest is not None:
            with contextlib.suppress(Exception):  # whoever decoded it first has said what is wrong with it
                pixels_of(newest)
        worker.rehearse()

    def _load(self, place: int, replica: int, wish: _Wish) -> ReplicaWorker | None:
        """Load until it is loaded or cannot be, or something else is wanted, whose fate then is of no interest."""
        assert wish.source is not None
        while True:
            policy, lost = None, False
            try:
                policy = self._loader(wish.source, lambda text: self._progress(text, place, wish))
                reason = ""
            except PolicyLoadError as error:
                reason = str(error)
            except ReplicaLostError as error:
                reason, lost = str(error), True
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever a policy's code raises
                reason = f"{wish.source.label}: {type(error).__name__}: {one_line(error)}"

            def tell(core: PolicyServer, now_ns: int, policy: Policy | None = policy) -> list[Effect]:
                if wish != self._wishes[place]:
                    return []
                if policy is not None:
                    return core.loaded(policy.description, now_ns, replica, place)
                told = core.replica_lost if lost else core.load_failed  # noqa: B023
                return told(reason, replica, place)  # noqa: B023

            self.call(tell)
            self._announce()
            if not lost:
                return ReplicaWorker(policy, self._log) if policy is not None else None
            with self._condition:
                if self._condition.wait_for(lambda: self._is_over(place, wish), LOST_RETRY_S):
                    return None

    def _is_over(self, place: int, wish: _Wish) -> bool:
        return self._stopping or wish != self._wishes[place]

    def _progress(self, text: str, place: int, wish: _Wish) -> None:
        with self._condition:
            if not self._is_over(place, wish):
                self._core.loading(text, place)

    def _infer(self, worker: ReplicaWorker, batch: _Batch, place: int, replica: int) -> bool:
        """Answer these requests; False where the replica was lost, and another one answers them."""
        try:
            replies = worker.infer(batch.requests)
        except ReplicaLostError as error:
            reason = str(error)
            self.call(lambda core, now: self._hand_over(core, batch, reason, place, replica, now))
            self._announce()
            return False
        self.call(lambda core, now: core.finished(replies, now, replica, place))
        return True

    def _hand_over(
        self, core: PolicyServer, batch: _Batch, reason: str, place: int, replica: int, now_ns: int
    ) -> list[Effect]:
        """What a lost replica had in hand goes to another one, once; else each robot is told to ask again."""
        effects = core.replica_lost(reason, replica, place)
        left = core.replicas(place)
        given_up = [] if left and not batch.was_handed_over else [batch]
        if not given_up:
            self._orphans[place].append(replace(batch, was_handed_over=True))
        if not left:
            given_up += self._orphans.pop(place, ())
        replies = [ask_again(prepared, reason) for one in given_up for prepared in one.requests]
        return effects + core.finished(replies, now_ns, replica, place)
