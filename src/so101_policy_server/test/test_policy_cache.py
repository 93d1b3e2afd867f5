# SPDX-License-Identifier: Apache-2.0
"""Several policies in one server: which are loaded beside each other, which give way, and who is served by which."""

from __future__ import annotations

from dataclasses import replace

import pytest
from so101_node.protocol import ChunkStatus, PolicyState
from so101_policy_server.core import causes
from so101_policy_server.core.effects import LoadPolicy, UnloadPolicy
from so101_policy_server.core.intake import DecodeFrame
from so101_policy_server.core.policy_cache import IN_USE_S
from so101_policy_server.core.request import ServedChunk
from so101_policy_server.core.server import PolicyServer

NS = 1_000_000_000
MB = 1_000_000
OWN = "/models/pick"


class Bench:
    """A server with its own policy of 40 MB loaded, and what it was told to load and unload since."""

    def __init__(self, examples, **config) -> None:
        self.examples = examples
        self.server = PolicyServer(examples.config(**({"allowed_policies": ("/models/*",)} | config)))
        self.server.activate()
        self.places: dict[str, int] = {}
        self.unloaded: list[int] = []
        self.answers: list[ServedChunk] = []
        self.take(self.server.start())
        self.ready(OWN, 40)

    def take(self, effects) -> None:
        for effect in effects:
            if isinstance(effect, LoadPolicy):
                self.places[effect.source.path] = effect.place
            elif isinstance(effect, UnloadPolicy):
                self.unloaded.append(effect.place)
            elif isinstance(effect, ServedChunk):
                self.answers.append(effect)
            elif isinstance(effect, DecodeFrame):
                self.take(self.server.decoded(effect.frame, self.examples.picture(), 0))

    def ready(self, path: str, size_mb: float, at_s: float = 0.0, cameras=("front", "wrist"), **description) -> None:
        """`height` and `width` are those of every image."""
        size = {name: description.pop(name) for name in ("height", "width") if name in description}
        described = self.examples.description(*cameras, path=path, memory_bytes=int(size_mb * MB), **description)
        described = replace(described, images=tuple(replace(image, **size) for image in described.images))
        self.take(self.server.loaded(described, int(at_s * NS), place=self.places[path]))

    def fail(self, path: str, reason: str) -> None:
        self.take(self.server.load_failed(reason, place=self.places[path]))

    def name(self, robot: str, path: str, at_s: float = 0.0, **spec) -> None:
        self.take(self.server.spec(robot, self.examples.spec(path=path, **spec), int(at_s * NS)))

    def ask(self, robot: str, request_id: int, at_s: float = 0.0, **changes) -> None:
        now_ns = int(at_s * NS)
        self.take(self.server.request(self.examples.request(request_id, robot=robot, **changes), now_ns))
        for camera in ("front", "wrist"):
            self.take(self.server.frame(self.examples.frame(camera, request_id, robot=robot)))

    def taken_by(self, path: str, at_s: float = 0.0) -> list[str]:
        """Whose requests the thread of this policy takes now; each is answered."""
        place, now_ns = self.places[path], int(at_s * NS)
        taken = self.server.take(now_ns, place=place)
        replies = [ServedChunk(prepared.complete.request, ChunkStatus.OK) for prepared in taken]
        self.server.finished(replies, now_ns, place=place)
        return [prepared.complete.request.key.session.robot for prepared in taken]

    def tick(self, at_s: float) -> None:
        self.take(self.server.tick(int(at_s * NS)))

    def leave(self, robot: str) -> None:
        self.take(self.server.presence({robot: False}))

    def told(self, robot: str) -> tuple[PolicyState, str, str]:
        report = self.server.status(robot)
        return report.state, report.cause, report.message

    def state(self, robot: str) -> tuple[PolicyState, str]:
        report = self.server.status(robot)
        return report.state, report.policy.path if report.policy else ""


@pytest.fixture
def bench(examples):
    return lambda **config: Bench(examples, **({"max_policies_mb": 100} | config))


