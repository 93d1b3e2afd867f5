# SPDX-License-Identifier: Apache-2.0
"""Requests of a bag, each with the frames that were sent for it and its chunk."""

from collections.abc import Iterator
from dataclasses import dataclass

from so101_msgs.msg import ActionChunk, ObservationImage, ObservationRequest

from so101_bag.storage.reader import Bag, Received

REQUEST = ("observation_request", "so101_msgs/msg/ObservationRequest")
FRAMES = ("*/observation", "so101_msgs/msg/ObservationImage")
CHUNK = ("action_chunk", "so101_msgs/msg/ActionChunk")
SPEC = ("policy_spec", "so101_msgs/msg/PolicySpec")
STATUS = ("policy_status", "so101_msgs/msg/PolicyStatus")

_REMEMBERED = 64  # requests: one that never got a chunk must not stay forever
Key = tuple[int, int]
"""Session and request id."""


@dataclass(slots=True)
class Exchange:
    """One request and its chunk as recorded.

    Attributes:
        request: the request, and as it was serialized.
        spec: serialized PolicySpec in force.
        spec_id: its id.
        frames: camera topic -> its serialized frames.
        chunk: the recorded chunk, status OK.
        round_trip_s: from the request's reception by the recorder to the chunk's.
    """

    request: ObservationRequest
    request_serialized: bytes
    spec: bytes
    spec_id: int
    frames: dict[str, list[bytes]]
    chunk: ActionChunk
    round_trip_s: float


def exchanges(bag: Bag) -> Iterator[Exchange]:
    """Give the requests of a bag that got a chunk, in the order of their chunks.

    A recorder hears each topic apart: a frame may stand in the bag before its request, and the second copy of a request
    after its chunk.

    Raises:
        BagError: a topic is missing, or of another version.
    """
    purpose = "--to policy_server"
    request = bag.require(*REQUEST, purpose)
    spec = bag.require(*SPEC, purpose)
    chunk = bag.require(*CHUNK, purpose)
    bag.require(*FRAMES, purpose)
    requests: dict[Key, Received] = {}
    frames: dict[Key, dict[str, list[bytes]]] = {}
    done: dict[Key, None] = {}
    newest_spec: Received | None = None
    for received in bag.messages([request, spec, chunk, *bag.find(*FRAMES)]):
        message = received.message
        if received.topic == spec.name:
            newest_spec = received
            continue
        key = (message.session, message.request_id)
        if key in done:
            continue
        if received.topic == request.name:
            requests.setdefault(key, received)
        elif isinstance(message, ObservationImage):
            frames.setdefault(key, {}).setdefault(received.topic, []).append(received.serialized)
        elif message.status == ActionChunk.OK and key in requests and newest_spec is not None:
            done[key] = None
            asked = requests.pop(key)
            yield Exchange(
                request=asked.message,
                request_serialized=asked.serialized,
                spec=newest_spec.serialized,
                spec_id=newest_spec.message.spec_id,
                frames=frames.pop(key, {}),
                chunk=message,
                round_trip_s=(received.time_ns - asked.time_ns) / 1e9,
            )
        for remembered in (requests, frames, done):
            while len(remembered) > _REMEMBERED:
                del remembered[next(iter(remembered))]
