# SPDX-License-Identifier: Apache-2.0
"""What runs in a process of Ray: one policy, called as in the server's own process.

Its answers are values, errors too: what another process raised cannot be relied upon to be raised here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from so101_policy_server.errors import one_line
from so101_policy_server.inference.policy_libraries import find_loader
from so101_policy_server.policy import (
    BatchingPolicy,
    Leftover,
    Observation,
    PolicyError,
    PolicyLoadError,
    PolicyNotReadyError,
    PolicySource,
)


@dataclass(frozen=True, slots=True)
class CallResult:
    """What a call gave: a value, or the name of an error and its text, one line."""

    value: Any = None
    error: str = ""
    text: str = ""


class PolicyActor:
    """A policy of one library. Made and called by Ray, one call at a time."""

    def __init__(self) -> None:
        self._policy: BatchingPolicy | None = None

    def load(self, library: str, source: PolicySource) -> CallResult:
        """Load it; its value is the PolicyDescription."""

        def loaded() -> Any:
            self._policy = cast(BatchingPolicy, find_loader(library)(source, lambda _text: None))
            return self._policy.description

        return _result_of(loaded)

    def infer(self, observation: Observation, leftover: Leftover | None) -> CallResult:
        """Its value is the Prediction."""
        return _result_of(lambda: self._loaded().infer(observation, leftover))

    def infer_batch(self, observations: Sequence[Observation], leftovers: Sequence[Leftover | None]) -> CallResult:
        """Its value is the list of Predictions."""
        return _result_of(lambda: list(self._loaded().infer_batch(observations, leftovers)))

    def reset(self) -> None:
        """Forget everything."""
        self._loaded().reset()

    def forget(self, session: str) -> None:
        """Forget a session."""
        self._loaded().forget(session)

    def _loaded(self) -> BatchingPolicy:
        assert self._policy is not None
        return self._policy


def _result_of(call: Callable[[], Any]) -> CallResult:
    try:
        return CallResult(call())
    except (PolicyLoadError, PolicyNotReadyError) as error:
        return CallResult(error=type(error).__name__, text=str(error))
    except PolicyError as error:
        return CallResult(error=PolicyError.__name__, text=str(error))
    except Exception as error:  # noqa: BLE001 - a policy is other people's code
        return CallResult(error=type(error).__name__, text=f"{type(error).__name__}: {one_line(error)}")
