# SPDX-License-Identifier: Apache-2.0
"""Loading a policy while others infer: what torch and its libraries change for the whole process must not reach them.

Part of the adaptor to LeRobot. transformers builds a model under another default dtype, which torch has once for all
threads: a pass of another policy meanwhile would make its tensors in bfloat16, and its chunk would be another one.
Building takes seconds, so a pass does not wait for the end of it: after a slice of `BUILD_S` the thread that builds
stops at its next call of a Python function, the default dtype is what it was while the pass runs, and then the building
goes on.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import torch

BUILD_S: Final = 0.05
"""As long as a pass waits at most, but for a call within torch that takes longer. Else passes that follow each other
without a pause would leave the building one call between two of them."""


class _DefaultDtype:
    """Either any number of passes, or one thread that has changed the default dtype."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._passes: Counter[int] = Counter()  # of each thread
        self._waiting = 0
        self._changed_by: int | None = None

    @property
    def others_pass(self) -> bool:
        """Whether another thread than this one has ever passed, as each does before its policy serves anybody."""
        with self._condition:
            return any(thread != threading.get_ident() for thread in self._passes)

    @property
    def is_wanted(self) -> bool:
        """Whether passes wait for it to be what it was."""
        return self._waiting > 0

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """No other thread changes it within this."""
        me = threading.get_ident()
        with self._condition:
            if self._changed_by != me:
                self._waiting += 1
                self._condition.wait_for(lambda: self._changed_by is None)
                self._waiting -= 1
            self._passes[me] += 1
            self._condition.notify_all()
        try:
            yield
        finally:
            with self._condition:
                self._passes[me] -= 1
                self._condition.notify_all()

    def begin_change(self) -> None:
        """Wait until the passes of other threads are over, and let none begin."""
        me = threading.get_ident()  # which may be within a pass: some policies load parts when they first run
        with self._condition:
            self._condition.wait_for(lambda: self._changed_by == me or not self._waiting)
            self._changed_by = me
            self._condition.wait_for(lambda: self._passes.total() == self._passes[me])

    def end_change(self) -> None:
        """It is what it was: passes go on."""
        with self._condition:
            if self._changed_by == threading.get_ident():
                self._changed_by = None
                self._condition.notify_all()


_DTYPE = _DefaultDtype()
_ONE_LOAD = threading.Lock()

a_pass = _DTYPE.unchanged
"""Around a forward pass: it waits while a policy that is being loaded has another default dtype."""


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Around the loading of a policy: one at a time, and no pass of another one while torch's default dtype differs."""
    with _ONE_LOAD:
        own, home, thread = torch.set_default_dtype, torch.get_default_dtype(), threading.get_ident()
        profile, began = sys.getprofile(), 0.0

        def let_passes_run(*_event: Any) -> None:
            nonlocal began
            if _DTYPE.is_wanted and time.monotonic() - began >= BUILD_S:
                changed = torch.get_default_dtype()
                own(home)
                _DTYPE.end_change()
                _DTYPE.begin_change()
                own(changed)
                began = time.monotonic()

        def set_default_dtype(dtype: torch.dtype) -> None:
            nonlocal began
            if threading.get_ident() != thread:
                own(dtype)
                return
            sys.setprofile(profile)
            if dtype == home:
                own(dtype)
                _DTYPE.end_change()
            else:
                _DTYPE.begin_change()
                own(dtype)
                began = time.monotonic()
                if _DTYPE.others_pass:  # else no pass can wait, and building need not pay for looking
                    sys.setprofile(let_passes_run)  # at each call and return of this thread

        torch.set_default_dtype = set_default_dtype
        try:
            yield
        finally:
            sys.setprofile(profile)
            torch.set_default_dtype = own
            own(home)
            _DTYPE.end_change()
