# SPDX-License-Identifier: Apache-2.0
"""One policy of the server: which it is, how far it has come, for whom it was loaded, and who is served with it now."""

from __future__ import annotations

from typing import Final

from so101_node.log_lines import LogLevel, LogLine
from so101_node.protocol import PolicyState

from so101_policy_server.core import causes
from so101_policy_server.core.clock import NS_PER_S
from so101_policy_server.core.inference_turn import InferenceTurn
from so101_policy_server.core.preflight import refusal, warnings
from so101_policy_server.core.served_robot import ServedRobot
from so101_policy_server.core.server_config import ServerConfig
from so101_policy_server.core.spec_check import SpecMismatchError, check_deployment, describe_against
from so101_policy_server.policy import OF_ONE_CHECKPOINT, PolicyDescription, PolicyLoadError, PolicySource

NO_POLICY: Final = "no policy: set pretrained_name_or_path, or let a robot name one that allowed_policies admits"

INACTIVE: Final = "the server is not active"


class PolicySlot:
    """Empty, loading, ready or failed.

    Attributes:
        place: number of the thread that loads it and infers with it.
        turn: what is in hand there.
        source: what is, or was last, to be loaded.
        policy: None until it is loaded.
        applied: the server's configuration as far as it holds for that policy.
        state: as robots are told, but for what is wrong with a robot's own spec.
        cause: one of the constants of `causes`; "" when READY.
        message: reason of ERROR, progress of LOADING; one line.
        used_ns: when a robot asked it last, or it became ready.
        was_had: whether a robot had it.
        unused_since_ns: since when no robot that is here has it; None while one has, and before the first.
    """

    def __init__(self, config: ServerConfig, place: int = 0) -> None:
        self._config = self.applied = config
        self.place = place
        self.turn = InferenceTurn(config)
        self.source = config.source
        self.policy: PolicyDescription | None = None
        self.state = PolicyState.UNCONFIGURED
        self.cause, self.message = causes.NO_POLICY, NO_POLICY
        self._loaded_for: str | None = None
        self._ready_ns: int | None = None
        self.used_ns = 0
        self.was_had = False
        self.unused_since_ns: int | None = None

    def begin(self, source: PolicySource, robot: str | None) -> None:
        """Loading begins; `robot` is the one whose spec made the server load it."""
        self.source, self.policy, self.state = source, None, PolicyState.LOADING
        self.cause, self.message = causes.LOADING, f"loading {source.label}"
        self._loaded_for, self._ready_ns = robot, None
        self.was_had, self.unused_since_ns = robot is not None, None
        self.turn.dismiss()

    def progress(self, text: str) -> None:
        """Note what loading does now."""
        if self.state is PolicyState.LOADING:
            self.message = f"loading {self.source.label}: {text}"

    def fill(self, policy: PolicyDescription, now_ns: int) -> list[LogLine]:
        """The policy is loaded and warm; returns what to tell people.

        Raises:
            PolicyLoadError: it does not fit the server's parameters.
        """
        self.applied = self._config.applied_to(self.source, policy)
        try:
            policy = describe_against(self.applied.served, policy, self.applied.cameras)
        except SpecMismatchError as error:
            raise PolicyLoadError(str(error)) from error
        findings = check_deployment(self.applied.served, policy, self.source.accepted_findings)
        reason = refusal(findings)
        if reason:
            raise PolicyLoadError(f"{policy.path or self.source.label}: {reason}")
        self.policy, self.state, self.cause, self.message = policy, PolicyState.READY, "", ""
        self._ready_ns = self.used_ns = now_ns
        self.turn.another_policy(policy.remembers)
        origin = policy.path or f"library {self.source.library}"
        cameras = ", ".join(f"{image.camera} {image.width}x{image.height}" for image in policy.images) or "none"
        text = f"Policy ready: {policy.policy_type} from {origin} on {policy.device}, horizon {policy.horizon}"
        lines = [LogLine(LogLevel.INFO, f"{text}, cameras {cameras}")]
        lines += [LogLine(LogLevel.INFO, f"optimize: {line}") for line in policy.optimization]
        return lines + [LogLine(LogLevel.WARNING, line) for line in (*policy.warnings, *warnings(findings))]

    def fail(self, reason: str) -> None:
        """The policy could not be loaded; the server stays and says why."""
        named = [name for name in OF_ONE_CHECKPOINT if name in reason]
        if named and self.source != self._config.source:
            reason = f"{reason}; {', '.join(named)} is of the server's own policy: give this as pretrained_name_or_path"
        self.policy, self.state, self.cause = None, PolicyState.ERROR, causes.LOAD_FAILED
        self.message = f"Failed to load policy: {reason}"
        self._loaded_for = None

    def unload(self, reason: str) -> str:
        """Nobody needs it; returns a line that says so."""
        text = f"policy {self.source.label} was unloaded: {reason}"
        self.policy, self.state, self.cause, self.message = None, PolicyState.UNCONFIGURED, causes.UNLOADED, text
        self._loaded_for = None
        self.turn.dismiss()
        return text

    def lose(self, reason: str) -> bool:
        """No replica of it is left; it is loaded again as soon as that can be. Returns whether that is new."""
        before = self.cause, self.message
        self.policy, self.state, self.cause, self.message = None, PolicyState.ERROR, causes.REPLICAS_LOST, reason
        return before != (self.cause, self.message)

    def stick(self, message: str) -> None:
        """An inference does not return; the process ends."""
        self.state, self.cause, self.message = PolicyState.ERROR, causes.INFERENCE_STUCK, message

    @property
    def memory_bytes(self) -> int:
        """What the loaded policy says that it takes; 0 = it does not say, or none is loaded."""
        return self.policy.memory_bytes if self.policy is not None else 0

    @property
    def largest_batch(self) -> int:
        """Most requests that the policy takes at once."""
        return self._config.max_batch if self.policy is not None and self.policy.batches else 1

    def told(self, robot: ServedRobot, active: bool, after: PolicySlot | None) -> tuple[PolicyState, str, str]:
        """State, cause and message as this robot is told them.

        Args:
            robot: whom this policy serves.
            active: whether the server takes requests.
            after: the policy that it is to have once that is ready; None = this one.
        """
        if robot.rejection and self.state is not PolicyState.ERROR:
            return PolicyState.ERROR, causes.SPEC_REJECTED, f"spec rejected: {robot.rejection}"
        if self.state is PolicyState.READY and robot.awaits_cameras:
            return PolicyState.LOADING, causes.NO_CAMERAS, robot.awaits_cameras
        if self.state is PolicyState.READY and not active:
            return PolicyState.UNCONFIGURED, causes.NOT_ACTIVE, INACTIVE
        if self.state is PolicyState.READY and after is not None:
            return self.state, causes.SWITCHING, f"{after.message}; {self.source.label} goes on meanwhile"
        if self.state is PolicyState.READY and robot.complaint:
            return self.state, causes.SWITCH_FAILED, f"{self.source.label} goes on: {robot.complaint}"
        return self.state, self.cause, self.message

    @property
    def is_held(self) -> bool:
        """Whether it takes memory: loaded, or being loaded."""
        return self.state in (PolicyState.READY, PolicyState.LOADING)

    def is_meant(self, path: str) -> bool:
        """Whether a spec's path means what is loaded here, or being loaded."""
        resolved = self.policy.path if self.policy else ""
        return self.is_held and self._config.choice.is_met(path, self.source, resolved)

    def kept_for(self, now_ns: int, within_s: float) -> str | None:
        """The robot that it was loaded for, while it loads and for some time after: it cannot request before."""
        if self._ready_ns is not None and now_ns - self._ready_ns >= within_s * NS_PER_S:
            return None
        return self._loaded_for
