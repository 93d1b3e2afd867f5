# SPDX-License-Identifier: Apache-2.0
"""The gate of a pair: a command goes to both arms or to neither, and what one cannot do the other does not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_driver.core.pair_gate import ArmReport, PairConfig, PairGate, PairMode
from so101_node.protocol import DriverState

ARMS = ("left", "right")
CONFIG = PairConfig(ARMS, engage_tolerance_rad=0.2, engage_within_s=0.3, arm_silent_s=0.15)
HERE = np.zeros(6)
NEAR = dict.fromkeys(ARMS, HERE + 0.1)
WATCH_S = 0.02


class Pair:
    """A gate with a clock of its own and two drivers that do as they are told to."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000
        self.gate = PairGate(CONFIG, self.now_ns)
        self.silent: set[str] = set()
        self.said = {arm: ArmReport(1, DriverState.HOLD, "", "", HERE) for arm in ARMS}
        self.heard: dict[str, ArmReport] = {}  # what the gate knows: a silent arm's words do not reach it
        for arm in ARMS:
            self.say(arm, DriverState.HOLD)

    def say(self, arm: str, state: DriverState, cause: str = "", message: str = "") -> None:
        self.said[arm] = ArmReport(1, state, cause, message, HERE)
        if arm not in self.silent:
            self.hear(arm)

    def hear(self, arm: str) -> None:
        """What that driver says now reaches the gate."""
        self.heard[arm] = self.said[arm]
        self.gate.hear_positions(arm, self.now_ns, HERE)
        self.gate.hear_status(arm, self.now_ns, self.said[arm])

    def run(self, seconds: float) -> None:
        """Both drivers go on as they are, but for the silent ones."""
        for _ in range(round(seconds / WATCH_S)):
            self.now_ns += round(WATCH_S * 1e9)
            for arm in set(ARMS) - self.silent:
                self.hear(arm)
            self.gate.watch(self.now_ns, WATCH_S)

    def command(self, wanted: dict[str, np.ndarray] | None = None) -> bool:
        return self.gate.command(self.now_ns, wanted or NEAR)

    def engage(self) -> None:
        assert self.command()
        for arm in ARMS:
            self.say(arm, DriverState.ENGAGED)
        assert self.gate.mode is PairMode.ENGAGED

    def shown(self) -> tuple[DriverState, str]:
        shown = self.gate.shown(self.now_ns)
        return shown.state, shown.cause


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_before_both_drivers_are_heard_there_is_no_bus_and_the_missing_one_is_named() -> None:
    gate = PairGate(CONFIG, 0)
    gate.hear_status("left", 0, ArmReport(1, DriverState.HOLD, "", "", HERE))
    shown = gate.shown(0)
    assert (shown.state, shown.cause) == (DriverState.NO_BUS, "ARM_MISSING")
    assert shown.message == "no driver_status yet of right: is right/so101_driver running?"
    assert not gate.command(0, NEAR)


@pytest.mark.parametrize("arm", ARMS)
def test_a_command_that_is_far_from_one_arm_goes_to_neither(pair: Pair, arm: str) -> None:
    assert not pair.command(NEAR | {arm: HERE + 0.21})
    assert not pair.command(NEAR | {arm: HERE * np.nan})
    assert pair.gate.rejected == 2
    assert pair.command()


def test_both_follow_or_neither_does(pair: Pair) -> None:
    assert pair.command()
    pair.say("left", DriverState.ENGAGED)
    assert pair.shown() == (DriverState.HOLD, "")
    pair.run(0.28)
    assert pair.command()  # still patient
    pair.run(0.06)
    assert not pair.command()
    pair.say("left", DriverState.HOLD, "COMMAND_TIMEOUT")
    shown = pair.gate.shown(pair.now_ns)
    assert (shown.state, shown.cause) == (DriverState.HOLD, "ARM_NOT_ENGAGED")
    assert shown.message == "did not engage within 0.3 s: right is HOLD"
    pair.engage()
    assert pair.shown() == (DriverState.ENGAGED, "")


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        (DriverState.NO_BUS, "SERVOS_SILENT"),
        (DriverState.LATCHED, "STALL"),
        (DriverState.RELEASED, "RELEASED_BY_REQUEST"),
        (DriverState.HOLD, "BUS_NOISE"),
    ],
)
@pytest.mark.parametrize("arm", ARMS)
def test_a_fault_of_one_arm_is_the_pairs_at_once_and_names_it(
    pair: Pair, arm: str, state: DriverState, cause: str
) -> None:
    pair.engage()
    pair.say(arm, state, cause, "elbow_flex is blocked")
    shown = pair.gate.shown(pair.now_ns)
    assert (shown.state, shown.cause) == (state, cause)
    assert shown.message == f"{arm} is {state.name} ({cause}): elbow_flex is blocked"
    assert not pair.command()


