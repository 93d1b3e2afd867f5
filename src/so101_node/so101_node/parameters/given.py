# SPDX-License-Identifier: Apache-2.0
"""Values as they were given: checked against a parameter's type and rule, and told with the place they come from."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_origin, get_type_hints

from so101_node.parameters import type_advice
from so101_node.parameters.fields import ParameterError, Rule, build, item_type, rules
from so101_node.parameters.files import Section


def from_file[T](cls: type[T], sections: Sequence[tuple[Section, dict[str, Any]]]) -> T:
    """Return the dataclass as a node gets it from `sections` and their values, in order; keys it lacks are left out.

    Raises:
        ParameterError: a value is not accepted; it names the file, the line and what would be.
    """
    hints, accepted, default = get_type_hints(cls), rules(cls), cls()
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for section, given in sections:
        for name in given.keys() & accepted.keys():
            place, written = f" ({section.place(name)})", section.values.get(name, "")
            example = getattr(default, name)
            value = checked(hints[name], example, accepted[name], name, given[name], place, written)
            values[name], places[name] = plain(hints[name], value), place
    return built(cls, values, {name: places[name] for name in hints if name in places})


def built[T](cls: type[T], values: dict[str, Any], places: Mapping[str, str]) -> T:
    """Return the dataclass, checked as a whole; `places`: where the values were given, of those that were.

    Raises:
        ParameterError: naming the places of the parameters that it names.
    """
    try:
        return build(cls, values)
    except ParameterError as error:
        named = re.findall(r"\w+", str(error))
        told = [f"{name}{place}" for name, place in places.items() if name in named]
        raise ParameterError(f"{error}; given: {', '.join(told)}" if told else str(error)) from error


def checked(hint: Any, default: Any, rule: Rule, name: str, value: Any, place: str, written: str) -> Any:
    """Return a given value as the declared type. Raises ParameterError naming `place`, where it is `written`."""
    if hint is str and value is False and "off" in rule.choices:
        value = "off"  # a bare `off` is a truth value in YAML, and on the command line
    converted = _convert(hint, value)
    if converted is None:
        shown = list(value) if hasattr(value, "tolist") else value
        wanted = type_advice.expected(hint, shown, default, written)
        if rule.choices and ": write" not in wanted:
            wanted = rule.accepted()
        raise ParameterError(f"parameter {name} = {shown!r}{place}: expected {wanted} ({rule.description})")
    rule.check(name, converted, place)
    return converted


def _convert(hint: Any, value: Any) -> Any:
    """Return `value` as the declared type, or None where that would lose something."""
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    item = item_type(hint)
    if item is not None:
        if (not isinstance(value, (str, bytes)) and isinstance(value, Sequence)) or hasattr(value, "tolist"):
            items = [_convert(item, element) for element in value]
            return None if any(element is None for element in items) else items
        return None
    return value if type(value) is hint else None


def plain(hint: Any, value: Any) -> Any:
    """Return a value that was checked as the declared type has it, such as a tuple for a list."""
    item = item_type(hint)
    if item is not None:
        return get_origin(hint)(item(element) for element in value)
    return hint(value)
