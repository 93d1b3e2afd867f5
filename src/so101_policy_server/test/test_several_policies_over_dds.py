# SPDX-License-Identifier: Apache-2.0
"""Several policies in one node, over real DDS: robots with policies of their own, which change and leave."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from dds_robot import WAIT_S, Robot, RunningServer
from so101_msgs.msg import ActionChunk, PolicyStatus
from so101_policy_server.policy import PolicyLoadError

BASES = {"/models/a": 0.0, "/models/b": 10.0, "/models/c": 20.0, "/models/large": 30.0}
"""What row 0 of each policy's chunks says, degrees."""


class Shelf:
    """The policies: how often each was loaded, which are loaded now; a load waits where it is told to."""

    def __init__(self, examples, spy_policy) -> None:
        self._examples, self._spy = examples, spy_policy
        self.loads: list[str] = []
        self.held: set[str] = set()
        self.may_load = {path: threading.Event() for path in BASES}
        for path in ("/models/a", "/models/b", "/models/large"):
            self.may_load[path].set()

    def load(self, source, progress):
        self.loads.append(source.path)
        if source.path not in BASES:
            raise PolicyLoadError(f"{source.path}: out of GPU memory")
        progress("loading weights")
        assert self.may_load[source.path].wait(WAIT_S)
        size_bytes = 200_000_000 if source.path == "/models/large" else 30_000_000
        policy = self._spy(self._examples.description(path=source.path, memory_bytes=size_bytes), BASES[source.path])
        self.held.add(source.path)
        policy.close = lambda: self.held.discard(source.path)
        return policy


class Asking(Robot):
    """Asks one request after the other and tells whose chunk came."""

    def __init__(self, namespace: str, session: int, png: bytes) -> None:
        super().__init__(namespace, session=session)
        self._png, self._request_id = png, 0

    def name(self, path: str) -> None:
        """Name a policy in a spec of its own number, in the same session."""
        self.spec_id += 1
        self.send_spec(pretrained_name_or_path=path)

    def is_told(self, text: str) -> bool:
        """Whether it is READY under its newest spec, with this in the message."""
        status = self.statuses[-1] if self.statuses else PolicyStatus()
        return status.spec_id == self.spec_id and status.state == PolicyStatus.READY and text in status.message

    def served_by(self) -> str:
        """Ask once; whose chunk it is."""
        self._request_id += 1
        self.ask(self._request_id)
        for camera in self.cameras:
            self.show(camera, self._request_id, self._png)
        chunk = self.answer_to(self._request_id)
        assert chunk.status == ActionChunk.OK, chunk.message
        first = float(np.degrees(chunk.positions[0]))
        return next(path for path, base in BASES.items() if abs(base - first) < 0.1)


@pytest.fixture
def shelf(examples, spy_policy) -> Iterator[Shelf]:
    made = Shelf(examples, spy_policy)
    yield made
    for event in made.may_load.values():
        event.set()


def test_robots_with_policies_of_their_own_that_change_and_leave(examples, shelf: Shelf) -> None:
    server = RunningServer(
        shelf.load,
        pretrained_name_or_path="/models/a",
        allowed_policies=["/models/*"],
        robots=["/left", "/right"],
        max_policies_mb=100,
        unload_after_s=0.3,
    )
    left, right = (Asking(f"/{side}", session, examples.png()) for side, session in (("left", 1), ("right", 2)))
    try:
        left.name("")
        right.name("/models/b")
        for robot in (left, right):
            robot.wait_until_heard()
        assert (left.served_by(), right.served_by()) == ("/models/a", "/models/b")
        assert (left.statuses[-1].path, right.statuses[-1].path) == ("/models/a", "/models/b")

        # Another policy is named by a robot that is served: the first goes on until that is ready.
        left.name("/models/c")
        assert left.wait(lambda: left.is_told("/models/c: loading weights; /models/a goes on meanwhile"))
        assert {left.served_by() for _ in range(5)} == {"/models/a"}
        shelf.may_load["/models/c"].set()
        seen = [left.served_by()]
        while seen[-1] != "/models/c":
            seen.append(left.served_by())
        assert seen == sorted(seen)  # never back
        assert left.wait(lambda: left.is_told("") and left.statuses[-1].path == "/models/c")
        assert left.wait(lambda: shelf.held == {"/models/b", "/models/c"})  # nobody has the first any more

        # One that cannot be loaded, one that is not admitted, one for which there is no room: the present one goes on.
        for path, why in (
            ("/models/broken", "/models/c goes on: Failed to load policy: /models/broken: out of GPU memory"),
            ("/elsewhere/x", "allowed_policies does not admit it"),
            ("/models/large", "it needs 200 MB; max_policies_mb is 100, of which 60 MB are taken"),
        ):
            left.name(path)
            assert left.wait(lambda why=why: left.is_told(why)), left.statuses[-1].message
            assert (left.served_by(), right.served_by()) == ("/models/c", "/models/b")
        assert left.wait(lambda: shelf.held == {"/models/b", "/models/c"})

        # The last robot of a policy leaves, and comes back.
        left.close()
        assert right.wait(lambda: shelf.held == {"/models/b"})
        assert right.served_by() == "/models/b"
        left = Asking("/left", 3, examples.png())
        left.name("/models/c")
        left.wait_until_heard()
        assert left.served_by() == "/models/c"
        assert shelf.loads.count("/models/c") == 2
        assert shelf.loads.count("/models/b") == 1
    finally:
        left.close()
        right.close()
        server.close()
