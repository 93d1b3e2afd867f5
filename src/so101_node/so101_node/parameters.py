"""Parameters of a node as one frozen dataclass: declared, described, bounded and checked as a whole at start.

Each field of the dataclass is made by `parameter(default, description, ...)`; an optional method `validate()` holds the
rules across fields and raises ParameterError; `declare(node, TheDataclass)` returns the values in force, and refuses
those that were given under names that the node does not have.
"""

import dataclasses
import math
import re
from collections.abc import Collection, Sequence
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterUninitializedException,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from so101_node import known_nodes, overruled_values, parameter_files, type_advice, unknown_parameters

T = TypeVar("T")

_ROS_TYPES: dict[Any, Parameter.Type] = {
    bool: Parameter.Type.BOOL,
    int: Parameter.Type.INTEGER,
    float: Parameter.Type.DOUBLE,
    str: Parameter.Type.STRING,
    list[str]: Parameter.Type.STRING_ARRAY,
    list[float]: Parameter.Type.DOUBLE_ARRAY,
    list[int]: Parameter.Type.INTEGER_ARRAY,
}


class ParameterError(ValueError):
    """A parameter is missing, of the wrong type or out of range. The message is one line for people."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """What a parameter accepts. `lower` and `upper` are inclusive and hold for each element of a list."""

    description: str
    lower: float | None = None
    upper: float | None = None
    choices: tuple[Any, ...] = ()
    read_only: bool = True

    def accepted(self) -> str:
        """Return in words what the parameter accepts."""
        if self.choices:
            return "one of " + ", ".join(str(choice) for choice in self.choices)
        if self.lower is not None and self.upper is not None:
            return f"{self.lower:g} to {self.upper:g}"
        if self.lower is not None:
            return f"{self.lower:g} or more"
        return f"{self.upper:g} or less" if self.upper is not None else "any value of its type"

    def check(self, name: str, value: Any, place: str = "") -> None:
        """Raise ParameterError when `value`, or an element of it, is not accepted; `place`: where it is written."""
        for element in value if isinstance(value, (list, tuple)) else (value,):
            bad = bool(self.choices) and element not in self.choices
            if isinstance(element, (int, float)) and not isinstance(element, bool):
                bad = bad or not math.isfinite(element)
                bad = bad or (self.lower is not None and element < self.lower)
                bad = bad or (self.upper is not None and element > self.upper)
            if bad:
                raise ParameterError(
                    f"parameter {name} = {value!r}{place}: must be {self.accepted()} ({self.description})"
                )


def parameter(
    default: Any,
    description: str,
    *,
    lower: float | None = None,
    upper: float | None = None,
    choices: Sequence[Any] = (),
    read_only: bool = True,
) -> Any:
    """Return a dataclass field that carries a parameter's default, description with unit, and range."""
    metadata = {"rule": Rule(description, lower, upper, tuple(choices), read_only)}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def rules(cls: type[Any]) -> dict[str, Rule]:
    """Return the rule of each field of a parameter dataclass, by parameter name."""
    return {field.name: field.metadata["rule"] for field in dataclasses.fields(cls)}


def build[T](cls: type[T], values: dict[str, Any]) -> T:
    """Check `values` one by one, then as a whole, and return them as the dataclass.

    Raises:
        ParameterError: naming the key, the value and what would be accepted.
    """
    for name, rule in rules(cls).items():
        if name in values:
            rule.check(name, values[name])
    result = cls(**values)
    validate = getattr(result, "validate", None)
    if validate is not None:
        validate()
    return result


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
        values[field.name] = _declare_one(node, field.name, hints[field.name], default, field.metadata["rule"])
    try:
        return build(cls, values)
    except ParameterError as error:  # a rule across parameters: where are they written?
        named = re.findall(r"\w+", str(error))
        places = {name: _place(node, name) for name in values if name in named}
        told = [f"{name}{place}" for name, place in places.items() if place]
        raise ParameterError(f"{error}; given: {', '.join(told)}" if told else str(error)) from error


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
            values[update.name] = _plain(hints[update.name], update.value)
    return build(cls, values)


def _declare_one(node: Node, name: str, hint: Any, default: Any, rule: Rule) -> Any:
    if node.has_parameter(name):
        return _plain(hint, node.get_parameter(name).value)
    descriptor = _descriptor(name, hint, rule)
    override = node._parameter_overrides.get(name)
    if override is not None:
        section = parameter_files.source(node.get_fully_qualified_name(), name)
        place = _place(node, name)
        value = [] if override.type_ is Parameter.Type.NOT_SET else override.value  # what ROS makes of []
        converted = _convert(hint, value)
        if converted is None:
            shown = list(value) if hasattr(value, "tolist") else value
            wanted = type_advice.expected(hint, shown, default, section.values.get(name, "") if section else "")
            if rule.choices and ": write" not in wanted:
                wanted = rule.accepted()
            raise ParameterError(f"parameter {name} = {shown!r}{place}: expected {wanted} ({rule.description})")
        rule.check(name, converted, place)
        node._parameter_overrides[name] = Parameter(name, _ROS_TYPES[hint], converted)
    try:
        # An empty list has no type of its own, so the type is given and the default set as a value.
        value = node.declare_parameter(name, Parameter(name, _ROS_TYPES[hint], default).value, descriptor).value
    except (
        InvalidParameterTypeException,
        InvalidParameterValueException,
        ParameterUninitializedException,
    ) as error:
        raise ParameterError(f"parameter {name}: {error} ({rule.description})") from error
    return _plain(hint, default if value is None else value)


def _convert(hint: Any, value: Any) -> Any:
    """Return `value` as the declared type, or None where that would lose something."""
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if get_origin(hint) is list:
        if (not isinstance(value, (str, bytes)) and isinstance(value, Sequence)) or hasattr(value, "tolist"):
            items = [_convert(get_args(hint)[0], item) for item in value]
            return None if any(item is None for item in items) else items
        return None
    return value if type(value) is hint else None


def _plain(hint: Any, value: Any) -> Any:
    if get_origin(hint) is list:
        return [get_args(hint)[0](item) for item in value]
    return hint(value)


def _descriptor(name: str, hint: Any, rule: Rule) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        name=name, description=rule.description, read_only=rule.read_only, dynamic_typing=False
    )
    if get_origin(hint) is list:
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
