# SPDX-License-Identifier: Apache-2.0
"""How the demo runs an episode, against a chain that replies as it is told."""

from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from so101_demo.episodes import EpisodeRunner
from so101_demo.errors import DemoError
from so101_demo.panel import View
from so101_msgs.msg import DriverStatus, EpisodeEvent, QueueStatus

from so101_demo import episodes


class Reply:
    """A service's reply that is there at once."""

    def __init__(self, refusal: str = "") -> None:
        self._result = SimpleNamespace(success=not refusal, message=refusal)

    def done(self) -> bool:
        return True

    def result(self) -> Any:
        return self._result


class Chain:
    """Driver, queue and judge; `calls` lists the calls to them, `later` what the judge says while one waits."""

    def __init__(self) -> None:
        self.driver = DriverStatus(state=DriverStatus.HOLD, parked=True)
        self.queue = QueueStatus(state=QueueStatus.RUNNING)
        self.events: deque[EpisodeEvent] = deque()
        self.calls: list[str] = []
        self.refusals: dict[str, list[str]] = {}
        self.later: list[EpisodeEvent] = []
        self.statuses: list[DriverStatus] = []

    def trigger(self, service: str) -> Reply:
        self.calls.append(service)
        refusals = self.refusals.get(service, [])
        refusal = refusals.pop(0) if refusals else ""
        if service == "so101_driver/reset" and not refusal:
            self.driver = DriverStatus(state=DriverStatus.HOLD, parked=True)
        return Reply(refusal)

    def reset_episode(self, task: str, seed: int, episode: int) -> Reply:
        self.calls.append("judge/reset_episode")
        self.events.append(EpisodeEvent(event=EpisodeEvent.STARTED, task_name=task, episode=episode, seed=seed))
        return Reply()

    def wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        for _ in range(20):
            if condition():
                return True
            if self.statuses:
                self.driver = self.statuses.pop(0)
            if self.later and "judge/reset_episode" in self.calls:
                self.events.append(self.later.pop(0))
        return condition()


def end(kind: int, episode: int, seed: int) -> EpisodeEvent:
    return EpisodeEvent(event=kind, episode=episode, seed=seed, duration=5.0)


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def runner(chain: Chain, said: list[str]) -> EpisodeRunner:
    return EpisodeRunner(chain, View(), chain.wait, said.append)  # type: ignore[arg-type]


def test_an_episode_parks_lays_out_starts_and_stops(chain: Chain, runner: EpisodeRunner) -> None:
    chain.later = [end(EpisodeEvent.SUCCEEDED, 3, 77)]
    assert runner.run("belt", 77, 3).event == EpisodeEvent.SUCCEEDED
    assert chain.calls == ["so101_driver/park", "judge/reset_episode", "action_queue/start", "action_queue/stop"]


def test_an_arm_that_was_home_already_is_not_started_while_it_parks_once_more(
    chain: Chain, runner: EpisodeRunner
) -> None:
    stale = DriverStatus(state=DriverStatus.HOLD, parked=True)
    parking = DriverStatus(state=DriverStatus.HOLD, parked=True, cause="PARKING")
    chain.statuses = [stale] * 3 + [parking] * 30 + [stale]
    chain.later = [end(EpisodeEvent.SUCCEEDED, 3, 77)]
    left: list[int] = []
    trigger = chain.trigger

    def watched(service: str) -> Reply:
        if service == "action_queue/start":
            left.append(len(chain.statuses))
        return trigger(service)

    chain.trigger = watched  # type: ignore[method-assign]
    runner.run("static", 77, 3)
    assert left == [0]


@pytest.mark.parametrize(("episode", "seed"), [(2, 77), (3, 76)], ids=["earlier episode", "other scene"])
def test_the_late_end_of_another_episode_does_not_end_this_one(
    chain: Chain, runner: EpisodeRunner, episode: int, seed: int
) -> None:
    chain.later = [end(EpisodeEvent.ABORTED, episode, seed), end(EpisodeEvent.SUCCEEDED, 3, 77)]
    assert runner.run("static", 77, 3).event == EpisodeEvent.SUCCEEDED


@pytest.mark.parametrize(("outcome", "told"), [(EpisodeEvent.FAILED, 1), (EpisodeEvent.SUCCEEDED, 0)])
def test_a_cube_that_was_not_placed_for_want_of_chunks_is_told_with_the_reason(
    chain: Chain, runner: EpisodeRunner, said: list[str], outcome: int, told: int
) -> None:
    late = "camera top: frame is 0.8 s old"
    chain.queue = QueueStatus(state=QueueStatus.HOLDING, errors=8, requests=9, cause=late)
    chain.later = [end(outcome, 3, 77)]
    runner.run("static", 77, 3)
    assert said == [f"8 of 9 requests got no chunk: {late}"] * told


def test_a_reset_that_is_refused_for_a_while_is_tried_again(
    chain: Chain, runner: EpisodeRunner, said: list[str]
) -> None:
    chain.driver = DriverStatus(state=DriverStatus.LATCHED, cause="OVERLOAD")
    chain.refusals["so101_driver/reset"] = ["servo 3 is still overloaded"] * 2
    chain.later = []
    finish = chain.reset_episode

    def reset_episode(task: str, seed: int, episode: int) -> Reply:
        chain.later = [end(EpisodeEvent.SUCCEEDED, episode, seed)]
        return finish(task, seed, episode)

    chain.reset_episode = reset_episode  # type: ignore[method-assign]
    assert runner.run("static", 1, 0).event == EpisodeEvent.SUCCEEDED
    assert chain.calls.count("so101_driver/reset") == 3
    assert "action_queue/start" in chain.calls
    assert "so101_driver/reset refused: servo 3 is still overloaded; trying again" in said


def test_an_arm_that_cannot_be_brought_home_loses_the_episode_and_not_the_run(
    chain: Chain, runner: EpisodeRunner, said: list[str]
) -> None:
    chain.driver = DriverStatus(state=DriverStatus.LATCHED, cause="OVERLOAD")
    chain.refusals["so101_driver/reset"] = ["servo 3 is still overloaded"] * episodes.PARK_TRIES
    finish = chain.reset_episode

    def reset_episode(task: str, seed: int, episode: int) -> Reply:
        chain.later = [end(EpisodeEvent.FAILED, episode, seed)]
        return finish(task, seed, episode)

    chain.reset_episode = reset_episode  # type: ignore[method-assign]
    assert runner.run("static", 1, 0).event == EpisodeEvent.FAILED
    assert "action_queue/start" not in chain.calls
    assert said[-1] == "the arm cannot be brought home: this episode is lost"


def test_a_judge_that_falls_silent_ends_the_run_with_what_was_waited_for(chain: Chain, runner: EpisodeRunner) -> None:
    with pytest.raises(DemoError, match="waited 90 s for the judge to end the episode"):
        runner.run("static", 1, 0)
