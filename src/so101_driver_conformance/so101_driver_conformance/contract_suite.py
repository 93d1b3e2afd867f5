# SPDX-License-Identifier: Apache-2.0
"""The contract of a driver: one test for each rule, named after it. A failure is one line that begins with the rule.

One module because pytest runs it as one file: the rules in their order, on one driver that keeps running.
"""

import itertools
import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest
from so101_msgs.msg import DriverStatus
from so101_node.protocol import FloatArray

from so101_driver_conformance.peer import DriverPeer, HeardMessage
from so101_driver_conformance.rules import (
    AT_REST_RAD,
    MAX_JOINTS,
    RULES,
    SILENCE_S,
    STATE_RATE_HZ,
    STATUS_GAP_S,
    broken,
)
from so101_driver_conformance.subject import Subject

_LEAST_RAD: Final = 0.02  # less is no motion
_TICK_S: Final = 0.035  # two ticks of 60 Hz: how far stamps and values of one message may be apart
_RANGES: Final = ("lower", "upper", "range_lower", "range_upper", "max_speed", "max_acceleration")


@pytest.fixture(autouse=True)
def rule(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> str:
    """The rule that the test is about, by its name."""
    name = str(request.function.__name__).removeprefix("test_").replace("_", "-").upper()
    assert name in RULES, f"no rule {name}"
    record_property("rule", name)
    return name


def moved(before: FloatArray, after: FloatArray) -> float:
    """The largest distance of a joint, rad."""
    return float(np.max(np.abs(after - before)))


def heard_for(peer: DriverPeer, seconds: float) -> None:
    """Forget, and listen for that long."""
    peer.forget()
    peer.spin(seconds)


def test_comes_up_holding(subject: Subject, rule: str) -> None:
    peer = subject.peer
    if reason := subject.bring_to_hold():
        broken(rule, reason)
    if not np.all(np.isfinite(peer.goal)):
        broken(rule, f"in HOLD every joint has a goal, but driver_status.goal is {peer.goal.tolist()}")
    if (away := moved(peer.goal, peer.positions)) > 0.3:
        broken(rule, f"in HOLD the goal is {away:.2f} rad away from where the arm stands")


def test_closed_by_default(holding: Subject, rule: str) -> None:
    peer = holding.peer
    goal, positions = peer.goal, peer.positions
    heard_for(peer, 1.5)
    if not peer.statuses or not peer.states:
        broken(rule, "driver_status or joint_states stopped")
    if peer.status.state != DriverStatus.HOLD:
        broken(rule, f"nobody sent a command, and {peer.describe()}")
    if (by := moved(goal, peer.goal)) > 1e-3:
        broken(rule, f"nobody sent a command, and the goal moved by {by:.3f} rad within 1.5 s")
    if (by := moved(positions, peer.positions)) > AT_REST_RAD:
        broken(rule, f"nobody sent a command, and the arm moved by {by:.3f} rad within 1.5 s")


def test_one_set_of_joints(holding: Subject, rule: str) -> None:
    peer = holding.peer
    status, limits, state = peer.status, peer.limits[-1].message, peer.states[-1].message
    names = peer.names
    if not 0 < len(names) <= MAX_JOINTS or len(set(names)) != len(names):
        broken(rule, f"driver_status.joint_names {names}: expected 1 to {MAX_JOINTS} names, each once")
    for topic, other in (("joint_limits", limits.joint_names), ("joint_states", state.name)):
        if set(other) != set(names) or len(other) != len(names):
            broken(rule, f"{topic} names {sorted(other)}, driver_status {sorted(names)}")
    for topic, message, fields in (
        ("driver_status", status, ("torque", "goal")),
        ("joint_limits", limits, (*_RANGES, "drive_mode")),
        ("joint_states", state, ("position",)),
    ):
        for field in fields:
            values = list(getattr(message, field))
            if len(values) != len(names) or not np.all(np.isfinite(np.array(values, dtype=np.float64))):
                broken(rule, f"{topic}.{field} has {len(values)} values, expected {len(names)} finite ones: {values}")
    range_lower, lower, upper, range_upper = map(peer.limit, ("range_lower", "lower", "upper", "range_upper"))
    if not np.all((range_lower <= lower) & (lower < upper) & (upper <= range_upper)):
        broken(rule, "joint_limits: expected range_lower <= lower < upper <= range_upper for each joint")
    if not np.all((peer.limit("max_speed") > 0) & (peer.limit("max_acceleration") > 0)):
        broken(rule, "joint_limits: expected max_speed and max_acceleration above 0 for each joint")


def test_status_keeps_coming(holding: Subject, rule: str) -> None:
    peer = holding.peer
    heard_for(peer, 2.0)
    gap = float(max(np.diff([heard.at_s for heard in peer.statuses]), default=2.0))
    if gap > STATUS_GAP_S:
        broken(rule, f"{gap:.2f} s without driver_status, expected one at least every {STATUS_GAP_S:g} s")
    late = DriverPeer(peer.namespace, peer.driver_name)
    try:
        if not late.wait(lambda: bool(late.limits) and bool(late.statuses), 5.0):
            what = "joint_limits" if not late.limits else "driver_status"
            broken(rule, f"who joins late does not hear {what}: publish it reliable and transient local, depth 1")
    finally:
        late.close()


def test_states_keep_coming(holding: Subject, rule: str) -> None:
    peer = holding.peer
    heard_for(peer, 2.0)
    rate = len(peer.states) / 2.0
    if rate < STATE_RATE_HZ:
        broken(rule, f"joint_states come at {rate:.0f} Hz, expected {STATE_RATE_HZ:g} Hz or more")
    if not np.all(np.isfinite(peer.positions)):
        broken(rule, f"joint_states hold {peer.positions.tolist()}: send none while a position is not known")


def test_engages_near(holding: Subject, rule: str) -> None:
    peer = holding.peer
    accepted = peer.status.commands_accepted
    if not holding.engage():
        broken(rule, f"commands at the goal came for 5 s, and {peer.describe()}")
    if peer.status.cause:
        broken(rule, f"ENGAGED with cause {peer.status.cause}: expected none")
    if peer.status.commands_accepted <= accepted:
        broken(rule, "commands_accepted does not count the commands that are followed")


def test_never_from_afar(holding: Subject, rule: str) -> None:
    peer = holding.peer
    goal, rejected = peer.goal, peer.status.commands_rejected
    far = holding.inside(0.8)
    peer.stream(lambda _: far, 15)
    peer.spin(0.3)
    if any(heard.message.state == DriverStatus.ENGAGED for heard in peer.statuses[-5:]):
        broken(rule, f"a command {moved(goal, far):.2f} rad away from the arm engaged it")
    if (by := moved(goal, peer.goal)) > 1e-3:
        broken(rule, f"a command {moved(goal, far):.2f} rad away moved the goal by {by:.2f} rad in HOLD")
    if peer.status.commands_rejected <= rejected:
        broken(rule, "commands_rejected does not count the commands that are ignored")


def test_follows(holding: Subject, rule: str) -> None:
    peer = holding.peer
    if not holding.engage():
        broken("ENGAGES-NEAR", peer.describe())
    target = holding.inside(0.2)
    holding.move(target)
    if (away := moved(target, peer.goal)) > _LEAST_RAD:
        broken(rule, f"commands led evenly to a place 0.2 rad away, and the goal is {away:.2f} rad from it")
    if (away := moved(target, peer.positions)) > 0.15:
        broken(rule, f"commands led evenly to a place 0.2 rad away, and the arm is {away:.2f} rad from it")


def test_names_decide(holding: Subject, rule: str) -> None:
    peer = holding.peer
    if not holding.engage():
        broken("ENGAGES-NEAR", peer.describe())
    goal = peer.goal
    target = goal.copy()
    target[0] = holding.inside(0.1)[0]
    for step in range(20):
        part = goal + (target - goal) * min(1.0, (step + 1) / 15)
        peer.send(part[::-1], peer.names[::-1])
        peer.spin(1 / 30)
    if (away := moved(target, peer.goal)) > _LEAST_RAD:
        broken(rule, f"a command with its names in another order led the goal {away:.2f} rad elsewhere")


def test_all_or_nothing(holding: Subject, rule: str) -> None:
    peer = holding.peer
    goal, names = peer.goal, peer.names
    bad: dict[str, tuple[FloatArray, list[str]]] = {
        "without its last joint": (goal[:-1], names[:-1]),
        "without any": (goal[:0], []),
        "with a value too few": (goal[:-1], names),
        "with a position that is no number": (np.array([np.nan, *goal[1:]]), names),
        "with an infinite position": (np.array([*goal[:-1], np.inf]), names),
    }
    for what, (positions, named) in bad.items():
        rejected = peer.status.commands_rejected
        peer.send(positions, named)
        engaged = _engages_before_rejecting(peer, rejected)
        if engaged:
            broken(rule, f"a command {what} engaged the driver")
        if engaged is None:
            broken(rule, f"a command {what} is not counted in commands_rejected")
    if (by := moved(goal, peer.goal)) > 1e-3:
        broken(rule, f"commands that are not whole moved the goal by {by:.2f} rad")


def _engages_before_rejecting(peer: DriverPeer, rejected: int) -> bool | None:
    """Whether the next of the two is ENGAGED; None where neither comes within 3 s."""

    def engaged() -> bool:
        return bool(peer.status.state == DriverStatus.ENGAGED)

    if not peer.wait(lambda: engaged() or peer.status.commands_rejected > rejected, 3.0):
        return None
    return engaged()


def test_no_jump(holding: Subject, rule: str) -> None:
    peer = holding.peer
    if not holding.engage():
        broken("ENGAGES-NEAR", peer.describe())
    start, far, speed = peer.goal, holding.inside(holding.leap_rad), peer.limit("max_speed")
    peer.forget()
    peer.stream(lambda step: far if (step // 15) % 2 == 0 else start, 45)
    goals = [(heard, np.array(heard.message.goal)) for heard in peer.statuses]
    at = {name: index for index, name in enumerate(peer.states[-1].message.name)}
    measured = [(heard, np.array(heard.message.position)[[at[name] for name in peer.names]]) for heard in peer.states]
    for what, series in (("goal", goals), ("measured position", measured)):
        _no_faster(rule, what, series, speed, peer.names)


def _no_faster(
    rule: str, what: str, series: list[tuple[HeardMessage[Any], FloatArray]], speed: FloatArray, names: list[str]
) -> None:
    """Compare each step with the time between its stamps."""
    for (before, old), (after, new) in itertools.pairwise(series):
        seconds = max(_stamp_s(after) - _stamp_s(before), 0.0)
        excess = np.abs(new - old) - speed * (seconds + _TICK_S)
        worst = int(np.argmax(excess))
        if excess[worst] > 0.01:
            by = abs(float(new[worst] - old[worst]))
            broken(
                rule,
                f"the {what} of {names[worst]} moved by {by:.2f} rad within {seconds:.3f} s: "
                f"{by / max(seconds, 1e-3):.0f} rad/s, max_speed is {speed[worst]:g}",
            )


def _stamp_s(heard: HeardMessage[Any]) -> float:
    stamp = heard.message.header.stamp
    return float(stamp.sec + stamp.nanosec / 1e9)


def test_within_limits(holding: Subject, rule: str) -> None:
    peer = holding.peer
    lower, upper = peer.limit("lower"), peer.limit("upper")
    if not holding.engage():
        broken("ENGAGES-NEAR", peer.describe())
    goal = peer.goal
    up = upper - goal <= goal - lower
    end = np.where(up, upper, lower)
    joint = int(np.argmin(np.abs(end - goal)))  # the one that is nearest to its limit
    sign = 1.0 if up[joint] else -1.0
    beyond = goal.copy()
    beyond[joint] = end[joint] + sign * 0.2
    peer.forget()
    holding.move(beyond)
    for heard in peer.statuses:
        outside = np.maximum(lower - np.array(heard.message.goal), np.array(heard.message.goal) - upper)
        worst = int(np.argmax(outside))
        if outside[worst] > 1e-6:
            broken(rule, f"the goal of {peer.names[worst]} is {outside[worst]:.3f} rad outside lower..upper")
    holding.move(goal)


def test_hold_on_silence(holding: Subject, rule: str) -> None:
    peer = holding.peer
    if not holding.engage():
        broken("ENGAGES-NEAR", peer.describe())
    start, target = peer.goal, holding.inside(0.3)
    peer.stream(lambda step: start + (target - start) * (step + 1) / 30, 20)
    if not peer.wait_for_state(DriverStatus.HOLD, SILENCE_S + 0.5):
        broken(rule, f"commands stopped {SILENCE_S + 0.5:g} s ago, and {peer.describe()}")
    if peer.status.cause != "COMMAND_TIMEOUT":
        broken(rule, f"HOLD after silence has the cause {peer.status.cause!r}, expected COMMAND_TIMEOUT")
    if not holding.comes_to_rest(1.0):
        broken(rule, "commands stopped, and the goal went on for more than 1 s")
    goal = peer.goal
    peer.spin(0.5)
    if (by := moved(goal, peer.goal)) > 1e-3:
        broken(rule, f"in HOLD the goal moved by {by:.2f} rad")
    if not holding.engage():
        broken(rule, f"after a silence commands at the goal came for 5 s, and {peer.describe()}")


def test_stop_latches(holding: Subject, rule: str) -> None:
    peer = holding.peer
    if not holding.engage():
        broken("ENGAGES-NEAR", peer.describe())
    start, target = peer.goal, holding.inside(0.3)
    peer.stream(lambda step: start + (target - start) * (step + 1) / 30, 15)
    answer = peer.call("emergency_stop")
    if answer is None or not answer.success:
        broken(rule, "the service emergency_stop does not answer, or refuses, while commands are followed")
    if not peer.wait_for_state(DriverStatus.LATCHED, 1.0) or peer.status.cause != "EMERGENCY_STOP":
        broken(rule, f"after emergency_stop {peer.describe()}, expected LATCHED with cause EMERGENCY_STOP")
    if not holding.comes_to_rest(1.0):
        broken(rule, "after emergency_stop the goal went on for more than 1 s")
    goal = peer.goal
    peer.stream(lambda _: goal, 20)
    if peer.status.state != DriverStatus.LATCHED:
        broken(rule, f"a command ended the emergency stop: {peer.describe()}")
    answer = peer.call("reset")
    if answer is None or not answer.success or not peer.wait_for_state(DriverStatus.HOLD, 10.0):
        broken(rule, f"reset does not lead back to HOLD: {peer.describe()}")


def test_park_only_at_rest(holding: Subject, rule: str) -> None:
    _refused_while_followed(holding, rule, "park")


def test_no_drop(holding: Subject, rule: str) -> None:
    _refused_while_followed(holding, rule, "release")
    if not all(holding.peer.status.torque):
        broken(rule, "release was refused, but torque is off")


def _refused_while_followed(subject: Subject, rule: str, service: str) -> None:
    peer = subject.peer
    if not peer.has_service(service, 3.0):
        pytest.skip(f"no service {service}")
    if not subject.engage():
        broken("ENGAGES-NEAR", peer.describe())
    answer = peer.call(service)
    if answer is None or answer.success:
        broken(rule, f"{service} is not refused while commands are followed")
    if len(answer.message.splitlines()) != 1:
        broken(rule, f"{service} is refused without saying why in one line")


def test_cause_is_named(holding: Subject, rule: str) -> None:
    peer = holding.peer
    peer.call("emergency_stop")
    peer.wait_for_state(DriverStatus.LATCHED, 2.0)
    for heard in peer.statuses:
        status = heard.message
        if len(status.message.splitlines()) > 1:
            broken(rule, f"message has more than one line: {status.message!r}")
        needed = status.state in (DriverStatus.NO_BUS, DriverStatus.RELEASED, DriverStatus.LATCHED)
        if (needed and not status.cause) or (status.cause and not re.fullmatch(r"[A-Z][A-Z0-9_]*", status.cause)):
            broken(rule, f"state {status.state} with cause {status.cause!r}, expected a constant such as STALL")


def test_one_id_a_start(holding: Subject, rule: str) -> None:
    peer = holding.peer
    first = peer.status.driver_id
    if first == 0 or peer.limits[-1].message.driver_id != first:
        broken(rule, f"driver_id is {first} in driver_status, {peer.limits[-1].message.driver_id} in joint_limits")
    holding.restart()
    if reason := holding.bring_to_hold():
        broken("COMES-UP-HOLDING", reason)
    if peer.status.driver_id == first:
        broken(rule, "driver_id is the same after a restart: nobody can tell that goals begin again")


def test_still_at_restart(holding: Subject, rule: str) -> None:
    peer = holding.peer
    if not holding.engage():
        broken("ENGAGES-NEAR", peer.describe())
    start, target = peer.goal, holding.inside(0.3)
    peer.stream(lambda step: start + (target - start) * (step + 1) / 45, 30)
    holding.restart()
    if not peer.wait(lambda: len(peer.states) > 2 and bool(peer.statuses)):
        broken("COMES-UP-HOLDING", "no joint_states and driver_status within 30 s of a restart")
    before = peer.positions
    if reason := holding.bring_to_hold():
        broken("COMES-UP-HOLDING", reason)
    peer.spin(0.5)
    if (by := moved(before, peer.positions)) > 0.1:
        broken(rule, f"started again after it was killed, the arm moved by {by:.2f} rad without a command")


def test_ends_quietly(holding: Subject, rule: str) -> None:
    code = holding.process.interrupt()
    if code is None:
        broken(rule, "on SIGINT it did not end within 10 s")
    if code != 0 or "Traceback" in holding.process.said:
        broken(rule, f"on SIGINT it ended with exit code {code}: {holding.process.last_line}")