def test_after_late_commands_of_one_arm_the_pair_holds_once_both_rest(pair: Pair) -> None:
    pair.engage()
    pair.say("left", DriverState.HOLD, "COMMAND_TIMEOUT")
    assert not pair.command()
    assert pair.shown() == (DriverState.ENGAGED, "")  # the right arm has not braked yet
    pair.run(0.1)
    pair.say("right", DriverState.HOLD, "COMMAND_TIMEOUT")
    assert pair.shown() == (DriverState.HOLD, "COMMAND_TIMEOUT")
    pair.engage()


def test_an_arm_that_goes_on_following_while_the_pair_is_silent_is_a_fault(pair: Pair) -> None:
    pair.engage()
    pair.say("left", DriverState.HOLD, "COMMAND_TIMEOUT")
    pair.run(0.6)
    shown = pair.gate.shown(pair.now_ns)
    assert (shown.state, shown.cause) == (DriverState.HOLD, "ARM_NOT_HOLDING")
    assert shown.message == "right still follows commands: does somebody else publish right/joint_command?"
    assert not pair.command()


@pytest.mark.parametrize("arm", ARMS)
def test_a_silent_arm_stops_the_commands_to_both_and_is_named_when_it_stays_so(pair: Pair, arm: str) -> None:
    pair.engage()
    pair.silent = {arm}
    pair.run(0.14)
    assert pair.command()
    pair.run(0.04)
    assert not pair.command()
    assert pair.gate.mode is PairMode.SETTLING
    pair.run(0.36)
    shown = pair.gate.shown(pair.now_ns)
    assert (shown.state, shown.cause) == (DriverState.NO_BUS, "ARM_SILENT")
    assert shown.message.startswith(f"{arm} was not heard for 0.5 s")
    pair.run(5.0)
    assert not pair.command()


def test_a_pair_that_was_held_up_itself_takes_no_arm_for_silent(pair: Pair) -> None:
    pair.engage()
    pair.now_ns += 400_000_000
    pair.gate.watch(pair.now_ns, WATCH_S)
    assert pair.shown() == (DriverState.ENGAGED, "")
    assert pair.command()


def test_a_driver_that_came_back_holding_is_no_pause(pair: Pair) -> None:
    pair.engage()
    pair.say("right", DriverState.HOLD)  # started again: no cause
    assert pair.shown() == (DriverState.HOLD, "")


def test_an_emergency_stop_lets_no_command_through_before_the_drivers_have_heard_of_it(pair: Pair) -> None:
    pair.engage()
    pair.gate.stop(pair.now_ns)
    assert not pair.command()
    for arm in ARMS:
        pair.say(arm, DriverState.LATCHED, "EMERGENCY_STOP")
    assert pair.shown() == (DriverState.LATCHED, "EMERGENCY_STOP")
    assert not pair.command()


def test_nothing_engages_while_an_arm_parks(pair: Pair) -> None:
    pair.say("left", DriverState.HOLD, "PARKING")
    assert not pair.command()
    assert pair.shown() == (DriverState.HOLD, "PARKING")


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("command"), st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)),
        st.tuples(
            st.just("say"),
            st.sampled_from(ARMS),
            st.sampled_from(list(DriverState)),
            st.sampled_from(("", "COMMAND_TIMEOUT", "ANSWERS_LATE", "STALL")),
        ),
        st.tuples(st.just("silent"), st.sets(st.sampled_from(ARMS))),
        st.tuples(st.just("run"), st.floats(0.02, 0.7)),
        st.tuples(st.just("stop")),
    ),
    max_size=60,
)


@given(EVENTS)
def test_whatever_happens_commands_go_on_only_while_both_are_well_and_a_session_begins_near(
    events: list[tuple],
) -> None:
    pair = Pair()
    for kind, *words in events:
        if kind == "command":
            before = pair.gate.mode
            goes_on = pair.command({"left": HERE + words[0], "right": HERE + words[1]})
            if goes_on:
                assert all(pair.heard[arm].state in (DriverState.HOLD, DriverState.ENGAGED) for arm in ARMS)
                assert before is PairMode.ENGAGED or max(abs(words[0]), abs(words[1])) <= 0.2
                assert pair.gate.mode in (PairMode.ENGAGING, PairMode.ENGAGED)
        elif kind == "say":
            pair.say(*words)
        elif kind == "silent":
            pair.silent = words[0]
        elif kind == "run":
            pair.run(words[0])
            if words[0] > 0.2 and pair.silent:
                assert not pair.command()
        else:
            pair.gate.stop(pair.now_ns)
        if pair.gate.shown(pair.now_ns).state is DriverState.ENGAGED:
            assert pair.gate.mode in (PairMode.ENGAGED, PairMode.SETTLING)
