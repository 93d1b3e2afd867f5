# SPDX-License-Identifier: Apache-2.0
"""The core: specs, requests, loading and status, with a clock of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from so101_node.log_lines import LogLevel, LogLine
from so101_node.protocol import ChunkStatus, PolicyState
from so101_policy_server.core.effects import LoadPolicy
from so101_policy_server.core.intake import DecodeFrame
from so101_policy_server.core.policy_cache import IN_USE_S
from so101_policy_server.core.request import ChunkTiming, RequestKey, ServedChunk
from so101_policy_server.core.server import PolicyServer

NS = 1_000_000_000


def answers(effects) -> list[ServedChunk]:
    return [effect for effect in effects if isinstance(effect, ServedChunk)]


def logs(effects, level: LogLevel) -> list[str]:
    return [effect.text for effect in effects if isinstance(effect, LogLine) and effect.level is level]


def loads(effects) -> list[str]:
    return [effect.source.path for effect in effects if isinstance(effect, LoadPolicy)]


def observe(server: PolicyServer, examples, request_id: int = 1, now_ns: int = 0, **changes) -> None:
    """A request and its two frames, decoded."""
    effects = server.request(examples.request(request_id, received_ns=now_ns, **changes), now_ns)
    robot, session = changes.get("robot", ""), changes.get("session", 7)
    for camera in ("front", "wrist"):
        effects += server.frame(examples.frame(camera, request_id, robot=robot, session=session, received_ns=now_ns))
    for effect in effects:
        assert isinstance(effect, DecodeFrame), effect
        server.decoded(effect.frame, examples.picture(), now_ns)


def only_answer(effects) -> ServedChunk:
    (answer,) = answers(effects)
    return answer


def test_it_loads_its_own_policy_and_becomes_ready(examples) -> None:
    server = PolicyServer(examples.config())
    server.activate()
    assert server.status("").state is PolicyState.UNCONFIGURED
    assert loads(server.start()) == ["/models/pick"]
    server.loading("importing LeRobot")
    report = server.status("")
    assert (report.state, report.message) == (PolicyState.LOADING, "loading /models/pick: importing LeRobot")
    server.loaded(examples.description(), 0)
    report = server.status("")
    assert (report.state, report.message, report.cameras) == (PolicyState.READY, "", ("front", "wrist"))


def test_a_failed_load_is_an_error_that_stays_and_is_the_answer_to_every_request(examples) -> None:
    server = PolicyServer(examples.config())
    server.activate()
    server.start()
    effects = server.load_failed("no folder /models/pick")
    assert logs(effects, LogLevel.ERROR) == ["Failed to load policy: no folder /models/pick"]
    report = server.status("")
    assert (report.state, report.message) == (PolicyState.ERROR, "Failed to load policy: no folder /models/pick")
    answer = only_answer(server.request(examples.request(), 0))
    assert (answer.status, answer.message) == (
        ChunkStatus.POLICY_ERROR,
        "Failed to load policy: no folder /models/pick",
    )
    assert answer.retry_after_s > 0


def test_a_checkpoint_that_contradicts_the_parameters_is_a_failed_load(examples) -> None:
    server = PolicyServer(examples.config())
    server.start()
    effects = server.loaded(examples.description(state_dim=14, action_dim=14), 0)
    assert logs(effects, LogLevel.ERROR)[0].startswith("Failed to load policy: joint_names has 6 joints")
    assert server.status("").state is PolicyState.ERROR


def test_a_new_session_is_greeted_once(examples) -> None:
    server = PolicyServer(examples.config())
    server.start()
    assert server.spec("", examples.spec(), 0) == []  # nothing to check it against yet
    assert logs(server.loaded(examples.description(), 0), LogLevel.INFO)[1] == (
        "Client connected and ready: robot /, 50 rows a chunk"
    )
    assert server.spec("", examples.spec(), 0) == []
    assert not logs(server.spec("", examples.spec(spec_id=10, task="place"), 0), LogLevel.INFO)
    assert logs(server.spec("", examples.spec(spec_id=11, session=8), 0), LogLevel.INFO)[0].startswith(
        "Client connected"
    )


def test_a_shortfall_of_rows_is_said(examples) -> None:
    server = examples.ready_server()
    effects = server.spec("", examples.spec(spec_id=10, actions_per_chunk=80), 0)
    assert logs(effects, LogLevel.WARNING) == ["actions_per_chunk is 80, the policy's horizon 50: chunks have 50 rows"]


def test_a_spec_that_does_not_fit_is_an_error_for_that_robot_only(examples) -> None:
    server = examples.ready_server()
    effects = server.spec("/left", examples.spec(fps=20.0), 0)
    assert logs(effects, LogLevel.ERROR) == [
        "Spec of robot /left rejected: fps is 20: the server's policy runs at fps 30"
    ]
    assert server.status("/left").state is PolicyState.ERROR
    assert server.status("/left").message == "spec rejected: fps is 20: the server's policy runs at fps 30"
    assert server.status("").state is PolicyState.READY
    answer = only_answer(server.request(examples.request(robot="/left"), 0))
    assert (answer.status, answer.message) == (
        ChunkStatus.SPEC_REJECTED,
        "fps is 20: the server's policy runs at fps 30",
    )


def test_a_corrected_spec_is_accepted(examples) -> None:
    server = examples.ready_server()
    server.spec("", examples.spec(spec_id=10, fps=20.0), 0)
    server.spec("", examples.spec(spec_id=11), 0)
    assert (server.status("").state, server.status("").spec_id) == (PolicyState.READY, 11)


def test_a_complete_observation_becomes_a_job_and_its_answer_frees_the_server(examples) -> None:
    server = examples.ready_server()
    observe(server, examples)
    (job,) = server.take(5)
    assert server.status("").busy == examples.key()
    answer = ServedChunk(
        job.complete.request,
        ChunkStatus.OK,
        joint_names=examples.joints,
        positions=np.zeros((50, 6), np.float32),
        timing=ChunkTiming(inference=0.2),
    )
    effects = server.finished([answer], 10)
    assert only_answer(effects) is answer
    assert logs(effects, LogLevel.WARNING)[0].startswith("inference takes 0.200 s")
    report = server.status("")
    assert (report.busy, report.answered, report.failed, report.inference_p50_s) == (None, 1, 0, 0.2)


def test_the_servers_task_is_for_requests_without_one(examples) -> None:
    server = examples.ready_server(task="tidy up")
    observe(server, examples, 1, task="")
    assert server.take(0)[0].task == "tidy up"
    observe(server, examples, 2, task="pick")
    assert server.take(0)[0].task == "pick"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"joint_names": ("a", "b", "c", "d", "e", "f")}, "joint_names is a, b, c, d, e, f: policy_spec says"),
        ({"positions": np.full((1, 6), np.nan)}, "positions has values that are not finite"),
        ({"leftover": np.full((2, 6), np.inf)}, "leftover has values that are not finite"),
        ({"leftover": np.zeros((2, 6))}, "leftover_rows is 2: a policy of type act cannot continue a chunk"),
        ({"positions": np.zeros((0, 6))}, "history is 0: the policy reads n_obs_steps = 1"),
        ({"fault": "positions has 5 values"}, "positions has 5 values"),
    ],
)
def test_a_request_that_contradicts_itself_is_a_bad_request(examples, changes, reason: str) -> None:
    answer = only_answer(examples.ready_server().request(examples.request(**changes), 0))
    assert answer.status is ChunkStatus.BAD_REQUEST
    assert answer.message.startswith(reason)


def test_a_policy_that_resizes_frames_itself_gets_none_at_another_size_than_the_cameras(examples) -> None:
    server = PolicyServer(examples.config())
    server.start()
    server.activate()
    described = examples.description()
    server.loaded(replace(described, images=tuple(replace(image, native=True) for image in described.images)), 0)
    server.spec("", examples.spec(), 0)
    reply = only_answer(server.request(examples.request(frame_sizes=((0, 0), (24, 32))), 0))
    assert reply.message == "frames of camera wrist were requested at 32x24: the policy reads them as captured"


def test_more_history_than_the_policy_reads_is_cut_to_the_newest(examples) -> None:
    server = examples.ready_server()
    observe(server, examples, positions=np.array([[0.1] * 6, [0.2] * 6]))
    assert server.take(0)[0].complete.request.positions.tolist() == [[0.2] * 6]


def test_a_request_ahead_of_its_spec_is_told_to_come_back(examples) -> None:
    answer = only_answer(examples.ready_server().request(examples.request(spec_id=12), 0))
    assert (answer.status, answer.message) == (ChunkStatus.NOT_READY, "policy_spec 12 has not arrived yet")
    assert answer.retry_after_s > 0


def test_an_error_is_answered_once_however_many_copies_come(examples) -> None:
    server = examples.ready_server()
    bad = examples.request(positions=np.full((1, 6), np.nan))
    assert len(server.request(bad, 0)) == 1
    assert server.request(bad, 0) == []
    assert server.status("").failed == 1


def test_a_frame_that_cannot_be_decoded_names_its_camera(examples) -> None:
    server = examples.ready_server()
    server.request(examples.request(), 0)
    answer = only_answer(server.not_decoded(examples.frame("front"), "truncated jpeg image of 500 bytes"))
    assert (answer.status, answer.message) == (
        ChunkStatus.OBSERVATION_INCOMPLETE,
        "camera front: truncated jpeg image of 500 bytes",
    )


def test_an_inactive_server_refuses_and_answers_what_waits(examples) -> None:
    server = examples.ready_server()
    server.request(examples.request(1), 0)
    assert only_answer(server.deactivate()).status is ChunkStatus.NOT_READY
    assert only_answer(server.request(examples.request(2), 0)).status is ChunkStatus.NOT_READY
    assert server.status("").state is PolicyState.UNCONFIGURED
    server.activate()
    assert server.status("").state is PolicyState.READY


def test_a_request_that_waits_while_its_spec_changes_is_answered(examples) -> None:
    server = examples.ready_server()
    observe(server, examples)
    answer = only_answer(server.spec("", examples.spec(spec_id=10, task="place"), 0))
    assert (answer.status, answer.message) == (ChunkStatus.NOT_READY, "policy_spec has changed")
    assert server.take(0) == []


def test_a_robot_can_make_it_load_only_what_is_allowed(examples) -> None:
    server = examples.ready_server(allowed_policies=("/models/*",))
    assert loads(server.spec("", examples.spec(spec_id=10, path="/models/place", policy_type="act"), 0)) == [
        "/models/place"
    ]
    assert server.status("").state is PolicyState.LOADING
    assert only_answer(server.request(examples.request(spec_id=10), 0)).status is ChunkStatus.NOT_READY
    for path in ("/elsewhere/x", "/models/../elsewhere/x"):
        server = examples.ready_server(allowed_policies=("/models/*",))
        assert not loads(server.spec("", examples.spec(spec_id=10, path=path), 0))
        assert "allowed_policies does not admit another" in server.status("").message


def test_a_server_without_policy_loads_what_a_robot_names(examples) -> None:
    from so101_policy_server.policy import PolicySource

    server = PolicyServer(examples.config(source=PolicySource(""), allowed_policies=("lab/*",)))
    server.activate()
    assert server.start() == []
    server.spec("/left", examples.spec(path="other/policy"), 0)
    assert "'other/policy': the server's allowed_policies does not admit it" in server.status("/left").message
    assert loads(server.spec("", examples.spec(path="lab/pick", device="cuda"), 0)) == ["lab/pick"]


def test_a_policy_in_use_by_another_robot_is_not_taken_away(examples) -> None:
    server = examples.ready_server(allowed_policies=("*",))
    server.request(examples.request(), 0)
    later = int(IN_USE_S * NS) - 1
    assert not loads(server.spec("/left", examples.spec(path="/models/place"), later))
    assert "is in use by robot /" in server.status("/left").message
    assert loads(server.spec("/left", examples.spec(spec_id=10, path="/models/place"), later + 1)) == ["/models/place"]


def test_a_robot_without_a_path_never_gets_chunks_of_a_policy_that_another_robot_named(examples) -> None:
    server = examples.ready_server(allowed_policies=("*",))
    server.request(examples.request(), 0)
    later = int(IN_USE_S * NS)
    server.spec("/left", examples.spec(path="/models/place"), later)
    server.loaded(examples.description(path="/models/place"), later)
    assert server.status("/left").state is PolicyState.READY
    assert server.status("").message == (
        "spec rejected: pretrained_name_or_path is '' (the server's own, '/models/pick'): "
        "the server runs '/models/place', for another robot"
    )
    assert only_answer(server.request(examples.request(2), later)).status is ChunkStatus.SPEC_REJECTED


def test_a_robot_that_found_the_policy_in_use_gets_its_own_once_nobody_asks_any_more(examples) -> None:
    server = examples.ready_server(allowed_policies=("*",))
    server.request(examples.request(), 5 * NS)
    server.spec("/left", examples.spec(path="/models/place"), 6 * NS)
    server.spec("/left", examples.spec(path="/models/place"), 7 * NS)  # its latched copy
    assert "is in use by robot / until it has not asked for 30 s" in server.status("/left").message
    free = int((5 + IN_USE_S) * NS)
    assert not loads(server.tick(free - 1))
    assert loads(server.tick(free)) == ["/models/place"]
    assert not loads(server.tick(free + 1))
    server.loaded(examples.description(path="/models/place"), free + NS)
    assert server.status("/left").state is PolicyState.READY


def test_a_policy_that_was_loaded_for_a_robot_stays_until_it_can_have_asked(examples) -> None:
    server = examples.ready_server(allowed_policies=("*",))
    server.spec("/left", examples.spec(path="/models/place"), 0)
    assert not loads(server.spec("", examples.spec(spec_id=10), NS))
    assert "'/models/place' is in use by robot /left" in server.status("").message
    assert not loads(server.tick(100 * NS))  # however long it takes to load
    ready = 100 * NS
    server.loaded(examples.description(path="/models/place"), ready)
    assert "'/models/place', for another robot" in server.status("").message
    assert not loads(server.tick(ready + int(IN_USE_S * NS) - 1))
    assert loads(server.tick(ready + int(IN_USE_S * NS))) == ["/models/pick"]


def test_two_robots_that_do_not_ask_do_not_take_the_policy_from_each_other(examples) -> None:
    server = examples.ready_server(allowed_policies=("*",))
    server.request(examples.request(), 0)
    server.spec("/left", examples.spec(path="/models/place"), 0)
    loaded = []
    for second in range(600):
        for path in loads(server.tick(second * NS)):
            loaded.append(path)
            server.loaded(examples.description(path=path), second * NS)
    assert loaded == ["/models/place"]


def test_a_robot_that_waits_for_its_policy_is_served_as_well_when_another_brings_that(examples) -> None:
    server = examples.ready_server(allowed_policies=("*",))
    server.request(examples.request(), 0)
    server.spec("/left", examples.spec(path="/models/place"), 0)
    server.spec("", examples.spec(spec_id=10, path="/models/place"), NS)
    server.loaded(examples.description(path="/models/place"), 2 * NS)
    assert {server.status(name).state for name in ("", "/left")} == {PolicyState.READY}
    assert not loads(server.tick(100 * NS))


def test_the_age_of_the_oldest_frame_is_known_for_each_robot(examples) -> None:
    server = examples.ready_server()
    server.spec("/left", examples.spec(), 0)
    for robot, age_s in (("", 0.03), ("/left", 0.12)):
        effects = server.request(examples.request(robot=robot), 0)
        for camera, age in (("front", age_s), ("wrist", 0.01)):
            effects += server.frame(examples.frame(camera, robot=robot, capture_age_s=age))
        for effect in effects:
            server.decoded(effect.frame, examples.picture(), 0)
        complete = server.take(0)[0].complete
        server.finished([ServedChunk(complete.request, ChunkStatus.OK, timing=complete.timing)], 0)
    assert server.status("").frame_age_p50_s == server.status("").frame_age_p95_s == 0.03
    assert server.status("/left").frame_age_p50_s == 0.12


def test_after_a_failed_load_a_new_spec_tries_again(examples) -> None:
    server = PolicyServer(examples.config())
    server.start()
    server.load_failed("disk not mounted")
    assert loads(server.spec("", examples.spec(), 0)) == ["/models/pick"]
    server.load_failed("disk not mounted")
    assert server.spec("", examples.spec(), 0) == []  # the same spec again is only its latched copy
    assert loads(server.spec("", examples.spec(session=8, spec_id=10), 0)) == ["/models/pick"]


def test_overdue_requests_are_given_up_on_a_tick(examples) -> None:
    server = examples.ready_server()
    server.request(examples.request(), 0)
    assert server.tick(NS - 1) == []
    assert only_answer(server.tick(NS)).status is ChunkStatus.OBSERVATION_INCOMPLETE


def test_an_inference_that_never_returns_is_an_error_after_its_timeout(examples) -> None:
    server = examples.ready_server(inference_timeout_s=10.0)
    observe(server, examples)
    server.take(0)
    assert server.stuck(10 * NS - 1) is None
    assert server.stuck(10 * NS) == "inference of request 1 has not returned within inference_timeout_s = 10 s"
    assert server.status("").state is PolicyState.ERROR


def test_two_robots_are_served_in_turn_and_never_get_each_others_pictures(examples) -> None:
    server = examples.ready_server()
    server.spec("/left", examples.spec(), 0)
    for robot, shade in (("", 10), ("/left", 200)):
        effects = server.request(examples.request(robot=robot), 0)
        for camera in ("front", "wrist"):
            effects += server.frame(examples.frame(camera, robot=robot))
        for effect in effects:
            server.decoded(effect.frame, np.full((2, 2, 3), shade, np.uint8), 0)
    for robot, shade in (("", 10), ("/left", 200)):
        complete = server.take(0)[0].complete
        assert complete.request.key.session.robot == robot
        assert {int(picture.mean()) for pictures in complete.images.values() for picture in pictures} == {shade}


def test_a_flood_of_strangers_fills_no_memory_and_each_question_has_one_answer(examples) -> None:
    """Requests and large frames of sessions that nobody started; 400 MB of them, of which 32 MB may stay."""
    server = examples.ready_server()
    big = np.zeros(2_000_000, np.uint8)
    answered: Counter[RequestKey] = Counter()

    def note(effects) -> None:
        answered.update(answer.request.key for answer in answers(effects))

    for number in range(1, 1001):
        spec_id = 9 if number % 2 else 1
        note(server.request(examples.request(1, session=number, spec_id=spec_id), number))
        note(server.request(examples.request(1, session=number, spec_id=spec_id), number))  # its copy
        note(server.frame(examples.frame("front", number, session=number + 10_000, data=big)))
    early, mailbox = server._intake._early, server._intake._mailbox
    assert sum(frame.data.size for frame in early._frames.values()) == early._bytes <= 32 * 1024 * 1024
    assert len(mailbox.waiting()) <= 32
    assert len(mailbox._slots) <= 33
    note(server.tick(10 * NS))
    assert len(answered) == 1000
    assert set(answered.values()) == {1}
    assert len(early) == 0


def test_what_is_unlikely_about_a_checkpoint_is_a_warning_when_it_is_loaded(examples) -> None:
    server = PolicyServer(examples.config())
    server.start()
    effects = server.loaded(examples.description(warnings=("statistics: no feature has a norm mode",)), 0)
    warned = [effect.text for effect in effects if isinstance(effect, LogLine) and effect.level is LogLevel.WARNING]
    assert warned == ["statistics: no feature has a norm mode"]


def test_cameras_and_renaming_of_the_servers_own_policy_are_not_those_of_a_policy_that_a_robot_names(examples) -> None:
    served = examples.served(rename_map={"observation.images.front": "observation.images.camera1"})
    server = PolicyServer(examples.config(served=served, cameras=("wrist", "front"), allowed_policies=("lab/*",)))
    server.start()
    server.activate()
    server.loaded(examples.description("camera1", "camera2"), 0)
    server.spec("", examples.spec(path="lab/other"), 0)
    server.loaded(examples.description("front", "wrist"), 0)
    report = server.status("")
    assert (report.state, report.cameras) == (PolicyState.READY, ("front", "wrist"))
    server.spec("", examples.spec(spec_id=10, path="lab/third"), 0)
    server.load_failed("no statistics -> statistics_from: so100.*")
    assert (
        "statistics_from is of the server's own policy: give this as pretrained_name_or_path"
        in server.status("").message
    )


MS = 1_000_000


@pytest.fixture
def shared(examples) -> PolicyServer:
    """Four robots, /1 to /4, at a policy that batches."""
    server = PolicyServer(examples.config(batch_window_s=0.005))
    server.start()
    server.activate()
    server.loaded(examples.description(batches=True), 0)
    for number in range(1, 5):
        server.spec(f"/{number}", examples.spec(), 0)
    return server


def together(batch) -> list[str]:
    return [prepared.complete.request.key.session.robot for prepared in batch]


def finish(server: PolicyServer, batch, now_ns: int) -> None:
    server.finished([ServedChunk(prepared.complete.request, ChunkStatus.OK) for prepared in batch], now_ns)


def test_requests_that_wait_go_to_a_policy_that_batches_together_and_to_another_one_by_one(examples, shared) -> None:
    for number in range(1, 5):
        observe(shared, examples, robot=f"/{number}", now_ns=number)
    assert shared.batch_wait_ns(5) == 0
    batch = shared.take(5)
    assert together(batch) == ["/1", "/2", "/3", "/4"]
    assert [shared.status(f"/{number}").busy.session.robot for number in range(1, 5)] == ["/1", "/2", "/3", "/4"]
    assert shared.status("/5").busy.session.robot == "/1"
    finish(shared, batch, 10)
    assert shared.status("/1").busy is None
    shared.load_failed("gone")
    shared.loaded(examples.description(), 10)
    for number in (1, 2):
        observe(shared, examples, 2, robot=f"/{number}", now_ns=number)
    assert [together(shared.take(20)), together(shared.take(20))] == [["/1"], ["/2"]]


def test_one_robot_never_waits_for_others_that_are_not_about_to_ask(examples, shared) -> None:
    for request_id in range(1, 20):
        now_ns = request_id * 100 * MS
        observe(shared, examples, request_id, robot="/1", now_ns=now_ns)
        assert shared.batch_wait_ns(now_ns) == 0
        finish(shared, shared.take(now_ns), now_ns + 30 * MS)


def test_a_batch_waits_for_a_request_whose_frames_are_on_their_way_and_goes_with_it(examples, shared) -> None:
    observe(shared, examples, robot="/1", now_ns=100 * MS)
    request = examples.request(robot="/2", received_ns=100 * MS)
    shared.request(request, 100 * MS)
    assert shared.batch_wait_ns(101 * MS) == 4 * MS
    effects = [shared.frame(examples.frame(camera, robot="/2")) for camera in ("front", "wrist")]
    for (effect,) in effects:
        shared.decoded(effect.frame, examples.picture(), 102 * MS)
    assert shared.batch_wait_ns(102 * MS) == 0
    assert together(shared.take(102 * MS)) == ["/1", "/2"]


def test_a_camera_that_does_not_answer_costs_the_others_no_more_than_the_window(examples, shared) -> None:
    shared.request(examples.request(robot="/2"), 99 * MS)
    observe(shared, examples, robot="/1", now_ns=100 * MS)
    assert shared.batch_wait_ns(100 * MS) == 5 * MS
    assert shared.batch_wait_ns(105 * MS) == 0


def test_a_batch_does_not_wait_for_a_request_whose_frames_are_due_later_than_it_may_wait(examples, shared) -> None:
    shared.request(examples.request(robot="/2", frame_wait_ns=30 * MS), 99 * MS)
    observe(shared, examples, robot="/1", now_ns=100 * MS)
    assert shared.batch_wait_ns(100 * MS) == 0
    finish(shared, shared.take(100 * MS), 101 * MS)
    observe(shared, examples, robot="/3", now_ns=126 * MS)
    assert shared.batch_wait_ns(126 * MS) == 5 * MS, "due in 3 ms"


def test_a_robot_whose_next_request_is_due_is_waited_for(examples, shared) -> None:
    """Each asks every 40 ms; /2 is 3 ms behind /1."""
    for turn in range(3):
        began_ns = turn * 40 * MS
        observe(shared, examples, turn + 1, robot="/1", now_ns=began_ns)
        if turn == 2:
            assert shared.batch_wait_ns(began_ns) == 5 * MS
        observe(shared, examples, turn + 1, robot="/2", now_ns=began_ns + 3 * MS)
        assert shared.batch_wait_ns(began_ns + 3 * MS) == 0
        finish(shared, shared.take(began_ns + 3 * MS), began_ns + 33 * MS)


def test_a_batch_that_is_full_goes_at_once(examples) -> None:
    server = PolicyServer(examples.config(max_batch=2))
    server.start()
    server.activate()
    server.loaded(examples.description(batches=True), 0)
    for number in range(1, 4):
        server.spec(f"/{number}", examples.spec(), 0)
    server.request(examples.request(robot="/3"), 0)
    for number in (1, 2):
        observe(server, examples, robot=f"/{number}")
    assert server.batch_wait_ns(0) == 0
    assert together(server.take(0)) == ["/1", "/2"]


def test_a_batch_may_take_the_inference_timeout_for_each_of_its_requests(examples, shared) -> None:
    for number in (1, 2):
        observe(shared, examples, robot=f"/{number}")
    shared.take(0)
    assert shared.stuck(19 * NS) is None
    assert shared.stuck(20 * NS) == (
        "inference of request 1 and 1 more has not returned within 2 x inference_timeout_s = 10 s"
    )