# -- beside each other -------------------------------------------------------------------------------------------------


def test_two_robots_with_two_policies_are_each_served_by_their_own(bench) -> None:
    one = bench()
    one.name("/left", "")
    one.name("/right", "/models/place")
    assert one.told("/right")[:2] == (PolicyState.LOADING, causes.LOADING)
    assert one.state("/left") == (PolicyState.READY, OWN)
    one.ready("/models/place", 50)
    assert one.state("/right") == (PolicyState.READY, "/models/place")
    one.ask("/left", 1)
    one.ask("/right", 1)
    assert one.taken_by(OWN) == ["/left"]
    assert one.taken_by("/models/place") == ["/right"]
    assert one.unloaded == []
    assert one.server.status("/left").loaded == ("/models/pick (40 MB)", "/models/place (50 MB)")


def test_a_policy_that_is_loaded_already_is_not_loaded_again(bench) -> None:
    one = bench()
    one.name("/right", "/models/place")
    one.ready("/models/place", 50)
    one.places.clear()
    one.name("/third", "/models/place")
    one.name("/right", "", spec_id=10)
    one.name("/right", "/models/place", spec_id=11)
    assert one.places == {}
    assert one.state("/third") == one.state("/right") == (PolicyState.READY, "/models/place")


def test_without_a_bound_there_is_one_policy_at_a_time(bench) -> None:
    one = bench(max_policies_mb=0)
    one.name("/left", "")
    one.ask("/left", 1)
    one.name("/right", "/models/place")
    assert "is in use by robot /left" in one.told("/right")[2]
    one.tick(IN_USE_S)
    assert one.places["/models/place"] == one.places[OWN] == 0


# -- the bound ---------------------------------------------------------------------------------------------------------


def test_the_one_used_longest_ago_gives_way_and_never_one_that_serves(bench) -> None:
    one = bench()
    for number, path in enumerate(("/models/a", "/models/b")):
        one.name(f"/robot{number}", path)
        one.ready(path, 25)
    one.ask("/robot0", 1, at_s=100.0)
    one.ask("/robot1", 1, at_s=150.0)
    one.name("/new", "/models/c", at_s=151.0)
    assert one.unloaded == []  # 90 of 100 MB: what the new one needs is not known yet
    one.ready("/models/c", 30, at_s=152.0)
    assert one.unloaded == [one.places[OWN]]  # never asked; /models/b serves, /models/a was used later
    one.name("/newer", "/models/d", at_s=152.0)
    one.ready("/models/d", 25, at_s=153.0)
    assert one.unloaded == [one.places[OWN], one.places["/models/a"]]
    assert one.told("/robot0") == (
        PolicyState.UNCONFIGURED,
        causes.UNLOADED,
        "policy /models/a was unloaded: its memory is needed for /models/d",
    )
    assert one.state("/robot1") == (PolicyState.READY, "/models/b")


def test_a_policy_that_does_not_fit_beside_those_in_use_is_refused_and_they_stay(bench) -> None:
    one = bench()
    one.name("/left", "")
    one.ask("/left", 1)
    one.name("/right", "/models/large")
    one.ready("/models/large", 70, at_s=1.0)
    state, cause, message = one.told("/right")
    assert (state, cause) == (PolicyState.ERROR, causes.LOAD_FAILED)
    assert (
        "it needs 70 MB; max_policies_mb is 100, of which 40 MB are taken: '/models/pick' is in use by robot /left"
        in message
    )
    assert one.unloaded == [one.places["/models/large"]]
    assert one.state("/left") == (PolicyState.READY, OWN)
    assert one.taken_by(OWN) == ["/left"]
    one.places.clear()
    one.tick(2.0)
    assert one.places == {}  # its size is known now: it is not tried again while there is no room
    one.tick(IN_USE_S + 1.0)
    assert "/models/large" in one.places  # nobody has asked the other one for long
    one.ready("/models/large", 70, at_s=IN_USE_S + 2.0)
    assert one.state("/right") == (PolicyState.READY, "/models/large")


