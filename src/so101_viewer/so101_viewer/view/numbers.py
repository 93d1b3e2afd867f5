# SPDX-License-Identifier: Apache-2.0
"""What the robot's messages come to as plain numbers: one flat message for the queue and one for the servos."""

from collections.abc import Sequence

from so101_msgs.msg import ActionChunk, PolicyStatus, QueueNumbers, QueueStatus, ServoNumbers, ServoTelemetry

_FROM_STATUS = (
    "state",
    "length",
    "chunk_size",
    "round_trip_last",
    "round_trip_p50",
    "round_trip_p95",
    "action_age",
    "tick_hz",
    "requests",
    "accepted",
    "errors",
    "timeouts",
    "rows_trimmed",
    "starved_ticks",
    "deadline_misses",
)
_FROM_SERVER = ("inference_p50", "inference_p95")
_FROM_CHUNK = ("mailbox_wait", "wait_frames", "decode", "preprocess", "inference", "postprocess", "server_total")
_FROM_TELEMETRY = ("temperature", "voltage", "current", "load", "tracking_error")


def queue_numbers(
    statuses: Sequence[QueueStatus], server: PolicyStatus | None, chunk: ActionChunk | None
) -> QueueNumbers:
    """Return the newest of `statuses`, which is not empty, with the newest of server and chunk; NaN for what is None.

    Of `tick_error` the largest magnitude among `statuses` is kept, with its sign: a single late tick must not fall
    between two messages.
    """
    newest = statuses[-1]
    numbers = QueueNumbers(header=newest.header, request_at=newest.threshold * newest.chunk_size)
    numbers.tick_error = max((status.tick_error for status in statuses), key=abs)
    numbers.correction = list(newest.correction)
    _copy(newest, numbers, _FROM_STATUS)
    _copy(server, numbers, _FROM_SERVER)
    _copy(chunk, numbers, _FROM_CHUNK)
    return numbers


def servo_numbers(telemetry: ServoTelemetry) -> ServoNumbers:
    """Return the same numbers in unbounded arrays."""
    numbers = ServoNumbers(header=telemetry.header)
    for name in _FROM_TELEMETRY:
        setattr(numbers, name, list(getattr(telemetry, name)))
    _copy(telemetry, numbers, ("bus_errors", "bus_retries"))
    return numbers


def _copy(source: object | None, target: object, names: Sequence[str]) -> None:
    for name in names:
        setattr(target, name, float("nan") if source is None else float(getattr(source, name)))
