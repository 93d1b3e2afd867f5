# SPDX-License-Identifier: Apache-2.0
"""The threads of the server: one that loads and infers, a few that decode, and the lock around the core."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, cast

import cv2
from so101_node.log_lines import LogLevel, LogLine

from so101_policy_server.core.aspect import find_distortion
from so101_policy_server.core.clock import NS_PER_S
from so101_policy_server.core.effects import Effect, LoadPolicy
from so101_policy_server.core.image import ImageDecodeError
from so101_policy_server.core.intake import DecodeFrame
from so101_policy_server.core.prepared_request import PreparedRequest
from so101_policy_server.core.request import ServedChunk, SessionKey
from so101_policy_server.core.served_sessions import ServedSessions
from so101_policy_server.core.server import PolicyServer
from so101_policy_server.core.status_report import StatusReport
from so101_policy_server.errors import one_line
from so101_policy_server.inference.image_decode import decode_image, frame_size
from so101_policy_server.inference.infer_chunk import failed_chunk, infer_batch, infer_chunk
from so101_policy_server.inference.raw_image import decode_raw
from so101_policy_server.policy import (
    BatchingPolicy,
    Loader,
    Policy,
    PolicyLoadError,
    PolicyNotReadyError,
    PolicySource,
)

DECODE_THREADS: Final = 4
"""One per camera of a usual arm and one to spare; decoding releases the interpreter."""

CoreCall = Callable[[PolicyServer, int], list[Effect]]
"""A call of the core, given the core and the server's monotonic time, ns."""


class InferenceThread:
    """Runs the core's effects.

    Loading and inference happen on one thread, so a policy is only ever touched by the thread that made it.

    Args:
        core: the decisions; only ever called with this object's lock held.
        loader: loads a policy; imports what it needs when it is called.
        publish: sends a chunk; called from any thread.
        log: writes a line; called from any thread.
        announce: tells the robots the state; called when loading has ended.
    """

    def __init__(
        self,
        core: PolicyServer,
        loader: Loader,
        publish: Callable[[ServedChunk], None],
        log: Callable[[LogLine], None],
        announce: Callable[[], None],
    ) -> None:
        self._core = core
        self._loader = loader
        self._publish = publish
        self._log = log
        self._announce = announce
        self._condition = threading.Condition()
        self._to_load: PolicySource | None = None
        self._stopping = False
        self._policy: Policy | None = None
        self._session: SessionKey | None = None
        self._sessions = ServedSessions()
        # Frames are the unit of parallelism; OpenCV's own threads on top would only take turns with the policy's.
        cv2.setNumThreads(1)
        self._decoders = ThreadPoolExecutor(DECODE_THREADS, thread_name_prefix="decode")
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    def start(self) -> None:
        """Start the thread and let the core begin with its policy."""
        self._thread.start()
        self.call(lambda core, _now: core.start())

    def stop(self, timeout_s: float) -> bool:
        """Ask the threads to end; False when a load or an inference, which cannot be broken off, outlasts the time."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        self._decoders.shutdown(wait=False, cancel_futures=True)
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def call(self, call: CoreCall) -> None:
        """Call the core under its lock and do what it asks for."""
        with self._condition:
            effects = call(self._core, time.monotonic_ns())
            for effect in effects:
                if isinstance(effect, LoadPolicy):
                    self._to_load = effect.source
            self._condition.notify_all()
        self._perform(effects)

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
                self._decoders.submit(self._decode, effect)

    def _decode(self, wanted: DecodeFrame) -> None:
        frame, need = wanted.frame, wanted.need
        height, width = (None, None) if need.native else (need.height, need.width)
        try:
            given = frame_size(frame.data, frame.format) if frame.raw is None else (frame.raw.height, frame.raw.width)
            if frame.raw is not None:
                pixels = decode_raw(frame.data, frame.raw, height, width)
            else:
                pixels = decode_image(frame.data, frame.format, height, width)
        except ImageDecodeError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - else the request would wait for this frame forever
            reason = f"{type(error).__name__}: {one_line(error)}"
        else:
            distortion = find_distortion(need, *given)
            self.call(lambda core, now: core.decoded(frame, pixels, now, distortion))
            return
        self.call(lambda core, _now: core.not_decoded(frame, reason))

    def _run(self) -> None:
        while True:
            source, batch = self._next()
            if source is not None:
                self._load(source)
            elif batch:
                self._infer(batch)
            else:
                return

    def _next(self) -> tuple[PolicySource | None, list[PreparedRequest]]:
        """Wait for what is to be done next: a policy to load or requests to answer; neither when the thread ends."""
        with self._condition:
            while not self._stopping:
                if self._to_load is not None:
                    source, self._to_load = self._to_load, None
                    return source, []
                now_ns = time.monotonic_ns()
                wait_ns = self._core.batch_wait_ns(now_ns)
                if wait_ns == 0:
                    return None, self._core.take(now_ns)
                self._condition.wait(None if wait_ns is None else wait_ns / NS_PER_S)
            return None, []

    def _load(self, source: PolicySource) -> None:
        self._policy = None  # its memory is needed for the next
        try:
            policy = self._loader(source, self._progress)
        except PolicyLoadError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - the thread must outlive whatever a policy's code raises
            reason = f"{source.label}: {type(error).__name__}: {one_line(error)}"
        else:
            self._policy, self._session, reason = policy, None, ""
            self._sessions.clear()
        # A newer policy may be wanted by now; then this one's fate is of no interest.
        if reason:
            self.call(lambda core, _now: [] if self._to_load else core.load_failed(reason))
        else:
            self.call(lambda core, now: [] if self._to_load else core.loaded(policy.description, now))
        self._announce()

    def _progress(self, text: str) -> None:
        with self._condition:
            self._core.loading(text)

    def _infer(self, batch: list[PreparedRequest]) -> None:
        assert self._policy is not None  # the core hands out jobs only after `loaded`
        replies = self._alone(self._policy, batch[0]) if len(batch) == 1 else self._together(self._policy, batch)
        self.call(lambda core, now: core.finished(replies, now))

    def _alone(self, policy: Policy, prepared: PreparedRequest) -> list[ServedChunk]:
        try:
            self._begin_sessions(policy, [prepared])
            return [infer_chunk(policy, prepared)]
        except Exception as error:  # noqa: BLE001 - the thread must outlive whatever a policy's code raises
            text = f"{type(error).__name__}: {one_line(error)}"
            self._log(LogLine(LogLevel.ERROR, text))
            return [failed_chunk(prepared, text)]

    def _together(self, policy: Policy, batch: list[PreparedRequest]) -> list[ServedChunk]:
        """Infer in one pass; where that fails each alone: what the policy cannot bear fails only its own robot."""
        try:
            self._begin_sessions(policy, batch)
            return infer_batch(cast(BatchingPolicy, policy), batch)
        except PolicyNotReadyError:
            pass
        except Exception as error:  # noqa: BLE001 - as above
            text = f"a pass for {len(batch)} robots failed, each is served alone: {type(error).__name__}"
            self._log(LogLine(LogLevel.WARNING, f"{text}: {one_line(error)}"))
        return [reply for prepared in batch for reply in self._alone(policy, prepared)]

    def _begin_sessions(self, policy: Policy, batch: list[PreparedRequest]) -> None:
        """What a policy remembers of one session is nothing to another."""
        sessions = [prepared.complete.request.key.session for prepared in batch]
        if policy.description.batches:
            for over in self._sessions.serve(sessions):
                cast(BatchingPolicy, policy).forget(over.label)
        elif sessions[-1] != self._session:
            policy.reset()
            self._session = sessions[-1]
