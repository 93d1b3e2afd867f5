"""Which policy server the queue obeys, and whether it lives.

Life is judged from heartbeats alone: a slow answer is not a dead server.
"""

from dataclasses import dataclass, replace
from enum import Enum

from so101_action_queue import causes
from so101_action_queue.causes import NO_REASON, Reason
from so101_action_queue.inputs import ServerReport, ServerState
from so101_action_queue.settings import Settings

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
    """Binds to the first READY server of the wanted names, and to another only after its loss or goodbye."""

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

    def hear(self, now_ns: int, report: ServerReport, settings: Settings) -> bool:
        """Take in a heartbeat; return whether its sender is one of the wanted servers."""
        if settings.servers and report.server_name not in settings.servers:
            return False
        self.connected = True
        if report.server_id not in self._heard and len(self._heard) >= REMEMBERED:
            others = [known for known in self._heard if known != self.bound_id]
            del self._heard[min(others, key=lambda known: self._heard[known].at_ns)]
        self._heard[report.server_id] = _Heard(report, now_ns)
        return True

    def judge(self, now_ns: int, spec_id: int, settings: Settings) -> list[ServerEvent]:
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

    def rivals(self, now_ns: int, settings: Settings) -> list[str]:
        """Return the names of further live servers besides the bound one; "" is a name like any other."""
        if not self.bound_id or self.lost:
            return []
        others = (heard for server_id, heard in self._heard.items() if server_id != self.bound_id)
        return sorted(heard.report.server_name for heard in others if self._is_alive(heard, now_ns, settings))

    def explain(self, now_ns: int, spec_id: int, settings: Settings) -> Reason:
        """Return why no question can be asked, or NO_REASON when the bound server is READY."""
        if self.ready:
            return NO_REASON
        alive = [heard.report for heard in self._heard.values() if self._is_alive(heard, now_ns, settings)]
        if self.bound_id and not self.lost:
            alive = [heard.report for server_id, heard in self._heard.items() if server_id == self.bound_id]
        if not alive:
            wanted = f" ({', '.join(settings.servers)})" if settings.servers else ""
            return self.loss if self.lost else Reason(causes.NO_SERVER, f"no policy server heard{wanted}")
        report = alive[0]
        if report.state == ServerState.READY and report.spec_id != spec_id:
            text = f"server {report.server_name} has not taken up our policy_spec yet"
            return Reason(causes.SERVER_NOT_READY, text)
        try:
            state = ServerState(report.state).name
        except ValueError:
            state = f"state {report.state}"
        text = f"server {report.server_name} is {state}" + (f": {report.message}" if report.message else "")
        rejected = report.state == ServerState.ERROR and report.cause == causes.SPEC_REJECTED
        return Reason(causes.SPEC_REJECTED if rejected else causes.SERVER_NOT_READY, text)

    def any_heard_lately(self, now_ns: int) -> bool:
        """Whether one of the wanted servers, READY or not, is there to begin with."""
        return any(not one.report.leaving and now_ns - one.at_ns <= LATELY_S * 1e9 for one in self._heard.values())

    def _why_lost(self, settings: Settings) -> Reason:
        if self.bound and self.bound.leaving:
            return Reason(causes.SERVER_LEFT, f"server {self.bound.server_name} said goodbye")
        return Reason(causes.SERVER_LOST, f"server lost: no heartbeat for {settings.server_lost_s:g} s")

    def _first_ready(self, now_ns: int, spec_id: int, settings: Settings) -> int | None:
        for server_id, heard in self._heard.items():
            if self._is_alive(heard, now_ns, settings) and self._is_ready(heard, spec_id):
                return server_id
        return None

    @staticmethod
    def _is_alive(heard: _Heard, now_ns: int, settings: Settings) -> bool:
        return not heard.report.leaving and now_ns - heard.at_ns <= settings.server_lost_s * 1e9

    @staticmethod
    def _is_ready(heard: _Heard, spec_id: int) -> bool:
        return heard.report.state == ServerState.READY and heard.report.spec_id == spec_id
