# SPDX-License-Identifier: Apache-2.0
"""Services called by hand."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from so101_doctor.call import choose, main
from so101_doctor.errors import CallError
from so101_driver.ros.pair_services import PairServices
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


PAIR = ["/left/so101_driver/reset", "/right/so101_driver/reset", "/so101_driver/reset"]


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ("reset", "/so101_driver/reset"),
        ("so101_driver/reset", "/so101_driver/reset"),
        ("left/so101_driver/reset", "/left/so101_driver/reset"),
        ("right/so101_driver/reset", "/right/so101_driver/reset"),
    ],
)
def test_of_a_pair_the_service_that_calls_both_drivers_is_meant(wanted: str, meant: str) -> None:
    assert choose(wanted, PAIR, PAIR[:2]) == meant


def test_a_pair_stands_for_its_own_arms_alone() -> None:
    with pytest.raises(CallError, match=r"may mean /other/so101_driver/reset or /so101_driver/reset: write"):
        choose("reset", ["/other/so101_driver/reset", *PAIR], PAIR[:2])


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


def offer(own: OwnNode, name: str, called: list[str], *, success: bool = True) -> None:
    """Offer `~/name`, which writes itself down when it is called."""

    def reply(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        called.append(name)
        response.success, response.message = success, f"{name} it is"
        return response

    own.node.create_service(Trigger, f"~/{name}", reply)


@contextmanager
def served(*nodes: OwnNode) -> Iterator[None]:
    """Let the nodes answer, each on a thread of its own."""
    ended = threading.Event()

    def serve(own: OwnNode) -> None:
        while not ended.is_set():
            own.spin(0.05)

    threads = [threading.Thread(target=serve, args=(own,)) for own in nodes]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
        for own in nodes:
            own.close()


@pytest.fixture
def robot() -> Iterator[list[str]]:
    """A node with two services, which it writes down when they are called."""
    called: list[str] = []
    own = OwnNode("robot_of_the_call_test")
    offer(own, "start", called)
    offer(own, "release", called, success=False)
    with served(own):
        yield called


def test_a_call_is_carried_out_and_its_reply_shown(robot: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["robot_of_the_call_test/start"]) == 0
    assert main(["release"]) == 1
    assert robot == ["start", "release"]
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "/robot_of_the_call_test/start: ok: start it is",
        "/robot_of_the_call_test/release: refused: release it is",
    ]


def test_a_pair_is_called_by_the_last_word_alone(capsys: pytest.CaptureFixture[str]) -> None:
    called: list[str] = []
    arms = [OwnNode("so101_driver", namespace=f"/{arm}") for arm in ("left", "right")]
    for own in arms:
        offer(own, "emergency_stop", called)
    pair = OwnNode("driver_pair")
    PairServices(pair.node, ("left", "right"), {"emergency_stop": str})
    with served(pair, *arms):
        assert main(["emergency_stop"]) == 0
    words = "left: emergency_stop it is; right: emergency_stop it is"
    assert capsys.readouterr().out.splitlines() == [f"/so101_driver/emergency_stop: ok: {words}"]
    assert called == ["emergency_stop", "emergency_stop"]


def test_the_services_are_listed(robot: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "/robot_of_the_call_test/start" in capsys.readouterr().out.splitlines()
    assert robot == []


def test_a_service_that_nobody_offers_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["emergency_stop", "--wait", "0.5"]) == 1
    assert capsys.readouterr().err.startswith("so101 call: no service 'emergency_stop'")
