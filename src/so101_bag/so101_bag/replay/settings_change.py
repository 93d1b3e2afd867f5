# SPDX-License-Identifier: Apache-2.0
"""`--set name=value[,value]`: other settings of the queue to try on the same inputs."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.ros.parameters import QueueParameters
from so101_node.parameters import ParameterError, rules

from so101_bag.errors import ReplayError

Change = Mapping[str, Any]
"""New values by the name of the setting."""

_ALSO = ("actions_per_chunk",)  # fixed while a queue runs, but its effect can be replayed: longer chunks are cut
_MEANINGLESS = ("task",)


def changeable() -> list[str]:
    """Names of the settings that can be tried."""
    settings = {item.name for item in fields(QueueSettings)}
    found = rules(QueueParameters)
    return [
        name
        for name, rule in found.items()
        if name in settings and (not rule.read_only or name in _ALSO) and name not in _MEANINGLESS
    ]


def parse_changes(texts: Iterable[str]) -> list[Change]:
    """Return every combination of the values given.

    Raises:
        ReplayError: a name is not a setting that can be tried, or a value is not accepted.
    """
    choices: dict[str, list[Any]] = {}
    for text in texts:
        name, separator, values = text.partition("=")
        if not separator or name not in changeable():
            raise ReplayError(f"--set {text}: must be NAME=VALUE[,VALUE] with a name of {', '.join(changeable())}")
        choices.setdefault(name, []).extend(_value(name, value.strip()) for value in values.split(","))
    names = list(choices)
    return [dict(zip(names, combination, strict=True)) for combination in itertools.product(*choices.values()) if names]


def title(change: Change) -> str:
    """Return a change as people read it."""
    return ", ".join(f"{name}={value}" for name, value in change.items()) or "as recorded"


def _value(name: str, text: str) -> Any:
    kind = type(getattr(QueueSettings(), name))
    try:
        value = kind(text)
        rules(QueueParameters)[name].check(name, value)
    except ParameterError as error:
        raise ReplayError(f"--set {error}") from error
    except ValueError as error:
        raise ReplayError(f"--set {name}={text}: must be a {kind.__name__}") from error
    return value
