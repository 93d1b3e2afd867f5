# SPDX-License-Identifier: Apache-2.0
"""`ros2 param set` while an arm moves, for every node with parameters that may change then."""

import math
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, get_type_hints

import pytest
from rcl_interfaces.srv import GetParameters, SetParametersAtomically
from rcl_interfaces.srv import SetParameters as SetEach
from rclpy.parameter import Parameter
from so101_action_queue.ros.parameters import QueueParameters
from so101_action_queue.testing.queue_world import QueueProcess, QueueWorld
from so101_msgs.msg import QueueDecision, QueueStatus
from so101_node.parameters import Rule, known_nodes, rules

UNSET = object()


class MovingArm:
    """The queue that moves an arm, and requests for its parameters."""

    def __init__(self) -> None:
        self.world = QueueWorld()
        self.process = QueueProcess()
        self.world.start()
        self.world.wait_for_state(QueueStatus.RUNNING)
        node = self.world.node
        self._set = node.create_client(SetEach, "action_queue/set_parameters")
        self._set_together = node.create_client(SetParametersAtomically, "action_queue/set_parameters_atomically")
        self._get = node.create_client(GetParameters, "action_queue/get_parameters")

    def _answer(self, client: Any, request: Any) -> Any:
        assert client.wait_for_service(60.0)
        future = client.call_async(request)
        assert self.world.wait(future.done), "no answer"
        return future.result()

    def set(self, **values: Any) -> tuple[list[bool], str]:
        """Set one after the other; return whether each was taken, and what was said of the last."""
        results = self._answer(self._set, SetEach.Request(parameters=_messages(values))).results
        return [one.successful for one in results], results[-1].reason

    def set_together(self, **values: Any) -> tuple[bool, str]:
        """Set all or none."""
        request = SetParametersAtomically.Request(parameters=_messages(values))
        result = self._answer(self._set_together, request).result
        return result.successful, result.reason

    def values(self) -> dict[str, Any]:
        """Return what the node says of each parameter."""
        names = [field.name for field in fields(QueueParameters)]
        answer = self._answer(self._get, GetParameters.Request(names=names))
        messages = [_message(name, value) for name, value in zip(names, answer.values, strict=True)]
        return {message.name: Parameter.from_parameter_msg(message).value for message in messages}

    def in_force(self, name: str) -> Any:
        """Return the value that the core last said it works with."""
        for decision in reversed(list(self.world.decisions)):
            if name == "task" and decision.input == QueueDecision.TASK:
                return decision.text
            found = [Parameter.from_parameter_msg(one).value for one in decision.parameters if one.name == name]
            if found:
                return found[0]
        return None

    def goes_on(self) -> bool:
        """Whether rows are still executed, from now on."""
        seen = len(self.world.commands)
        moves = self.world.wait(lambda: len(self.world.commands) >= seen + 3)
        return moves and self.world.statuses[-1].state == QueueStatus.RUNNING and self.process.is_running

    def close(self) -> None:
        self.process.kill()
        self.world.close()


ARMS = {"action_queue": MovingArm}
"""How each node with parameters that may change at run time is made to move an arm."""


def _message(name: str, value: Any) -> Any:
    message = Parameter(name).to_parameter_msg()
    message.value = value
    return message


def _messages(values: dict[str, Any]) -> list[Any]:
    parameters = [Parameter(name) if value is UNSET else Parameter(name, value=value) for name, value in values.items()]
    return [parameter.to_parameter_msg() for parameter in parameters]


def bad_values(hint: type, rule: Rule) -> Iterator[Any]:
    """Yield what a parameter must refuse, by its type and rule."""
    yield UNSET
    if hint is not str:
        yield "nonsense"
    if hint in (int, float):
        yield True
        yield from (rule.lower - 1, rule.upper + 1)
    if hint is float:
        yield from (math.nan, math.inf, -math.inf)
    if hint is int:
        yield 1.5
    if hint is bool:
        yield from (1, "true")
    if hint is str:
        yield 5
        yield "nonsense" if rule.choices else "x" * (rule.longest + 1)


