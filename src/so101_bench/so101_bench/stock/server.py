# SPDX-License-Identifier: Apache-2.0
"""LeRobot's stock policy server with a stop-watch: `... server TRACE MIN_S FOLDER [LEROBOT'S OWN ARGUMENTS]`.

`lerobot.async_inference.policy_server.serve` runs as it is. Only the policy that it loads is made to take at
least MIN_S seconds, and three of its methods are timed from outside.
"""

import functools
import os
import sys
import time
from pathlib import Path
from typing import Any

trace_file, min_inference_s, folder = Path(sys.argv[1]).absolute(), float(sys.argv[2]), sys.argv[3]
os.chdir(folder)  # LeRobot writes logs/ where it stands, already when it is imported

import lerobot.async_inference.policy_server as stock  # noqa: E402
from lerobot.async_inference.helpers import TimedAction, TimedObservation  # noqa: E402

from so101_bench.trace import TraceWriter  # noqa: E402


class TimedServer(stock.PolicyServer):  # type: ignore[misc]
    """The stock server; every method ends in the stock one."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._trace = TraceWriter(trace_file)
        self._received_ns: dict[float, int] = {}
        self._predicted: float | None = None
        self._inference_s = 0.0

    def SendPolicyInstructions(self, request: Any, context: Any) -> Any:
        """Load the policy, then put the stop-watch around it."""
        reply = super().SendPolicyInstructions(request, context)
        predict = self.policy.predict_action_chunk

        @functools.wraps(predict)
        def timed(*args: Any, **kwargs: Any) -> Any:
            began_s = time.monotonic()
            chunk = predict(*args, **kwargs)
            time.sleep(max(0.0, min_inference_s - (time.monotonic() - began_s)))
            self._inference_s = time.monotonic() - began_s
            return chunk

        self.policy.predict_action_chunk = timed
        return reply

    def _enqueue_observation(self, obs: TimedObservation) -> bool:
        self._received_ns[obs.get_timestamp()] = time.monotonic_ns()
        return bool(super()._enqueue_observation(obs))

    def _predict_action_chunk(self, observation_t: TimedObservation) -> list[TimedAction]:
        chunk: list[TimedAction] = super()._predict_action_chunk(observation_t)
        self._predicted = observation_t.get_timestamp()
        return chunk

    def GetActions(self, request: Any, context: Any) -> Any:
        """Reply, then note how long it took."""
        reply = super().GetActions(request, context)
        key, self._predicted = self._predicted, None
        if key is not None:
            total_s = (time.monotonic_ns() - self._received_ns[key]) * 1e-9
            self._trace.computed(key, self._inference_s, total_s)
        return reply


def main() -> None:
    """Serve until told to stop."""
    sys.argv = ["policy_server", *sys.argv[4:]]
    stock.PolicyServer = TimedServer
    TraceWriter(trace_file).mark("ready", time.monotonic_ns())
    stock.serve()


if __name__ == "__main__":
    main()