def test_a_policy_alone_is_served_however_large_it_is(bench) -> None:
    one = bench(max_policies_mb=10)
    one.name("/left", "")
    assert one.state("/left") == (PolicyState.READY, OWN)
    one.name("/right", "/models/place")
    assert one.unloaded == [0]


def test_a_policy_that_does_not_tell_its_size_is_alone(bench) -> None:
    one = bench()
    one.name("/right", "/models/place")
    one.ready("/models/place", 0)
    assert one.unloaded == [one.places[OWN]]


# -- another policy while one serves -----------------------------------------------------------------------------------


def test_a_robot_that_names_another_policy_is_served_by_the_first_until_that_is_ready(bench) -> None:
    one = bench()
    one.name("/left", "")
    one.ask("/left", 1)
    assert one.taken_by(OWN) == ["/left"]
    one.name("/left", "/models/place", at_s=1.0, spec_id=10)
    state, cause, message = one.told("/left")
    assert (state, cause) == (PolicyState.READY, causes.SWITCHING)
    assert message == "loading /models/place; /models/pick goes on meanwhile"
    assert one.server.status("/left").spec_id == 10
    one.ask("/left", 2, at_s=1.1, spec_id=10)
    assert one.taken_by(OWN, 1.1) == ["/left"]
    one.ready("/models/place", 50, at_s=2.0)
    assert one.state("/left") == (PolicyState.READY, "/models/place")
    assert one.told("/left")[1:] == ("", "")
    one.ask("/left", 3, at_s=2.1, spec_id=10)
    assert one.taken_by(OWN, 2.1) == []
    assert one.taken_by("/models/place", 2.1) == ["/left"]
    assert all(answer.status is ChunkStatus.OK for answer in one.answers)


def test_a_request_that_was_made_for_the_first_is_still_served_by_it(bench) -> None:
    one = bench()
    one.name("/left", "")
    one.ask("/left", 1)
    one.taken_by(OWN)
    one.name("/left", "/models/place", spec_id=10)
    one.ready("/models/place", 50, at_s=2.0, n_obs_steps=2)
    one.ask("/left", 2, at_s=2.1, spec_id=10)  # one observation step, as the first reads
    assert one.taken_by(OWN, 2.1) == ["/left"]
    two_steps = one.examples.request().positions.repeat(2, axis=0)
    one.ask("/left", 3, at_s=2.2, spec_id=10, positions=two_steps)
    assert one.server.status("/left").policy.path == "/models/place"
    assert one.taken_by(OWN, 2.2) == []
    one.ask("/left", 4, at_s=2.3, spec_id=10)  # made for it no more
    assert one.answers[-1].status is ChunkStatus.BAD_REQUEST


def test_frames_at_the_size_of_the_first_are_served_by_it_and_by_no_other(bench) -> None:
    one = bench()
    one.name("/left", "")
    one.ask("/left", 1, frame_sizes=((24, 32), (24, 32)))
    one.taken_by(OWN)
    one.name("/left", "/models/place", spec_id=10)
    one.ready("/models/place", 50, at_s=2.0, height=48, width=64)
    one.ask("/left", 2, at_s=2.1, spec_id=10, frame_sizes=((24, 32), (24, 32)))
    assert one.taken_by(OWN, 2.1) == ["/left"]
    one.ask("/left", 3, at_s=2.2, spec_id=10, frame_sizes=((48, 64), (0, 0)))
    assert one.taken_by("/models/place", 2.2) == ["/left"]
    one.ask("/left", 4, at_s=2.3, spec_id=10, frame_sizes=((48, 64), (24, 32)))
    assert one.answers[-1].status is ChunkStatus.BAD_REQUEST
    assert one.answers[-1].message == "frames of camera wrist were requested at 32x24: the policy reads 64x48"


