"""Tests of waiting for the pictures of a question."""

from so101_sim.frame_wait import REMEMBERED, FrameWait

KEY = (5, 1)


def test_a_question_is_handed_out_once_when_its_last_picture_has_come() -> None:
    wait = FrameWait(100)
    assert wait.ask(KEY, ["top", "front"], 0) == (True, None)
    wait.picture(KEY, "top")
    assert wait.take() is None
    wait.picture(KEY, "front")
    assert wait.take() == KEY
    assert wait.take() is None


def test_pictures_may_come_before_their_question() -> None:
    wait = FrameWait(100)
    wait.picture(KEY, "top")
    wait.ask(KEY, ["top"], 0)
    assert wait.take() == KEY


def test_pictures_of_another_question_do_not_count() -> None:
    wait = FrameWait(100)
    wait.ask(KEY, ["top"], 0)
    wait.picture((5, 2), "top")
    wait.picture((6, 1), "top")
    assert wait.take() is None


def test_the_second_copy_of_a_question_is_not_new() -> None:
    wait = FrameWait(100)
    wait.ask(KEY, [], 0)
    assert wait.take() == KEY
    assert wait.ask(KEY, [], 1) == (False, None)
    assert wait.take() is None


def test_a_newer_question_displaces_the_one_that_waits() -> None:
    wait = FrameWait(100)
    wait.ask(KEY, ["top"], 0)
    assert wait.ask((5, 2), ["top"], 1) == (True, KEY)
    wait.picture(KEY, "top")
    assert wait.take() is None


def test_an_overdue_question_is_given_up_with_the_cameras_that_are_missing() -> None:
    wait = FrameWait(100)
    wait.ask(KEY, ["wrist", "top", "front"], 0)
    wait.picture(KEY, "top")
    assert wait.overdue(99) is None
    assert wait.overdue(100) == (KEY, ["front", "wrist"])
    assert wait.overdue(200) is None


def test_a_complete_question_is_never_overdue() -> None:
    wait = FrameWait(100)
    wait.ask(KEY, ["top"], 0)
    wait.picture(KEY, "top")
    assert wait.overdue(1000) is None
    assert wait.take() == KEY


def test_what_is_remembered_is_bounded() -> None:
    wait = FrameWait(100)
    wait.ask(KEY, [], 0)
    for number in range(2, 2 + REMEMBERED):
        wait.ask((5, number), [], 0)
    assert wait.ask(KEY, [], 0)[0]
