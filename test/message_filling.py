# SPDX-License-Identifier: Apache-2.0
"""Messages with something of its own in every field, made from the description of the type alone."""

import importlib
import itertools
import re
from collections.abc import Iterator
from typing import Any

_SEQUENCE = re.compile(r"sequence<(?P<item>.+?)(, (?P<bound>\d+))?>$")
_ARRAY = re.compile(r"(?P<item>.+)\[(?P<size>\d+)\]$")
_STRING = re.compile(r"string(<(?P<bound>\d+)>)?$")
_INTEGER = re.compile(r"u?int(?P<bits>\d+)$")


def filled(message_type: type[Any]) -> Any:
    """Return a message in which every field, nested ones too, differs from its default and from its neighbours."""
    return _filled(message_type, itertools.count(1))


def _filled(message_type: type[Any], numbers: Iterator[int]) -> Any:
    message = message_type()
    for name, description in message_type.get_fields_and_field_types().items():
        setattr(message, name, _value(description, numbers))
    return message


def _value(description: str, numbers: Iterator[int]) -> Any:
    if match := _SEQUENCE.match(description):
        count = min(3, int(match["bound"] or 3))
        return [_value(match["item"], numbers) for _ in range(count)]
    if match := _ARRAY.match(description):
        return [_value(match["item"], numbers) for _ in range(int(match["size"]))]
    if match := _STRING.match(description):
        return f"text {next(numbers)} ü\n"[: int(match["bound"] or 100)]
    if match := _INTEGER.match(description):
        largest = 2 ** int(match["bits"]) - 1
        # 64-bit ids are random: all bits must survive.
        return largest - next(numbers) if description == "uint64" else next(numbers) % 120 + 1
    if description == "boolean":
        next(numbers)
        return True
    if description in ("float", "double"):
        return next(numbers) + 0.125  # exact in both
    if description in ("octet", "byte"):
        return bytes([next(numbers) % 250])
    package, name = description.split("/")
    return _filled(getattr(importlib.import_module(f"{package}.msg"), name), numbers)