def test_a_successor_that_cannot_be_loaded_leaves_the_first_in_place(bench) -> None:
    one = bench()
    one.name("/left", "")
    one.ask("/left", 1)
    one.taken_by(OWN)
    one.name("/left", "/models/place", spec_id=10)
    one.fail("/models/place", "out of GPU memory")
    assert one.told("/left") == (
        PolicyState.READY,
        causes.SWITCH_FAILED,
        "/models/pick goes on: Failed to load policy: out of GPU memory",
    )
    one.ask("/left", 2, spec_id=10)
    assert one.taken_by(OWN) == ["/left"]
    one.places.clear()
    one.name("/left", "/models/place", spec_id=11)
    assert list(one.places) == ["/models/place"]  # a new spec tries again


def test_a_successor_for_which_there_is_no_room_leaves_the_first_in_place(bench) -> None:
    one = bench()
    one.name("/left", "")
    one.ask("/left", 1)
    one.taken_by(OWN)
    one.name("/left", "/models/large", spec_id=10)
    one.ready("/models/large", 61, at_s=1.0)
    state, cause, message = one.told("/left")
    assert (state, cause) == (PolicyState.READY, causes.SWITCH_FAILED)
    assert "it needs 61 MB" in message
    one.ask("/left", 2, at_s=2.0, spec_id=10)
    assert one.taken_by(OWN, 2.0) == ["/left"]
    one.tick(2.0)
    assert one.state("/left") == (PolicyState.READY, OWN)


def test_a_successor_that_is_not_admitted_leaves_the_first_in_place(bench) -> None:
    one = bench()
    one.name("/left", "")
    one.ask("/left", 1)
    one.taken_by(OWN)
    one.name("/left", "/elsewhere/x", spec_id=10)
    assert "allowed_policies does not admit it" in one.told("/left")[2]
    one.ask("/left", 2, spec_id=10)
    assert one.taken_by(OWN) == ["/left"]
    one.name("/right", "/elsewhere/x")
    assert one.told("/right")[0] is PolicyState.ERROR  # that one is not being moved


def test_cameras_that_only_the_successor_reads_are_asked_for(bench) -> None:
    one = bench()
    one.name("/left", "")
    one.ask("/left", 1)
    one.taken_by(OWN)
    one.name("/left", "/models/place", spec_id=10)
    one.ready("/models/place", 50, cameras=("front", "wrist", "top"))
    report = one.server.status("/left")
    assert (report.state, report.policy.path) == (PolicyState.READY, OWN)
    assert report.cameras == ("front", "wrist", "top")
    one.name("/left", "/models/place", spec_id=11, cameras=("front", "wrist", "top"))
    assert one.state("/left") == (PolicyState.READY, "/models/place")


def test_a_new_session_is_never_moved_by_a_policy_that_it_did_not_name(bench) -> None:
    one = bench()
    one.name("/left", "")
    one.ask("/left", 1)
    one.taken_by(OWN)
    one.name("/left", "/models/place", spec_id=10, session=8)
    assert one.told("/left")[0] is PolicyState.LOADING
    one.ask("/left", 1, spec_id=10, session=8)
    assert one.answers[-1].status is ChunkStatus.NOT_READY


@pytest.mark.parametrize(("size_mb", "gone"), [(30, [OWN]), (70, [OWN, "/models/place"])])
def test_what_a_robot_was_to_have_may_give_way_when_it_has_stopped_asking(bench, size_mb: float, gone) -> None:
    one = bench()
    one.name("/left", "")
    one.ask("/left", 1)
    one.taken_by(OWN)
    one.name("/left", "/models/place", at_s=1.0, spec_id=10)
    one.ready("/models/place", 50, at_s=2.0)
    one.name("/right", "/models/c", at_s=40.0)
    one.ready("/models/c", size_mb, at_s=41.0)
    assert one.unloaded == [one.places[path] for path in gone]
    one.ask("/left", 2, at_s=42.0, spec_id=10)
    if "/models/place" in gone:
        assert one.answers[-1].status is ChunkStatus.NOT_READY
    else:
        assert one.taken_by("/models/place", 42.0) == ["/left"]


