# SPDX-License-Identifier: Apache-2.0
"""One robot as the server knows it: what it expects, whether that fits, and when it last asked."""

from __future__ import annotations

from so101_node.log_lines import LogLevel, LogLine
from so101_node.protocol import ReceivedSpec

from so101_policy_server.core.clock import NS_PER_S
from so101_policy_server.core.server_config import ServerConfig
from so101_policy_server.core.spec_check import AcceptedSpec, NoCamerasYetError, SpecMismatchError, check_spec
from so101_policy_server.core.timing import RecentTimes
from so101_policy_server.policy import PolicyDescription, PolicySource


class ServedRobot:
    """State of one robot; `name` is its namespace, "" = the server's own.

    `awaits_cameras`: why its spec, which fits, cannot be served yet, one line; "" when it can or does not fit.
    `awaits_policy`: what its spec names may be loaded, and will be once nobody uses the present policy any more.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.received: ReceivedSpec | None = None
        self.accepted: AcceptedSpec | None = None
        self.rejection = ""
        self.awaits_policy = False
        self.awaits_cameras = ""
        self.asked_ns: int | None = None
        self.frame_ages = RecentTimes()
        self._ready_session = 0
        self._interval_ns: int | None = None

    def ask(self, now_ns: int) -> None:
        """Note that it asks now."""
        self._interval_ns = None if self.asked_ns is None else now_ns - self.asked_ns
        self.asked_ns = now_ns

    def is_about_to_ask(self, now_ns: int, within_ns: int) -> bool:
        """Whether its next request is due, within this time before or after now, if it asks as regularly as before."""
        if self.asked_ns is None or self._interval_ns is None:
            return False
        return abs(self.asked_ns + self._interval_ns - now_ns) <= within_ns

    def take_spec(self, received: ReceivedSpec) -> None:
        """Take in a new spec, which nobody has checked yet."""
        self.received, self.accepted = received, None
        self.rejection, self.awaits_policy, self.awaits_cameras = "", False, ""

    def forget_acceptance(self) -> None:
        """The policy that the spec was checked against is gone."""
        self.accepted, self.rejection, self.awaits_cameras, self._ready_session = None, "", "", 0

    def is_using_the_policy(self, now_ns: int, within_s: float) -> bool:
        """Whether it asked within this time under a spec that fits."""
        recent = self.asked_ns is not None and now_ns - self.asked_ns < within_s * NS_PER_S
        return self.accepted is not None and recent

    def check(self, config: ServerConfig, source: PolicySource, policy: PolicyDescription) -> list[LogLine]:
        """Check the spec, if there is one, against the loaded policy; returns what to tell people."""
        if self.received is None:
            return []
        try:
            self.accepted = check_spec(self.received, config.served, source, policy, config.choice, config.task)
        except SpecMismatchError as error:
            return self.reject(str(error))
        except NoCamerasYetError as error:
            self.accepted, self.rejection, self.awaits_cameras = None, "", str(error)
            return [LogLine(LogLevel.INFO, f"Robot {self.name or '/'}: {error}")]
        self.rejection, self.awaits_policy = "", False
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
