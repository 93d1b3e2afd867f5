# SPDX-License-Identifier: Apache-2.0
"""Services called by hand."""

import threading
from collections.abc import Iterator

import pytest
from so101_doctor.call import choose, main
from so101_doctor.errors import CallError
from so101_node.process.own_node import OwnNode
from std_srvs.srv import Trigger

PRESENT = ["/action_queue/start", "/action_queue/stop", "/left/so101_driver/park", "/right/so101_driver/park"]


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ("start", "/action_queue/start"),
        ("action_queue/stop", "/action_queue/stop"),
        ("/action_queue/stop", "/action_queue/stop"),
        ("left/so101_driver/park", "/left/so101_driver/park"),
    ],
)
def test_a_service_is_named_as_far_as_needed(wanted: str, meant: str) -> None:
    assert choose(wanted, PRESENT) == meant


@pytest.mark.parametrize(
    ("wanted", "present", "words"),
    [
        ("park", PRESENT, "may mean /left/so101_driver/park or /right/so101_driver/park"),
        ("strat", PRESENT, "there are /action_queue/start"),
        ("art", PRESENT, "no service 'art'"),
        ("", PRESENT, "no service ''"),
        ("start", [], "no robot is heard"),
    ],
)
def test_what_cannot_be_meant_is_told_in_one_line(wanted: str, present: list[str], words: str) -> None:
    with pytest.raises(CallError) as raised:
        choose(wanted, present)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.fixture
def robot() -> Iterator[list[str]]:
    """A node with two services, which it writes down when they are called."""
    called: list[str] = []
    own = OwnNode("robot_of_the_call_test")

    def reply_with(name: str, success: bool) -> None:
        def reply(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            called.append(name)
            response.success, response.message = success, f"{name} it is"
            return response

        own.node.create_service(Trigger, f"~/{name}", reply)

    reply_with("start", True)
    reply_with("release", False)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            own.spin(0.05)

    thread = threading.Thread(target=serve)
    thread.start()
    yield called
    ended.set()
    thread.join()
    own.close()


def test_a_call_is_carried_out_and_its_reply_shown(robot: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["robot_of_the_call_test/start"]) == 0
    assert main(["release"]) == 1
    assert robot == ["start", "release"]
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "/robot_of_the_call_test/start: ok: start it is",
        "/robot_of_the_call_test/release: refused: release it is",
    ]


def test_the_services_are_listed(robot: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "/robot_of_the_call_test/start" in capsys.readouterr().out.splitlines()
    assert robot == []


def test_a_service_that_nobody_offers_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["emergency_stop", "--wait", "0.5"]) == 1
    assert capsys.readouterr().err.startswith("so101 call: error: no service 'emergency_stop'")
