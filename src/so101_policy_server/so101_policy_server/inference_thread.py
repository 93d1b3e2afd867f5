"""The threads of the server: one that loads and infers, a few that decode, and the lock around the core."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import cv2

from so101_policy_server.answering import answer_job, error_answer
from so101_policy_server.aspect import find_distortion
from so101_policy_server.effects import Effect, Level, Load, Log
from so101_policy_server.image_decode import ImageDecodeError, decode_image, frame_size
from so101_policy_server.intake import Decode
from so101_policy_server.policy import Loader, Policy, PolicyLoadError, PolicySource
from so101_policy_server.raw_image import decode_raw
from so101_policy_server.request import Answer, SessionKey
from so101_policy_server.server import Job, PolicyServer
from so101_policy_server.status_report import StatusReport

DECODE_THREADS: Final = 4
"""One per camera of a usual arm and one to spare; decoding releases the interpreter."""

Call = Callable[[PolicyServer, int], list[Effect]]
"""A call of the core, given the core and the server's monotonic time, ns."""


class InferenceThread:
    """Runs the core's effects.

    Loading and inference happen on one thread, so a policy is only ever touched by the thread that made it.

    Args:
        core: the decisions; only ever called with this object's lock held.
        loader: loads a policy; imports what it needs when it is called.
        publish: sends an answer; called from any thread.
        log: writes a line; called from any thread.
        announce: tells the robots the state; called when loading has ended.
    """

    def __init__(
        self,
        core: PolicyServer,
        loader: Loader,
        publish: Callable[[Answer], None],
        log: Callable[[Log], None],
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

    def call(self, call: Call) -> None:
        """Call the core under its lock and do what it asks for."""
        with self._condition:
            effects = call(self._core, time.monotonic_ns())
            for effect in effects:
                if isinstance(effect, Load):
                    self._to_load = effect.source
            self._condition.notify_all()
        self._perform(effects)

    def status(self, robot: str) -> StatusReport:
        """What to tell this robot now."""
        with self._condition:
            return self._core.status(robot)

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Log):
                self._log(effect)
            elif self._stopping:
                continue  # the publishers may be gone, and the decoders take nothing more
            elif isinstance(effect, Answer):
                self._publish(effect)
            elif isinstance(effect, Decode):
                self._decoders.submit(self._decode, effect)

    def _decode(self, wanted: Decode) -> None:
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
        except Exception as error:  # noqa: BLE001 - else the request would wait for this frame for ever
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        else:
            distortion = find_distortion(need, *given)
            self.call(lambda core, now: core.decoded(frame, pixels, now, distortion))
            return
        self.call(lambda core, _now: core.not_decoded(frame, reason))

    def _run(self) -> None:
        while True:
            with self._condition:
                job = None
                while not self._stopping and self._to_load is None and job is None:
                    job = self._core.take(time.monotonic_ns())
                    if job is None:
                        self._condition.wait()
                if self._stopping:
                    return
                source, self._to_load = (self._to_load, None) if job is None else (None, self._to_load)
            if source is not None:
                self._load(source)
            elif job is not None:
                self._infer(job)

    def _load(self, source: PolicySource) -> None:
        self._policy = None  # its memory is needed for the next
        try:
            policy = self._loader(source, self._progress)
        except PolicyLoadError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - the thread must outlive whatever a policy's code raises
            reason = f"{source.path}: {type(error).__name__}: {' '.join(str(error).split())}"
        else:
            self._policy, self._session, reason = policy, None, ""
        # A newer policy may be wanted by now; then this one's fate is of no interest.
        if reason:
            self.call(lambda core, _now: [] if self._to_load else core.load_failed(reason))
        else:
            self.call(lambda core, now: [] if self._to_load else core.loaded(policy.description, now))
        self._announce()

    def _progress(self, text: str) -> None:
        with self._condition:
            self._core.loading(text)

    def _infer(self, job: Job) -> None:
        assert self._policy is not None  # the core hands out jobs only after `loaded`
        try:
            self._reset_for(job.complete.request.key.session, self._policy)
            answer = answer_job(self._policy, job)
        except Exception as error:  # noqa: BLE001 - the thread must outlive whatever a policy's code raises
            text = f"{type(error).__name__}: {' '.join(str(error).split())}"
            self._log(Log(Level.ERROR, text))
            answer = error_answer(job, text)
        self.call(lambda core, now: core.finished(answer, now))

    def _reset_for(self, session: SessionKey, policy: Policy) -> None:
        """What a policy remembers of one session is nothing to the next."""
        if session != self._session:
            policy.reset()
            self._session = session
