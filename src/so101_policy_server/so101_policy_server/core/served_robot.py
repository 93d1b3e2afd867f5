# SPDX-License-Identifier: Apache-2.0
"""One robot as the server knows it: what it expects, whether that fits, and when it last asked."""

from __future__ import annotations

from dataclasses import dataclass, replace

from so101_node.log_lines import LogLevel, LogLine
from so101_node.protocol import ReceivedSpec

from so101_policy_server.core.clock import NS_PER_S
from so101_policy_server.core.server_config import ServerConfig
from so101_policy_server.core.spec_check import AcceptedSpec, NoCamerasYetError, SpecMismatchError, check_spec
from so101_policy_server.core.timing import RecentTimes
from so101_policy_server.policy import PolicyDescription, PolicySource


@dataclass(frozen=True, slots=True)
class Successor:
    """The policy that a robot has named while another one serves it.

    Attributes:
        place: where it is, or is being loaded.
        accepted: the spec as it fits that policy; None until that is loaded.
        ready_ns: when it was loaded.
    """

    place: int
    accepted: AcceptedSpec | None = None
    ready_ns: int = 0


class ServedRobot:
    """State of one robot; `name` is its namespace, "" = the server's own.

    `place`: of the policy that serves it, or is to.
    `successor`: the policy that it has named since, which takes over when it is ready.
    `complaint`: why the policy that it has named since does not serve it, one line; "" where it does or is to.
    `lacks`: the cameras that policy reads and its spec does not name.
    `awaits_cameras`: why its spec, which fits, cannot be served yet, one line; "" when it can or does not fit.
    `awaits_policy`: what its spec names may be loaded, and will be once there is room for it.
    `is_announced`: whether somebody publishes its spec; else its queue has ended, or is out of reach.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.received: ReceivedSpec | None = None
        self.accepted: AcceptedSpec | None = None
        self.rejection = ""
        self.awaits_policy = False
        self.awaits_cameras = ""
        self.asked_ns: int | None = None
        self.place = 0
        self.successor: Successor | None = None
        self.complaint = ""
        self.lacks: tuple[str, ...] = ()
        self.is_announced = True
        self.frame_ages = RecentTimes()
        self._ready_session = 0
        self._interval_ns: int | None = None

    def ask(self, now_ns: int) -> None:
        """Note that it asks now."""
        self._interval_ns = None if self.asked_ns is None else now_ns - self.asked_ns
        self.asked_ns = now_ns

    @property
    def next_request_ns(self) -> int | None:
        """When its next request is due, if it asks as regularly as before; None before two of them."""
        if self.asked_ns is None or self._interval_ns is None:
            return None
        return self.asked_ns + self._interval_ns

    def is_about_to_ask(self, now_ns: int, within_ns: int) -> bool:
        """Whether its next request is due, within this time before or after now, if it asks as regularly as before."""
        due_ns = self.next_request_ns
        return due_ns is not None and abs(due_ns - now_ns) <= within_ns

    def take_spec(self, received: ReceivedSpec) -> None:
        """Take in a new spec, which nobody has checked yet."""
        self.received, self.accepted = received, None
        self.rejection, self.awaits_policy, self.awaits_cameras = "", False, ""
        self.successor, self.complaint, self.lacks = None, "", ()

    def wants(self, place: int) -> bool:
        """Whether the policy at this place is what it is to have, now or when that is ready."""
        return place == (self.place if self.successor is None else self.successor.place)

    def stay(self, reason: str, lacks: tuple[str, ...] = ()) -> list[LogLine]:
        """What it has named since does not serve it, the present policy goes on; returns what to tell people."""
        self.successor, self.complaint, self.lacks = None, reason, lacks
        return [LogLine(LogLevel.ERROR, f"Robot {self.name or '/'} keeps its policy: {reason}")]

    def forget_acceptance(self) -> None:
        """The policy that the spec was checked against is gone."""
        self.accepted, self.rejection, self.awaits_cameras, self._ready_session = None, "", "", 0

    def is_using_the_policy(self, now_ns: int, within_s: float) -> bool:
        """Whether it asked within this time under a spec that fits."""
        recent = self.asked_ns is not None and now_ns - self.asked_ns < within_s * NS_PER_S
        return self.accepted is not None and recent

    def check(
        self, config: ServerConfig, source: PolicySource, policy: PolicyDescription, for_now: bool = False
    ) -> list[LogLine]:
        """Check the spec, if there is one, against the loaded policy; returns what to tell people.

        Args:
            config: as far as it holds for that policy.
            source: what is loaded.
            policy: how it describes itself.
            for_now: it need not be the policy that the spec names, but for that it has to fit.
        """
        if self.received is None:
            return []
        received, spec = self.received, self.received.spec
        if for_now:
            spec = replace(spec, pretrained_name_or_path=source.path, policy_type="", policy_device="")
            received = replace(received, spec=spec)
        try:
            self.accepted = check_spec(received, config.served, source, policy, config.choice, config.task)
        except SpecMismatchError as error:
            return self.reject(str(error))
        except NoCamerasYetError as error:
            self.accepted, self.rejection, self.awaits_cameras = None, "", str(error)
            return [LogLine(LogLevel.INFO, f"Robot {self.name or '/'}: {error}")]
        self.rejection = ""
        if not for_now:
            self.awaits_policy = False
        lines: list[LogLine] = []
        rows, wanted = self.accepted.rows, self.received.spec.actions_per_chunk
        if self.received.session != self._ready_session:
            self._ready_session = self.received.session
            lines.append(
                LogLine(LogLevel.INFO, f"Client connected and ready: robot {self.name or '/'}, {rows} rows a chunk")
            )
            lines += [LogLine(LogLevel.WARNING, f"robot {self.name or '/'}: {line}") for line in self.accepted.warnings]
        if self.accepted.left_out:
            reads = ", ".join(need.camera for need in self.accepted.cameras) or "none"
            left_out = ", ".join(self.accepted.left_out)
            text = f"Camera {left_out} of robot {self.name or '/'} is left out: the policy reads {reads}"
            lines.append(LogLine(LogLevel.INFO, text))
        if wanted > rows:
            text = f"actions_per_chunk is {wanted}, the policy's horizon {policy.horizon}: chunks have {rows} rows"
            lines.append(LogLine(LogLevel.WARNING, text))
        return lines

    def reject(self, reason: str) -> list[LogLine]:
        """The spec does not fit; returns what to tell people."""
        self.accepted, self.rejection, self.awaits_cameras = None, reason, ""
        return [LogLine(LogLevel.ERROR, f"Spec of robot {self.name or '/'} rejected: {reason}")]
