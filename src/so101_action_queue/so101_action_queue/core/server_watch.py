# SPDX-License-Identifier: Apache-2.0
"""Which policy server the queue obeys, and whether it lives.

Life is judged from heartbeats alone: a slow chunk is not a dead server.
"""

from dataclasses import dataclass, replace
from enum import Enum

from so101_node.log_lines import LogLevel
from so101_node.protocol import PolicyState

from so101_action_queue.core import causes
from so101_action_queue.core.aggregation import AGGREGATIONS
from so101_action_queue.core.causes import NO_REASON, Reason
from so101_action_queue.core.inputs import ServerReport
from so101_action_queue.core.settings import QueueSettings

REMEMBERED = 8  # servers; more than any network has
LATELY_S = 5.0  # a server silent for longer is none to start with, however patient server_lost_s is meant to be


class ServerEvent(Enum):
    """A change that the queue must act on."""

    BOUND = "bound"
    READY = "ready again"
    NOT_READY = "not ready"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class _Heard:
    report: ServerReport
    at_ns: int


class ServerWatch:
    """Binds to a READY server, the first of the wanted names, and to another only after its loss or goodbye."""

    def __init__(self) -> None:
        self._heard: dict[int, _Heard] = {}
        self.bound_id = 0
        self.connected = False
        self.lost = False
        self.loss = NO_REASON  # why the bound server was lost last
        self.ready = False

    @property
    def bound(self) -> ServerReport | None:
        """The bound server's newest heartbeat; None before the first binding."""
        heard = self._heard.get(self.bound_id)
        return heard.report if heard else None

    @property
    def spokesman(self) -> ServerReport | None:
        """The newest heartbeat of the bound server, or where none is bound, of the one heard last that has a policy."""
        if self.bound_id and not self.lost:
            return self.bound
        heard = [one for one in self._heard.values() if one.report.horizon > 0 and not one.report.leaving]
        return max(heard, key=lambda one: one.at_ns).report if heard else None

    def hear(self, now_ns: int, report: ServerReport, settings: QueueSettings) -> bool:
        """Take in a heartbeat; return whether its sender is one of the wanted servers."""
        if settings.servers and report.server_name not in settings.servers:
            return False
        self.connected = True
        if report.server_id not in self._heard and len(self._heard) >= REMEMBERED:
            others = [known for known in self._heard if known != self.bound_id]
            del self._heard[min(others, key=lambda known: self._heard[known].at_ns)]
        self._heard[report.server_id] = _Heard(report, now_ns)
        return True

    def judge(self, now_ns: int, spec_id: int, settings: QueueSettings) -> list[ServerEvent]:
        """Return what changed until `now_ns`; `spec_id` is the one that READY must speak of."""
        events = []
        if self.bound_id and not self.lost and not self._is_alive(self._heard[self.bound_id], now_ns, settings):
            self.lost = True
            self.ready = False
            self.loss = self._why_lost(settings)
            events.append(ServerEvent.LOST)
        if not self.bound_id or self.lost:
            found = self._first_ready(now_ns, spec_id, settings)
            if found is None:
                return events
            self.bound_id, self.lost, self.ready = found, False, True
            return [*events, ServerEvent.BOUND]
        ready = self._is_ready(self._heard[self.bound_id], spec_id)
        if ready != self.ready:
            self.ready = ready
            events.append(ServerEvent.READY if ready else ServerEvent.NOT_READY)
        return events

    def excuse(self, now_ns: int, held_up_ns: int) -> None:
        """The queue itself could not hear for that long: no server is lost for that."""
        for server_id, heard in self._heard.items():
            self._heard[server_id] = replace(heard, at_ns=min(now_ns, heard.at_ns + held_up_ns))

    def rivals(self, now_ns: int, settings: QueueSettings) -> list[str]:
        """Return the names of live servers that are not wanted besides the bound one; "" is a name like any other."""
        bound = self.bound
        if bound is None or self.lost:
            return []
        others = [heard for server_id, heard in self._heard.items() if server_id != self.bound_id]
        if settings.hedge:
            others = [heard for heard in others if _policy_of(heard.report) != _policy_of(bound)]
        return sorted(heard.report.server_name for heard in others if self._is_alive(heard, now_ns, settings))

    def second(self, now_ns: int, spec_id: int, settings: QueueSettings) -> ServerReport | None:
        """Return the next server that could answer in place of the bound one: READY, of the same policy; or None."""
        bound = self.bound
        if bound is None or self.lost:
            return None
        for server_id in self._by_preference(settings):
            heard = self._heard[server_id]
            usable = self._is_alive(heard, now_ns, settings) and self._is_ready(heard, spec_id)
            if usable and server_id != self.bound_id and _policy_of(heard.report) == _policy_of(bound):
                return heard.report
        return None

    def explain(self, now_ns: int, spec_id: int, settings: QueueSettings) -> Reason:
        """Return why nothing can be requested, or NO_REASON when the bound server is READY."""
        if self.ready:
            return NO_REASON
        alive = [heard.report for heard in self._heard.values() if self._is_alive(heard, now_ns, settings)]
        if self.bound_id and not self.lost:
            alive = [heard.report for server_id, heard in self._heard.items() if server_id == self.bound_id]
        if not alive:
            wanted = f" ({', '.join(settings.servers)})" if settings.servers else ""
            return self.loss if self.lost else Reason(causes.NO_SERVER, f"no policy server heard{wanted}")
        report = alive[0]
        if report.state == PolicyState.READY and report.spec_id != spec_id:
            text = f"server {report.server_name} has not taken up our policy_spec yet"
            return Reason(causes.SERVER_NOT_READY, text)
        try:
            state = PolicyState(report.state).name
        except ValueError:
            state = f"state {report.state}"
        text = f"server {report.server_name} is {state}" + (f": {report.message}" if report.message else "")
        rejected = report.state == PolicyState.ERROR and report.cause == causes.SPEC_REJECTED
        return Reason(causes.SPEC_REJECTED if rejected else causes.SERVER_NOT_READY, text)

    def missing(self, now_ns: int, spec_id: int, settings: QueueSettings) -> str:
        """Return why no server can answer a first request yet, "" where one is READY, bound or about to be."""
        if self.ready or self._first_ready(now_ns, spec_id, settings) is not None:
            return ""
        return self.explain(now_ns, spec_id, settings).text

    def obstacle(self, now_ns: int, spec_id: int, settings: QueueSettings) -> Reason:
        """Return why the server cannot answer a request now, or NO_REASON."""
        if not self.ready or self.bound is None:
            return self.explain(now_ns, spec_id, settings)
        name = settings.aggregate_fn_name
        if AGGREGATIONS[name].sends_leftover and not self.bound.supports_rtc:
            text = f"aggregate_fn_name {name}: the server's policy cannot continue a chunk"
            return Reason(causes.SPEC_REJECTED, text)
        return NO_REASON

    def connect_failure(self, now_ns: int, created_ns: int, settings: QueueSettings) -> str:
        """Return the line to end with when no server was heard in time, else ""."""
        timeout_s = settings.connect_timeout_s
        if self.connected or timeout_s <= 0.0 or now_ns - created_ns < timeout_s * 1e9:
            return ""
        wanted = f" of the names {', '.join(settings.servers)}" if settings.servers else ""
        return (
            f"Failed to connect to policy server: no heartbeat{wanted} on policy_status within {timeout_s:g} s "
            "(connect_timeout_s); is policy_server running, in this ROS_DOMAIN_ID and namespace?"
        )

    def greeting(self, settings: QueueSettings) -> list[tuple[str, LogLevel, str]]:
        """Return lines for the log (kind, level, text) about the bound server that is READY for us."""
        server = self.bound
        if server is None:
            return []
        lines = [("ready", LogLevel.INFO, f"Connected to policy server {server.server_name}: READY")]
        if 0 < server.horizon < settings.actions_per_chunk:
            text = (
                f"the policy on {server.server_name} predicts {server.horizon} rows at most: chunks will be shorter "
                f"than actions_per_chunk = {settings.actions_per_chunk}"
            )
            lines.append(("horizon", LogLevel.WARNING, text))
        return lines

    def any_heard_lately(self, now_ns: int) -> bool:
        """Whether one of the wanted servers, READY or not, is there to begin with."""
        return any(not one.report.leaving and now_ns - one.at_ns <= LATELY_S * 1e9 for one in self._heard.values())

    def _why_lost(self, settings: QueueSettings) -> Reason:
        if self.bound and self.bound.leaving:
            return Reason(causes.SERVER_LEFT, f"server {self.bound.server_name} said goodbye")
        return Reason(causes.SERVER_LOST, f"server lost: no heartbeat for {settings.server_lost_s:g} s")

    def _first_ready(self, now_ns: int, spec_id: int, settings: QueueSettings) -> int | None:
        for server_id in self._by_preference(settings):
            heard = self._heard[server_id]
            if self._is_alive(heard, now_ns, settings) and self._is_ready(heard, spec_id):
                return server_id
        return None

    def _by_preference(self, settings: QueueSettings) -> list[int]:
        """Return the servers in the order of `servers`; those of one name, or all where it is empty, as heard."""
        rank = {name: index for index, name in enumerate(settings.servers)}
        return sorted(self._heard, key=lambda known: rank.get(self._heard[known].report.server_name, len(rank)))

    @staticmethod
    def _is_alive(heard: _Heard, now_ns: int, settings: QueueSettings) -> bool:
        return not heard.report.leaving and now_ns - heard.at_ns <= settings.server_lost_s * 1e9

    @staticmethod
    def _is_ready(heard: _Heard, spec_id: int) -> bool:
        return heard.report.state == PolicyState.READY and heard.report.spec_id == spec_id


def _policy_of(report: ServerReport) -> tuple[str, int, bool, int]:
    """Return what must be equal for two servers to continue each other's chunks."""
    return report.fingerprint, report.horizon, report.supports_rtc, report.n_obs_steps
