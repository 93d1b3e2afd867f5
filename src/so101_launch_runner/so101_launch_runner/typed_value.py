# SPDX-License-Identifier: Apache-2.0
"""Parameter values from the text of a launch file, typed as `launch` types them."""

import yaml

from so101_launch_runner.process_spec import ParameterValue

_SCALARS: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}


def typed_value(text: str, type_name: str | None) -> ParameterValue:
    """Convert `text` to the type a `<param type=...>` names; without one YAML's rules decide.

    Raises ValueError with what would be accepted.
    """
    if type_name is None or type_name == "yaml":
        return _by_yaml(text)
    if type_name == "str":
        return text
    if type_name in ("int", "float"):
        try:
            return _SCALARS[type_name](text)  # type: ignore[no-any-return]
        except ValueError:
            raise ValueError(f"{text!r} is not {'a whole number' if type_name == 'int' else 'a number'}") from None
    if type_name == "bool":
        value = _by_yaml({"1": "true", "0": "false"}.get(text, text))
        if not isinstance(value, bool):
            raise ValueError(f"{text!r} is not a bool")
        return value
    item = _SCALARS.get(type_name.removeprefix("list_of_"))
    if item is None or not type_name.startswith("list_of_"):
        known = [*_SCALARS, *(f"list_of_{name}" for name in _SCALARS), "yaml"]
        raise ValueError(f"type {type_name!r} is not one of: {', '.join(known)}")
    value = _by_yaml(text)
    if not isinstance(value, list) or not all(type(entry) is item for entry in value):
        raise ValueError(f"{text!r} is not a {type_name}")
    return value


def _by_yaml(text: str) -> ParameterValue:
    if not text:
        return text
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError(f"{text!r} is not valid YAML; give type='str' if it is meant as text") from None
    if isinstance(value, list) and value:
        if type(value[0]) in _SCALARS.values() and all(type(entry) is type(value[0]) for entry in value):
            return value
    elif isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"{text!r} is neither a single value nor a list of one type")