def test_a_robot_that_changes_its_mind_gets_what_it_named_last(bench) -> None:
    one = bench()
    one.name("/left", "")
    one.ask("/left", 1)
    one.taken_by(OWN)
    one.name("/left", "/models/a", spec_id=10)
    one.name("/left", "/models/b", spec_id=11)
    one.ready("/models/a", 20, at_s=1.0)
    assert one.state("/left") == (PolicyState.READY, OWN)
    one.ready("/models/b", 20, at_s=1.0)
    one.ask("/left", 2, at_s=1.1, spec_id=11)
    assert one.taken_by("/models/b", 1.1) == ["/left"]
    one.name("/left", "", at_s=1.2, spec_id=9)
    assert one.state("/left") == (PolicyState.READY, OWN)


# -- when the last robot has left --------------------------------------------------------------------------------------


def test_a_policy_is_unloaded_when_its_last_robot_has_left_and_loaded_again_when_one_comes(bench) -> None:
    one = bench(max_policies_mb=0, unload_after_s=60.0)
    one.tick(10_000.0)
    assert one.unloaded == []  # nobody has come yet
    one.name("/left", "", at_s=10_000.0)
    one.tick(20_000.0)
    assert one.unloaded == []  # it is here, though it does not ask
    one.leave("/left")
    one.tick(20_000.0)
    one.tick(20_059.0)
    assert one.unloaded == []
    one.tick(20_060.0)
    assert one.unloaded == [0]
    assert one.told("/left") == (
        PolicyState.UNCONFIGURED,
        causes.UNLOADED,
        "policy /models/pick was unloaded: no robot has had it for 60 s",
    )
    one.places.clear()
    one.server.presence({"/left": True})
    one.tick(20_090.0)
    assert one.places == {}  # its new spec is still to come: it may be another one
    one.name("/left", "", at_s=20_100.0)  # the same spec as before
    assert one.places == {OWN: 0}
    one.ready(OWN, 40, at_s=20_110.0)
    assert one.state("/left") == (PolicyState.READY, OWN)


def test_a_robot_that_is_back_in_time_finds_its_policy(bench) -> None:
    one = bench(unload_after_s=60.0)
    one.name("/left", "")
    one.leave("/left")
    one.tick(1.0)
    one.name("/left", "", at_s=50.0, session=8)
    one.tick(70.0)
    one.tick(200.0)
    assert one.unloaded == []
    assert one.state("/left") == (PolicyState.READY, OWN)


def test_a_policy_stays_while_another_robot_has_it(bench) -> None:
    one = bench(unload_after_s=0.0)
    one.name("/left", "")
    one.name("/right", "")
    one.leave("/left")
    one.tick(1.0)
    assert one.unloaded == []
    one.leave("/right")
    one.tick(2.0)
    assert one.unloaded == [0]


def test_the_first_policy_is_unloaded_after_a_switch(bench) -> None:
    one = bench(unload_after_s=5.0)
    one.name("/left", "")
    one.name("/left", "/models/place", at_s=1.0, spec_id=10)
    one.ready("/models/place", 50, at_s=2.0)
    one.tick(3.0)
    one.tick(8.0)
    assert one.unloaded == [one.places[OWN]]
    assert one.state("/left") == (PolicyState.READY, "/models/place")


def test_a_robot_that_left_before_it_asked_holds_no_policy_back(bench) -> None:
    one = bench(max_policies_mb=0)
    one.name("/left", "/models/a")
    one.ready("/models/a", 40, at_s=1.0)
    one.leave("/left")
    one.name("/right", "/models/b", at_s=2.0)
    assert one.places["/models/b"] == 0


def test_a_robot_that_is_out_of_reach_for_a_moment_keeps_its_policy(bench) -> None:
    one = bench(max_policies_mb=0)
    one.name("/left", "")
    one.ask("/left", 1, at_s=0.5)
    one.leave("/left")
    one.name("/right", "/models/place", at_s=1.0)
    one.tick(IN_USE_S)
    assert "/models/place" not in one.places
    one.tick(IN_USE_S + 0.5)
    assert "/models/place" in one.places
