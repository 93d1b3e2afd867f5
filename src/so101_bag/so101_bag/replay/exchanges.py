# SPDX-License-Identifier: Apache-2.0
"""Requests of a bag, each with the frames that were sent for it and its chunk."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from so101_msgs.msg import ActionChunk, ObservationImage, ObservationRequest

from so101_bag.storage.reader import Bag, Received

REQUEST = ("observation_request", "so101_msgs/msg/ObservationRequest")
FRAMES = ("*/observation", "so101_msgs/msg/ObservationImage")
CHUNK = ("action_chunk", "so101_msgs/msg/ActionChunk")
SPEC = ("policy_spec", "so101_msgs/msg/PolicySpec")
STATUS = ("policy_status", "so101_msgs/msg/PolicyStatus")

_OPEN_AT_MOST = 64  # requests without a chunk that are kept: one that never got a chunk must not stay forever


@dataclass(slots=True)
class Exchange:
    """One request and its chunk as recorded.

    Attributes:
        request: the request.
        spec: serialized PolicySpec in force.
        spec_id: its id.
        frames: camera topic -> its serialized frames.
        chunk: the recorded chunk, status OK.
        round_trip_s: from the request's reception by the recorder to the chunk's.
    """

    request: ObservationRequest
    request_serialized: bytes
    requested_ns: int
    spec: bytes = b""
    spec_id: int = 0
    frames: dict[str, list[bytes]] = field(default_factory=dict)
    chunk: ActionChunk | None = None
    round_trip_s: float = 0.0


def exchanges(bag: Bag) -> Iterator[Exchange]:
    """Give the requests of a bag that got a chunk, in the order of their chunks.

    Raises:
        BagError: a topic is missing, or of another version.
    """
    purpose = "--to policy_server"
    request = bag.require(*REQUEST, purpose)
    spec = bag.require(*SPEC, purpose)
    chunk = bag.require(*CHUNK, purpose)
    bag.require(*FRAMES, purpose)
    frames = bag.find(*FRAMES)
    gathering: dict[tuple[int, int], Exchange] = {}
    newest_spec: Received | None = None
    for received in bag.messages([request, spec, chunk, *frames]):
        message = received.message
        if received.topic == spec.name:
            newest_spec = received
            continue
        key = (message.session, message.request_id)
        if received.topic == request.name:
            if key not in gathering:
                gathering[key] = Exchange(message, received.serialized, received.time_ns)
                while len(gathering) > _OPEN_AT_MOST:
                    del gathering[next(iter(gathering))]
        elif isinstance(message, ObservationImage):
            if key in gathering:
                gathering[key].frames.setdefault(received.topic, []).append(received.serialized)
        elif message.status == ActionChunk.OK and key in gathering and newest_spec is not None:
            done = gathering.pop(key)
            done.chunk, done.round_trip_s = message, (received.time_ns - done.requested_ns) / 1e9
            done.spec, done.spec_id = newest_spec.serialized, newest_spec.message.spec_id
            yield done