def another_value(hint: type, rule: Rule, value: Any) -> Any:
    """Return a value that is accepted and is not `value`."""
    if hint is bool:
        return not value
    if hint is str:
        return next(choice for choice in rule.choices if choice != value) if rule.choices else "another"
    return value + 1 if hint is int else value * 0.8


@pytest.fixture(scope="module", params=sorted(ARMS))
def arm(request: pytest.FixtureRequest) -> Iterator[MovingArm]:
    made = ARMS[request.param]()
    yield made
    made.close()


def settable() -> dict[str, Rule]:
    return {name: rule for name, rule in rules(QueueParameters).items() if not rule.read_only}


def test_every_node_whose_parameters_may_change_at_run_time_is_tried_here() -> None:
    """A node that gets the first of them wants a way to move an arm in `ARMS`."""
    classes = {name: known_nodes.parameters_of(name) for name in known_nodes.node_names()}
    live = {name for name, cls in classes.items() if cls and any(not rule.read_only for rule in rules(cls).values())}
    assert live == set(ARMS)


def test_what_is_not_accepted_at_run_time_is_refused_in_one_line_and_the_arm_goes_on(arm: MovingArm) -> None:
    before, hints = arm.values(), get_type_hints(QueueParameters)
    for name, rule in settable().items():
        for value in bad_values(hints[name], rule):
            taken, reason = arm.set(**{name: value})
            assert taken == [False], (name, value)
            assert f"parameter {name} " in reason and "\n" not in reason and len(reason) < 400, (name, value, reason)
    for name in set(before) - set(settable()):
        taken, reason = arm.set(**{name: before[name]})
        assert taken == [False] and f"parameter {name} cannot change while the node runs" in reason, reason
    assert arm.set(autostart=False) == arm.set(autostart=True)
    assert arm.set(max_seam_rd=0.1) == ([False], "unknown parameter max_seam_rd: did you mean max_seam_rad?")
    taken, reason = arm.set(busy_timeout_s=1.5, request_timeout_s=2.0)
    assert taken == [True, False] and "busy_timeout_s = 1.5" in reason and "request_timeout_s (2)" in reason
    assert arm.set(busy_timeout_s=before["busy_timeout_s"])[0] == [True]
    together, reason = arm.set_together(max_seam_rad=0.2, margin_steps=99)
    assert not together and "margin_steps = 99" in reason
    assert arm.values() == before
    assert arm.goes_on(), arm.world.summary()


def test_what_is_accepted_at_run_time_is_what_the_core_works_with_and_the_arm_goes_on(arm: MovingArm) -> None:
    before, hints = arm.values(), get_type_hints(QueueParameters)
    for name, rule in settable().items():
        value = another_value(hints[name], rule, before[name])
        assert arm.set(**{name: value}) == ([True], ""), (name, value)
        assert arm.world.wait(lambda at=name, wanted=value: arm.in_force(at) == wanted), (name, arm.in_force(name))
    assert arm.set(max_seam_rad=1)[0] == [True], "a whole number serves as a float, as at start"
    assert arm.values()["max_seam_rad"] == 1.0
    assert arm.world.wait(lambda: arm.world.requests and arm.world.requests[-1].task == "another")
    assert arm.set_together(**{name: before[name] for name in settable()}) == (True, "")
    assert arm.values() == before
    assert arm.goes_on(), arm.world.summary()


def test_the_longest_task_that_is_accepted_reaches_the_server(arm: MovingArm) -> None:
    longest = "夹" * rules(QueueParameters)["task"].longest  # three bytes each
    assert arm.set(task=longest) == ([True], "")
    assert arm.world.wait(lambda: arm.world.requests and arm.world.requests[-1].task == longest)
    assert arm.goes_on(), arm.world.summary()
