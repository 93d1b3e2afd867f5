# SPDX-License-Identifier: Apache-2.0
"""Requests whose chunks have not come yet, and for how long each is waited for."""

import math
from collections import OrderedDict
from collections.abc import Iterable

from so101_action_queue.core.decisions import OpenRequest
from so101_action_queue.core.request_rules import RoundTrips
from so101_action_queue.core.settings import QueueSettings

UNHEARD_PATIENCE_S = 0.2  # with a server that never answered yet, which may not hear us or the cameras yet
UNHEARD_PATIENCE_GROWTH = 1.5


class RequestsUnderWay:
    """Requests in the order of their ids, and the patience with the server that they went to."""

    def __init__(self) -> None:
        self._requests: OrderedDict[int, OpenRequest] = OrderedDict()
        self._busy_heard_ns = 0
        self._unheard_patience_s = UNHEARD_PATIENCE_S

    def __len__(self) -> int:
        return len(self._requests)

    @property
    def oldest(self) -> OpenRequest | None:
        """The one that was sent first."""
        return next(iter(self._requests.values()), None)

    @property
    def has_hedge(self) -> bool:
        """Whether one of them went to a second server."""
        return any(request.is_hedge for request in self._requests.values())

    @property
    def waits_for_bound(self) -> bool:
        """Whether one of them went to the bound server."""
        return any(not request.is_hedge for request in self._requests.values())

    def new_server(self) -> None:
        """Another server, or the same one after a restart: what is sent while DDS still connects to it may be lost."""
        self._unheard_patience_s = UNHEARD_PATIENCE_S

    def server_is_busy_with_us(self, now_ns: int) -> None:
        """A heartbeat said that the server works on one of them."""
        self._busy_heard_ns = now_ns
        self._unheard_patience_s = math.inf

    def overdue(self, now_ns: int, round_trips: RoundTrips, settings: QueueSettings) -> list[OpenRequest]:
        """Return those that were waited for long enough.

        That is max(request_timeout_s, 2 x p95), counted from the last heartbeat that says busy with ours, and
        `busy_timeout_s` whatever the server says. With a server that gave no sign of any request yet it is 0.2 s, then
        0.3 s and so on up to request_timeout_s.
        """
        patience_s = min(settings.request_timeout_s, self._unheard_patience_s)
        if not math.isnan(round_trips.p95_s):
            patience_s = max(patience_s, 2.0 * round_trips.p95_s)
        return [
            request
            for request in self._requests.values()
            if now_ns - request.sent_ns > settings.busy_timeout_s * 1e9
            or now_ns - max(request.sent_ns, self._busy_heard_ns) > patience_s * 1e9
        ]

    def add(self, request: OpenRequest, overdue: Iterable[OpenRequest], capacity: int) -> None:
        """Take in the newest. Given up for it are those overdue, and the oldest beyond `capacity`."""
        given_up = {one.request_id for one in overdue}
        kept = [request_id for request_id in self._requests if request_id not in given_up]
        given_up.update(kept[: max(0, len(kept) + 1 - capacity)])
        for request_id in given_up:
            del self._requests[request_id]
        if given_up:
            self._unheard_patience_s *= UNHEARD_PATIENCE_GROWTH
        self._requests[request.request_id] = request

    def accepted(self, request_id: int) -> None:
        """A chunk was accepted: neither it nor any older one is waited for."""
        self._unheard_patience_s = math.inf
        for older in [known for known in self._requests if known <= request_id]:
            del self._requests[older]

    def answered(self, request_id: int) -> bool:
        """Something else came for one of them; return whether it was still waited for."""
        if self._requests.pop(request_id, None) is None:
            return False  # SUPERSEDED, for one: no sign yet that the newest came through
        self._unheard_patience_s = math.inf
        return True

    def clear(self) -> None:
        """Wait for none of them any more."""
        self._requests.clear()
