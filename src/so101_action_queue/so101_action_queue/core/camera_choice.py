# SPDX-License-Identifier: Apache-2.0
"""Which cameras policy_spec names: of those that the robot has, the ones that the policy reads; and their frames' size.

Cameras that the spec does not name send nothing, so a camera that no policy looks at costs no bandwidth.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from so101_node.protocol import PolicyState

from so101_action_queue.core.inputs import ServerReport
from so101_action_queue.core.settings import QueueSettings

IMAGE_PREFIX: Final = "observation.images."

PATIENCE_S = 2.0  # discovery takes up to a second; only then is a camera that was not found a missing one


def names_of_policy(cameras: Iterable[str], rename: Mapping[str, str]) -> dict[str, str]:
    """Return which camera of the robot is which of the policy: the policy's name -> the robot's.

    Args:
        cameras: of the robot, or of what a server says that it reads of it.
        rename: observation key as the robot calls it -> as the policy does (`rename_from`, `rename_to`).
    """
    return {rename.get(IMAGE_PREFIX + name, name).removeprefix(IMAGE_PREFIX): name for name in cameras}


def names_of_robot(cameras: Iterable[str], rename: Mapping[str, str]) -> dict[str, str]:
    """Return how the robot calls cameras of the policy: the policy's name -> the robot's; `rename` as above."""
    back = {after: before.removeprefix(IMAGE_PREFIX) for before, after in rename.items()}
    return {name: back.get(IMAGE_PREFIX + name, name) for name in cameras}


def frame_sizes(settings: QueueSettings, server: ServerReport) -> tuple[int, ...]:
    """Return the size at which each camera of the spec may send the frames of a request to this server.

    Sizes come from the same report that says which spec the server has taken up: a request never has those of another
    policy than the one that its server announced.

    Returns:
        Height and width, pixels, in the order of `settings.cameras`, flat; 0, 0 = as captured; empty = all as captured.
    """
    if settings.frame_size != "policy":
        return ()
    pairs = zip(server.frame_sizes[::2], server.frame_sizes[1::2], strict=False)
    known = dict(zip(server.cameras, pairs, strict=False))
    sizes = tuple(side for camera in settings.cameras for side in known.get(camera, (0, 0)))
    return sizes if any(sizes) else ()


class CameraChoice:
    """Keeps the choice; the robot has what is configured, or where nothing is, what was ever found.

    Args:
        configured: the parameter `cameras`; empty = whatever cameras publish `<camera>/observation`.
    """

    def __init__(self, configured: tuple[str, ...]) -> None:
        self._configured = configured
        self._found: tuple[str, ...] = ()
        self._missing: tuple[str, ...] = ()
        self._missing_since_ns = 0
        self.chosen = configured

    @property
    def is_searching(self) -> bool:
        """Whether the policy reads cameras that have not been found yet, so that it is worth looking for them."""
        return bool(self._missing) and not self._configured

    @property
    def known(self) -> frozenset[str]:
        """Cameras that the robot has."""
        return frozenset(self._configured or self._found)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Cameras of the robot that the spec does not name."""
        return tuple(name for name in self._configured or self._found if name not in self.chosen)

    def find(self, names: Iterable[str]) -> None:
        """Take in the cameras that are there now. One that is gone still counts: it may come back."""
        self._found = tuple(sorted({*self._found, *names}))

    def choose(self, now_ns: int, report: ServerReport | None, spec_id: int) -> bool:
        """Choose for the policy of this server; return whether the choice has changed.

        Args:
            now_ns: monotonic clock, ns.
            report: what the server says; None or without a horizon = no policy is known, nothing changes.
            spec_id: the spec that names the present choice.
        """
        before = self.chosen
        if report is not None and report.horizon > 0:
            self.chosen = self._of_configured(report, spec_id) if self._configured else self._of_found(now_ns, report)
        return self.chosen != before

    def _of_configured(self, report: ServerReport, spec_id: int) -> tuple[str, ...]:
        """The server decides on the whole list first: it names what it misses and what two names mean at once."""
        if not set(report.cameras) <= set(self.chosen):
            return self._configured
        if report.state != PolicyState.READY or report.spec_id != spec_id:
            return self.chosen
        return tuple(name for name in self.chosen if name in report.cameras)

    def _of_found(self, now_ns: int, report: ServerReport) -> tuple[str, ...]:
        missing = tuple(name for name in report.cameras if name not in self._found)
        if missing != self._missing:
            self._missing, self._missing_since_ns = missing, now_ns
        if not missing:
            return report.cameras
        is_patient = now_ns - self._missing_since_ns < PATIENCE_S * 1e9
        return self.chosen if is_patient else self._found[:16]  # as many as fit the message
