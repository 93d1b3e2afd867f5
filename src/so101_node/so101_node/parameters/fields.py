# SPDX-License-Identifier: Apache-2.0
"""One parameter: its default, type, unit, range and description; and values checked against them."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, get_args, get_origin, get_type_hints

from so101_node.errors import So101NodeError


class ParameterError(So101NodeError, ValueError):
    """A parameter is missing, of the wrong type or out of range. The message is one line for people."""


def item_type(hint: Any) -> Any:
    """Return the type of the elements of `list[T]` or `tuple[T, ...]`, None for any other type."""
    return get_args(hint)[0] if get_origin(hint) in (list, tuple) else None


def shown(value: Any) -> Any:
    """Return a value as people write it: a list for a tuple."""
    return list(value) if isinstance(value, tuple) else value


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """What a parameter accepts. `lower` and `upper` are inclusive; all but `most` hold for each element of a list.

    `longest` is in characters, `most` the number of elements: what the messages have room for.
    """

    description: str
    lower: float | None = None
    upper: float | None = None
    choices: tuple[Any, ...] = ()
    read_only: bool = True
    longest: int | None = None
    most: int | None = None

    @property
    def is_bounded(self) -> bool:
        """Whether it accepts less than any value of its type."""
        return bool(self.choices) or {self.lower, self.upper, self.longest, self.most} != {None}

    def accepted(self) -> str:
        """Return in words what the parameter accepts."""
        if self.choices:
            return "one of " + ", ".join(str(choice) for choice in self.choices)
        if self.lower is not None and self.upper is not None:
            return f"{self.lower:g} to {self.upper:g}"
        if self.lower is not None:
            return f"{self.lower:g} or more"
        if self.upper is not None:
            return f"{self.upper:g} or less"
        sizes = ((self.most, "entries"), (self.longest, "characters"))
        told = " of ".join(f"{size} {unit}" for size, unit in sizes if size is not None)
        return f"at most {told}" if told else "any value of its type"

    def check(self, name: str, value: Any, place: str = "") -> None:
        """Raise ParameterError when `value`, or an element of it, is not accepted; `place`: where it is written."""
        many = isinstance(value, (list, tuple))
        if many and self.most is not None and len(value) > self.most:
            raise ParameterError(f"parameter {name}{place}: {len(value)} entries, at most {self.most} fit a message")
        for element in value if many else (value,):
            if self.longest is not None and len(element) > self.longest:
                size = f"{len(element)} characters, at most {self.longest} fit a message"
                raise ParameterError(f"parameter {name} = '{element[:20]}...'{place}: {size}")
            bad = bool(self.choices) and element not in self.choices
            if isinstance(element, (int, float)) and not isinstance(element, bool):
                bad = bad or not math.isfinite(element)
                bad = bad or (self.lower is not None and element < self.lower)
                bad = bad or (self.upper is not None and element > self.upper)
            if bad:
                raise ParameterError(
                    f"parameter {name} = {shown(value)!r}{place}: must be {self.accepted()} ({self.description})"
                )


def parameter(
    default: Any,
    description: str,
    *,
    lower: float | None = None,
    upper: float | None = None,
    choices: Sequence[Any] = (),
    read_only: bool = True,
    longest: int | None = None,
    most: int | None = None,
) -> Any:
    """Return a dataclass field that carries a parameter's default, description with unit, and range."""
    metadata = {"rule": Rule(description, lower, upper, tuple(choices), read_only, longest, most)}
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
    hints = get_type_hints(cls)
    tuples = {name: tuple(value) for name, value in values.items() if get_origin(hints[name]) is tuple}
    result = cls(**values | tuples)
    validate = getattr(result, "validate", None)
    if validate is not None:
        validate()
    return result


def pick[T](cls: type[T], values: object, **others: Any) -> T:
    """Return a `cls` whose fields are those of `values` with the same names, and `others`.

    A core's configuration then takes a parameter by its name, without a line for each.

    Raises:
        TypeError: a field without default has no value.
    """
    names = [field.name for field in dataclasses.fields(cls) if field.init]  # type: ignore[arg-type]
    taken = {name: getattr(values, name) for name in names if name not in others and hasattr(values, name)}
    return cls(**taken, **others)
