"""One robot as the server knows it: what it expects, whether that fits, and when it last asked."""

from __future__ import annotations

from so101_policy_server.effects import Level, Log
from so101_policy_server.frame_matcher import NS_PER_S
from so101_policy_server.policy import PolicyDescription, PolicySource
from so101_policy_server.server_config import ServerConfig
from so101_policy_server.spec_check import AcceptedSpec, NoCamerasYetError, Spec, SpecMismatchError, check_spec
from so101_policy_server.timing import RecentTimes


class ServedRobot:
    """State of one robot; `name` is its namespace, "" = the server's own.

    `awaits_cameras`: why its spec, which fits, cannot be served yet, one line; "" when it can or does not fit.
    `awaits_policy`: what its spec names may be loaded, and will be once nobody uses the present policy any more.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.spec: Spec | None = None
        self.accepted: AcceptedSpec | None = None
        self.rejection = ""
        self.awaits_policy = False
        self.awaits_cameras = ""
        self.asked_ns: int | None = None
        self.frame_ages = RecentTimes()
        self._ready_session = 0

    def take_spec(self, spec: Spec) -> None:
        """Take in a new spec, which nobody has checked yet."""
        self.spec, self.accepted, self.rejection, self.awaits_policy, self.awaits_cameras = spec, None, "", False, ""

    def forget_acceptance(self) -> None:
        """The policy that the spec was checked against is gone."""
        self.accepted, self.rejection, self.awaits_cameras, self._ready_session = None, "", "", 0

    def is_using_the_policy(self, now_ns: int, within_s: float) -> bool:
        """Whether it asked within this time under a spec that fits."""
        recent = self.asked_ns is not None and now_ns - self.asked_ns < within_s * NS_PER_S
        return self.accepted is not None and recent

    def check(self, config: ServerConfig, source: PolicySource, policy: PolicyDescription) -> list[Log]:
        """Check the spec, if there is one, against the loaded policy; returns what to tell people."""
        if self.spec is None:
            return []
        try:
            self.accepted = check_spec(self.spec, config.served, source, policy, config.choice, config.task)
        except SpecMismatchError as error:
            return self.reject(str(error))
        except NoCamerasYetError as error:
            self.accepted, self.rejection, self.awaits_cameras = None, "", str(error)
            return [Log(Level.INFO, f"Robot {self.name or '/'}: {error}")]
        self.rejection, self.awaits_policy = "", False
        lines: list[Log] = []
        rows, wanted = self.accepted.rows, self.spec.actions_per_chunk
        if self.spec.session != self._ready_session:
            self._ready_session = self.spec.session
            lines.append(Log(Level.INFO, f"Client connected and ready: robot {self.name or '/'}, {rows} rows a chunk"))
            lines += [Log(Level.WARNING, f"robot {self.name or '/'}: {line}") for line in self.accepted.warnings]
        if self.accepted.left_out:
            reads = ", ".join(need.camera for need in self.accepted.cameras) or "none"
            left_out = ", ".join(self.accepted.left_out)
            text = f"Camera {left_out} of robot {self.name or '/'} is left out: the policy reads {reads}"
            lines.append(Log(Level.INFO, text))
        if wanted > rows:
            text = f"actions_per_chunk is {wanted}, the policy's horizon {policy.horizon}: chunks have {rows} rows"
            lines.append(Log(Level.WARNING, text))
        return lines

    def reject(self, reason: str) -> list[Log]:
        """The spec does not fit; returns what to tell people."""
        self.accepted, self.rejection, self.awaits_cameras = None, reason, ""
        return [Log(Level.ERROR, f"Spec of robot {self.name or '/'} rejected: {reason}")]
