# SPDX-License-Identifier: Apache-2.0
"""The simulator's state in a memory-mapped file, for the processes that render and judge.

One writer, any number of readers, no locks: the counter `seq` is odd while the writer is at work, and a reader that
saw it odd, or changed, reads again (a seqlock). Layout, little-endian:

    u64 seq · f64 sim_time_s · u64 monotonic_ns · u64 scene_seed · u64 scene_count · u32 nq · u32 nv
    · f64 qpos[64] · f64 qvel[64]
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from so101_sim.errors import SimulationError

CAPACITY: Final = 64
"""Largest nq and nv."""

_HEAD: Final = struct.Struct("<dQQQII")  # all but seq
_SEQ: Final = struct.Struct("<Q")
_QPOS_AT: Final = _SEQ.size + _HEAD.size
_QVEL_AT: Final = _QPOS_AT + 8 * CAPACITY
SIZE: Final = _QVEL_AT + 8 * CAPACITY
_SPINS: Final = 100
_PAUSE_S: Final = 0.001  # the writer was preempted at work; it runs niced
_TRIES: Final = _SPINS + 1000


class SharedStateError(SimulationError):
    """The state file is missing, in use, not a state file, or was left half-written."""


@dataclass(frozen=True, slots=True)
class StateSnapshot:
    """One consistent state. qpos: (nq,), qvel: (nv,), MuJoCo units; monotonic_ns: this host's clock when written."""

    sim_time_s: float
    monotonic_ns: int
    scene_seed: int
    scene_count: int
    qpos: NDArray[np.float64]
    qvel: NDArray[np.float64]


class SharedState:
    """The file from either side: `create` for the one that writes, `open` for those that read."""

    def __init__(self, fd: int, *, writable: bool) -> None:
        """Takes over `fd`, a file of SIZE bytes."""
        self._fd = fd
        self._map = mmap.mmap(fd, SIZE, prot=mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0))
        self._writable = writable

    @classmethod
    def create(cls, path: Path) -> Self:
        """Opens `path` for writing and claims it. Readers of an earlier run see the new one: the file is kept.

        SharedStateError if another live process writes it.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise SharedStateError(f"{path}: a live process writes it; stop it or choose another folder") from None
        os.ftruncate(fd, SIZE)
        return cls(fd, writable=True)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens `path` for reading. SharedStateError if no virtual arm has been there."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SharedStateError(f"{path}: {error.strerror}; start virtual_arm with this folder first") from error
        if os.fstat(fd).st_size != SIZE:
            os.close(fd)
            raise SharedStateError(f"{path}: not a state file of this version; restart virtual_arm")
        return cls(fd, writable=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file; harmless when done twice."""
        if self._fd >= 0:
            self._map.close()
            os.close(self._fd)
            self._fd = -1

    def write(self, state: StateSnapshot) -> None:
        """Publishes `state`. ValueError if it does not fit."""
        nq, nv = len(state.qpos), len(state.qvel)
        if max(nq, nv) > CAPACITY:
            raise ValueError(f"nq {nq}, nv {nv}: at most {CAPACITY}")
        if not self._writable:
            raise ValueError("opened for reading")
        seq = self._seq() + 1
        seq += 1 - seq % 2  # it was odd already: an earlier writer was killed at work
        _SEQ.pack_into(self._map, 0, seq)
        head = (state.sim_time_s, state.monotonic_ns, state.scene_seed, state.scene_count, nq, nv)
        _HEAD.pack_into(self._map, _SEQ.size, *head)
        self._map[_QPOS_AT : _QPOS_AT + 8 * nq] = np.ascontiguousarray(state.qpos, "<f8").tobytes()
        self._map[_QVEL_AT : _QVEL_AT + 8 * nv] = np.ascontiguousarray(state.qvel, "<f8").tobytes()
        _SEQ.pack_into(self._map, 0, seq + 1)

    def read(self) -> StateSnapshot | None:
        """The newest state, copied; None if nothing was written yet. SharedStateError if the writer died at work."""
        for attempt in range(_TRIES):
            before = self._seq()
            if before % 2 == 0:
                copy = self._map[:]
                if self._seq() == before:
                    return _unpack(copy) if before else None
            if attempt >= _SPINS:
                time.sleep(_PAUSE_S)
        raise SharedStateError("state: half-written; virtual_arm was killed while writing, restart it")

    def _seq(self) -> int:
        value: int = _SEQ.unpack_from(self._map, 0)[0]
        return value


def _unpack(copy: bytes) -> StateSnapshot:
    time_s, monotonic_ns, seed, count, nq, nv = _HEAD.unpack_from(copy, _SEQ.size)
    qpos = np.frombuffer(copy, "<f8", nq, _QPOS_AT).astype(np.float64)
    qvel = np.frombuffer(copy, "<f8", nv, _QVEL_AT).astype(np.float64)
    return StateSnapshot(time_s, monotonic_ns, seed, count, qpos, qvel)
