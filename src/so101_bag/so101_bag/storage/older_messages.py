# SPDX-License-Identifier: Apache-2.0
"""Messages that were recorded with an earlier version of their type, read by the definition that the bag carries.

A type of ours only ever grows at its end. What a bag does not hold of it gets the default of the .msg file.
"""

from array import array
from functools import cache
from typing import Any

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.base import TypesysError

from so101_bag.errors import BagError
from so101_bag.storage.message_types import message_class, message_type

_RULE = "=" * 80 + "\n"


class IncompatibleError(BagError, ValueError):
    """The recorded type is no earlier version of the installed one. The message names the first difference."""


class OlderMessages:
    """Reads messages of one type by another definition than the installed one."""

    def __init__(self, type_name: str, definition: str) -> None:
        """Compare both definitions.

        Raises:
            IncompatibleError: the recorded type has something that the installed one lacks, or has otherwise.
        """
        self._name = type_name
        self._class = message_class(type_name)
        if not definition:
            raise IncompatibleError("its definition is not in the bag")
        self._store = _store(type_name, definition)
        self._check(type_name, _store(type_name, message_type(type_name).definition))
        self.type_hash: str = self._store.hash_rihs01(type_name)

    def message(self, serialized: bytes) -> Any:
        """Return the message as one of the installed type."""
        return self._as_installed(self._store.deserialize_cdr(serialized, self._name), self._class())

    def _check(self, name: str, installed: Any) -> None:
        recorded_fields = dict(self._store.fielddefs[name][1])
        installed_fields = dict(installed.fielddefs[name][1])
        for field, kind in recorded_fields.items():
            if field not in installed_fields:
                raise IncompatibleError(f"its {name} has a field {field}, the one here has none")
            if _unbounded(kind) != _unbounded(installed_fields[field]):
                raise IncompatibleError(f"field {field} of its {name} is of another type here")
            for nested in _named_types(kind):
                self._check(nested, installed)

    def _as_installed(self, recorded: Any, message: Any) -> Any:
        for field, _ in self._store.fielddefs[recorded.__msgtype__][1]:
            setattr(message, field, self._value(getattr(recorded, field), getattr(message, field), message, field))
        return message

    def _value(self, recorded: Any, default: Any, owner: Any, field: str) -> Any:
        if hasattr(recorded, "__dataclass_fields__"):
            return self._as_installed(recorded, default)
        if isinstance(default, array):
            filled = array(default.typecode)
            filled.frombytes(recorded.tobytes())
            return filled
        if isinstance(recorded, list) and recorded and hasattr(recorded[0], "__dataclass_fields__"):
            kind = message_class(recorded[0].__msgtype__)
            return [self._as_installed(item, kind()) for item in recorded]
        if hasattr(recorded, "tolist") and not hasattr(default, "dtype"):
            return [bytes([item]) for item in recorded] if _is_bytes(owner, field) else recorded.tolist()
        return recorded


def _is_bytes(owner: Any, field: str) -> bool:
    return "octet" in owner.get_fields_and_field_types()[field]


def _unbounded(kind: Any) -> Any:
    """Return a field's type without bounds of strings and sequences: a wider one is no other type."""
    code, details = kind
    if code.name == "BASE":
        return code, details[0]
    if code.name in ("ARRAY", "SEQUENCE"):
        return code, _unbounded(details[0]), details[1] if code.name == "ARRAY" else 0
    return kind


def _named_types(kind: Any) -> list[str]:
    """Return the message types that a field's type of rosbags' (code, details) form holds."""
    code, details = kind
    if code.name == "NAME":
        return [details]
    if code.name in ("ARRAY", "SEQUENCE"):
        return _named_types(details[0])
    return []


@cache
def _store(type_name: str, definition: str) -> Any:
    store = get_typestore(Stores.EMPTY)
    head, *parts = definition.split(_RULE + "MSG: ")
    try:
        types = get_types_from_msg(head, type_name)
        for part in parts:
            title, _, text = part.partition("\n")
            package, _, short = title.strip().rpartition("/")
            types.update(get_types_from_msg(text, f"{package.removesuffix('/msg')}/msg/{short}"))
        store.register(types)
    except (TypesysError, ValueError, KeyError) as error:
        raise IncompatibleError(f"its definition of {type_name} cannot be read ({error})") from error
    return store
