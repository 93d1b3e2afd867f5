# SPDX-License-Identifier: Apache-2.0
"""Which requests a camera answers."""

from hypothesis import given
from hypothesis import strategies as st
from so101_camera.core.answering import PENDING_LIMIT_NS, AnsweringRule, CameraSpec, FrameRequest
from so101_camera.core.frame_phase import FrameWait

SHORT = FrameWait(1, 10)
SPEC = CameraSpec(7, ("top", "wrist"), 33_333_333)


def request(request_id: int, *, session: int = 1, spec_id: int = 7, history: int = 1) -> FrameRequest:
    return FrameRequest(session, request_id, spec_id, history)


def rule(camera: str = "top") -> AnsweringRule:
    result = AnsweringRule(camera)
    result.on_spec(SPEC)
    return result


def answered(camera: AnsweringRule, asked: FrameRequest, now_ns: int = 0) -> bool:
    camera.on_request(asked, now_ns)
    return camera.due(now_ns, frame_ready=True) is not None


def test_a_request_is_answered_once_and_its_copy_is_not() -> None:
    camera = rule()
    assert answered(camera, request(1))
    assert not answered(camera, request(1))


def test_a_lost_first_copy_is_made_good_by_the_second() -> None:
    camera = rule()
    assert answered(camera, request(1))
    assert answered(camera, request(2)), "its first copy never came; this is the second"


def test_a_late_copy_of_an_answered_request_stays_unanswered_after_newer_ones() -> None:
    camera = rule()
    assert [answered(camera, request(i)) for i in (1, 2, 1, 2, 3)] == [True, True, False, False, True]


def test_the_same_id_of_another_session_is_another_request() -> None:
    camera = rule()
    assert answered(camera, request(1, session=1))
    assert answered(camera, request(1, session=2))


def test_a_camera_that_the_spec_does_not_name_stays_silent() -> None:
    camera = rule("front")
    assert not camera.is_wanted
    assert not answered(camera, request(1))


def test_a_request_that_came_before_its_spec_is_answered_when_the_spec_comes() -> None:
    camera = AnsweringRule("top")
    assert not answered(camera, request(1))
    camera.on_spec(SPEC)
    due = camera.due(PENDING_LIMIT_NS, frame_ready=True)
    assert due == request(1)


def test_a_request_that_came_before_the_first_frame_is_answered_with_that_frame() -> None:
    camera = rule()
    camera.on_request(request(1), 0)
    assert camera.due(0, frame_ready=False) is None
    assert camera.due(1, frame_ready=True) == request(1)


def test_a_request_that_waited_too_long_is_forgotten() -> None:
    camera = rule()
    camera.on_request(request(1), 0)
    assert camera.due(PENDING_LIMIT_NS + 1, frame_ready=True) is None
    assert camera.due(0, frame_ready=True) is None


def test_a_request_of_another_spec_is_not_answered_by_the_present_one() -> None:
    camera = rule()
    assert not answered(camera, request(1, spec_id=8))


def test_a_request_whose_frame_was_of_no_use_waits_for_the_next() -> None:
    camera = rule()
    assert answered(camera, request(1))
    assert not answered(camera, request(1)), "the copy while the frame is being encoded"
    camera.take_back(request(1))
    assert camera.due(1, frame_ready=True) == request(1)
    assert camera.due(2, frame_ready=True) is None
    camera.take_back(request(1))
    assert camera.due(PENDING_LIMIT_NS + 1, frame_ready=True) is None, "the queue has asked again by now"


def test_a_request_that_is_taken_back_does_not_displace_a_newer_one() -> None:
    camera = rule()
    assert answered(camera, request(1))
    camera.on_request(request(2), 1)
    camera.take_back(request(1))
    assert camera.due(1, frame_ready=True) == request(2)
    camera.take_back(request(1))
    assert camera.due(1, frame_ready=True) is None


def test_history_zero_means_the_newest_frame() -> None:
    assert request(1, history=0).steps == 1


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 10)), max_size=40))
def test_no_order_of_copies_makes_a_camera_answer_twice(arrivals: list[tuple[int, int]]) -> None:
    camera = rule()
    got = [a for a in arrivals if answered(camera, request(a[1], session=a[0]))]
    assert len(got) == len(set(got)) == len(set(arrivals))


def test_a_request_that_waits_for_the_next_frame_is_answered_when_that_comes() -> None:
    camera = rule()
    assert camera.on_request(request(1), 0, wait=SHORT)
    assert camera.due(1, frame_ready=True) is None
    assert not camera.on_request(request(1), 5, wait=SHORT), "its copy does not begin again"
    camera.on_frame()
    assert camera.due(6, frame_ready=True) == request(1)


def test_a_request_that_waited_in_vain_gets_the_newest_frame() -> None:
    camera = rule()
    camera.on_request(request(1), 0, wait=SHORT)
    camera.on_request(request(1), 9, wait=SHORT)
    assert camera.due(9, frame_ready=True) is None
    assert camera.due(10, frame_ready=True) == request(1)


def test_a_robot_with_nothing_left_to_execute_waits_for_no_frame() -> None:
    camera = rule()
    asked = FrameRequest(1, 1, 7, must_go=True)
    assert not camera.on_request(asked, 0, wait=SHORT)
    assert camera.due(0, frame_ready=True) == asked


def test_a_newer_request_has_a_wait_of_its_own() -> None:
    camera = rule()
    camera.on_request(request(1), 0, wait=SHORT)
    assert not camera.on_request(request(2), 5)
    assert camera.due(5, frame_ready=True) == request(1), "nobody waits in vain for the frame of a request overtaken"
    assert camera.waited_ns == 5
    assert camera.due(5, frame_ready=True) == request(2)
    assert camera.waited_ns == 0
    assert camera.due(6, frame_ready=True) is None


def test_a_request_overtaken_while_it_waited_is_not_answered_twice() -> None:
    camera = rule()
    camera.on_request(request(1), 0, wait=SHORT)
    camera.on_request(request(2), 5, wait=SHORT)
    assert camera.due(5, frame_ready=True) == request(1)
    assert camera.due(5, frame_ready=True) is None
    assert not answered(camera, request(1), 6), "its copy"
    camera.on_frame()
    assert camera.due(7, frame_ready=True) == request(2)


def test_a_request_waits_for_as_many_frames_as_are_due() -> None:
    camera = rule()
    camera.on_request(request(1), 0, wait=FrameWait(2, 100))
    camera.on_frame()
    assert camera.due(30, frame_ready=True) is None
    camera.on_frame()
    assert camera.due(60, frame_ready=True) == request(1)
    assert camera.waited_ns == 60


def test_a_request_that_waited_says_how_long() -> None:
    camera = rule()
    camera.on_request(request(1), 0, wait=SHORT)
    assert camera.due(10, frame_ready=True) == request(1)
    assert camera.waited_ns == 10, "in vain"
    assert answered(camera, request(2), 20)
    assert camera.waited_ns == 0


def test_a_camera_finds_its_size_by_its_place_in_the_spec_and_goes_back_to_frames_as_captured() -> None:
    camera = rule("wrist")
    sizes = [(96, 128, 48, 64), (), (96, 128), (96, 128, 0, 64), (96, 128, 24, 32)]
    seen = []
    for number, size in enumerate(sizes, 1):
        asked = FrameRequest(1, number, 7, frame_sizes=size)
        assert answered(camera, asked)
        assert camera.spec is not None
        seen.append(camera.spec.size_for("wrist", asked))
    assert seen == [(48, 64), (0, 0), (0, 0), (0, 0), (24, 32)]
