# SPDX-License-Identifier: Apache-2.0
"""What to write instead of a value of the wrong type."""

import math
from typing import Any

from so101_node.parameters.fields import item_type

_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def expected(hint: Any, value: object, default: object, written: str = "") -> str:
    """Return what was expected of a parameter, and how it is written where that can be told.

    Args:
        hint: the type that is declared.
        value: what was given.
        default: an example of the right form.
        written: `value` as it was written, where that is known: `1` may have been `01`.
    """
    item = item_type(hint)
    if item is not None:
        many = f"a list, each {_NAMES[item]}"
        example = list(default) if isinstance(default, (list, tuple)) else []
        if len(example) <= 1 and isinstance(value, (bool, int, float, str)) and (item is str) == isinstance(value, str):
            return f"{many}: write [{value}]"
        return f"{many}, such as [{', '.join(map(str, example))}]" if example else many
    remedy = _remedy(hint, value, written or str(value))
    return f"{_NAMES[hint]}{': write ' if remedy else ''}{remedy}"


def _remedy(hint: Any, value: object, written: str) -> str:
    if hint is str and not isinstance(value, str):
        return f'"{written}" in quotes'
    if hint is bool:
        word = str(value).strip().lower()
        plain = {"true": "true", "yes": "true", "1": "true", "false": "false", "no": "false", "0": "false"}.get(word)
        return f"{plain} without quotes" if plain and isinstance(value, str) else plain or ""
    if isinstance(value, str):
        number = _number(value.strip().strip("'\"").replace(",", "."))
        if number is None or (hint is int and not number.is_integer()):
            return ""
        return f"{int(number) if hint is int else number} without quotes"
    if hint is int and isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return ""


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
