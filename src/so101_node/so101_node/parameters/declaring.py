# SPDX-License-Identifier: Apache-2.0
"""Declaring a parameter dataclass on a node, with the values in force checked as a whole."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any, get_type_hints

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterNotDeclaredException,
    ParameterUninitializedException,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from so101_node.parameters import files as parameter_files
from so101_node.parameters import known_nodes
from so101_node.parameters import overruled as overruled_values
from so101_node.parameters import unknown as unknown_parameters
from so101_node.parameters.fields import ParameterError, Rule, build, item_type, rules
from so101_node.parameters.given import built, checked, plain

_ROS_TYPES: dict[Any, Parameter.Type] = {
    bool: Parameter.Type.BOOL,
    int: Parameter.Type.INTEGER,
    float: Parameter.Type.DOUBLE,
    str: Parameter.Type.STRING,
    list[str]: Parameter.Type.STRING_ARRAY,
    list[float]: Parameter.Type.DOUBLE_ARRAY,
    list[int]: Parameter.Type.INTEGER_ARRAY,
    tuple[str, ...]: Parameter.Type.STRING_ARRAY,
    tuple[float, ...]: Parameter.Type.DOUBLE_ARRAY,
    tuple[int, ...]: Parameter.Type.INTEGER_ARRAY,
}


def declare[T](node: Node, cls: type[T], *, complete: bool = True) -> T:
    """Declare every field of `cls` on the node, read the values in force and return them checked.

    A whole number given for a float parameter is accepted (YAML's `fps: 30`). `complete` is False where the node
    declares more later: only the last call knows which names are wrong.

    Raises:
        ParameterError: a value is not accepted, or was given under a name that the node does not have.
    """
    values: dict[str, Any] = {}
    hints = get_type_hints(cls)
    if complete:
        # Before the values: a mistyped name is the reason why another value is missing.
        foreign = refuse_unknown(node, hints)
        if foreign:
            node.get_logger().info(f"left to other nodes, from the section for all nodes: {', '.join(foreign)}")
        for line in unknown_parameters.lost_sections(
            node.get_fully_qualified_name(), hints, parameter_files.in_force(), known_nodes.node_names
        ):
            node.get_logger().warning(line)
        _tell_overruled(node, hints)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        values[field.name] = declare_one(node, field.name, hints[field.name], default, field.metadata["rule"])
    if complete:
        node.add_pre_set_parameters_callback(lambda updates: [_admitted(node, cls, update) for update in updates])
    places = {name: _place(node, name) for name in values}
    return built(cls, values, {name: place for name, place in places.items() if place})


def _place(node: Node, name: str) -> str:
    section = parameter_files.source(node.get_fully_qualified_name(), name)
    return f" ({section.place(name)})" if section else ""


def _tell_overruled(node: Node, declared: Collection[str]) -> None:
    found = overruled_values.look(node.get_fully_qualified_name(), declared, parameter_files.in_force())
    for line in found.surprising:
        node.get_logger().warning(line)
    for line in found.usual:
        node.get_logger().info(line)


def refuse_unknown(node: Node, declared: Collection[str] = ()) -> tuple[str, ...]:
    """Raise ParameterError where the node was given parameters that it neither has nor is about to have (`declared`).

    Returns:
        the keys of a section for all nodes (`/**:`) that only other nodes declare.
    """
    found = unknown_parameters.look(
        node.get_fully_qualified_name(),
        node._parameter_overrides,
        {*node._parameters, *declared},
        parameter_files.in_force(),
        known_nodes,
    )
    if found.errors:
        raise ParameterError("; ".join(found.errors))
    return found.foreign


def changed[T](cls: type[T], current: T, updates: Sequence[Parameter]) -> T:
    """Return `current` with the updates applied and checked as a whole, for a set-parameters callback.

    Updates of parameters that `cls` does not have are left out.

    Raises:
        ParameterError: an update is out of range or breaks a cross-field rule.
    """
    values = {field.name: getattr(current, field.name) for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = get_type_hints(cls)
    for update in updates:
        if update.name in values:
            values[update.name] = plain(hints[update.name], update.value)
    return build(cls, values)


class _RefusedChangeError(ParameterNotDeclaredException):  # type: ignore[misc]
    """The one error that rclpy's parameter services answer with its text; no other ends the node.

    rclpy's own replies tell a wrong type without the parameter's name, and a wrong name not at all.
    """

    def __init__(self, line: str) -> None:
        Exception.__init__(self, line)


def _admitted(node: Node, cls: type[Any], update: Parameter) -> Parameter:
    """Return one change at run time as the node takes it: a whole number serves as a float, as at start.

    Parameters that are not of `cls` are left to rclpy. No other node's names are looked up: that imports, and an arm
    may be moving.

    Raises:
        _RefusedChangeError: with one line, the same as at start.
    """
    name, rule, hints = update.name, rules(cls).get(update.name), get_type_hints(cls)
    if not node.has_parameter(name):
        near = unknown_parameters.nearest(name, node._parameters)
        advice = f"did you mean {near}?" if near else f"{node.get_name()} has nothing like it"
        raise _RefusedChangeError(f"unknown parameter {name}: {advice}")
    if node.describe_parameter(name).read_only:
        raise _RefusedChangeError(
            f"parameter {name} cannot change while the node runs: set it in its file, and restart the node"
        )
    if rule is None:
        return update
    if update.type_ is Parameter.Type.NOT_SET:
        raise _RefusedChangeError(f"parameter {name} cannot be deleted")
    try:
        value = checked(hints[name], node.get_parameter(name).value, rule, name, update.value, "", "")
    except ParameterError as error:
        raise _RefusedChangeError(str(error)) from error
    return Parameter(name, _ROS_TYPES[hints[name]], value)


def declare_one(node: Node, name: str, hint: Any, default: Any, rule: Rule) -> Any:
    """Declare one parameter and return its value in force. Raises ParameterError where that is not accepted."""
    if node.has_parameter(name):
        return plain(hint, node.get_parameter(name).value)
    descriptor = _descriptor(name, hint, rule)
    override = node._parameter_overrides.get(name)
    if override is not None:
        section = parameter_files.source(node.get_fully_qualified_name(), name)
        place = _place(node, name)
        value = [] if override.type_ is Parameter.Type.NOT_SET else override.value  # what ROS makes of []
        written = section.values.get(name, "") if section else ""
        converted = checked(hint, default, rule, name, value, place, written)
        node._parameter_overrides[name] = Parameter(name, _ROS_TYPES[hint], converted)
    try:
        # An empty list has no type of its own, so the type is given and the default set as a value.
        value = node.declare_parameter(name, Parameter(name, _ROS_TYPES[hint], _given(default)).value, descriptor).value
    except (
        InvalidParameterTypeException,
        InvalidParameterValueException,
        ParameterUninitializedException,
    ) as error:
        raise ParameterError(f"parameter {name}: {error} ({rule.description})") from error
    return plain(hint, default if value is None else value)


def _given(default: Any) -> Any:
    return list(default) if isinstance(default, tuple) else default


def _descriptor(name: str, hint: Any, rule: Rule) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        name=name, description=rule.description, read_only=rule.read_only, dynamic_typing=False
    )
    if item_type(hint) is not None:
        descriptor.dynamic_typing = True  # an empty list reads back as a list of no type; _convert keeps the type
    if rule.choices:
        descriptor.additional_constraints = rule.accepted()
    if hint is float and (rule.lower is not None or rule.upper is not None):
        descriptor.floating_point_range = [
            FloatingPointRange(
                from_value=-1e300 if rule.lower is None else float(rule.lower),
                to_value=1e300 if rule.upper is None else float(rule.upper),
            )
        ]
    if hint is int and (rule.lower is not None or rule.upper is not None):
        descriptor.integer_range = [
            IntegerRange(
                from_value=-(2**63) if rule.lower is None else int(rule.lower),
                to_value=2**63 - 1 if rule.upper is None else int(rule.upper),
            )
        ]
    return descriptor
