"""Prints what the nodes declare: `python -m so101_tools.parameter_table > docs/parameters.md`."""

import dataclasses
import importlib
import sys
from typing import Any, get_type_hints

from so101_node.parameters import Rule

NODES = (
    ("so101_driver", "so101_driver.driver_parameters", "DriverParameters"),
    ("action_queue", "so101_action_queue.parameters", "QueueParameters"),
    ("camera", "so101_camera.camera_node", "CameraParameters"),
    ("frame_gate", "so101_camera.frame_gate_node", "FrameGateParameters"),
    ("policy_server", "so101_policy_server.parameters", "ServerParameters"),
    ("virtual_cameras", "so101_sim.parameters", "VirtualCamerasParameters"),
    ("judge", "so101_sim.parameters", "JudgeParameters"),
    ("expert_policy", "so101_sim.parameters", "ExpertPolicyParameters"),
    ("observer", "so101_tools.observer.observer_node", "ObserverParameters"),
    ("recorder", "so101_tools.record.recorder_parameters", "RecorderParameters"),
    ("queue_plot", "so101_tools.queue_plot.queue_plot_node", "QueuePlotParameters"),
    ("view", "so101_tools.view.view_parameters", "ViewParameters"),
    ("gripper_path", "so101_tools.view.gripper_path_parameters", "GripperPathParameters"),
    ("numbers", "so101_tools.view.numbers_node", "NumbersParameters"),
    ("film_recorder", "so101_tools.film.film_recorder_node", "FilmRecorderParameters"),
)

HEADER = """# Parameters

Written by `python -m so101_tools.parameter_table` from what the nodes declare; a test keeps it true. Each parameter is
checked at start: a value that is not accepted ends the node with one line that names it, and so does a name that the
node does not have (exit code 78; `./so101 launch` then stops everything). A section of a YAML file that reaches no node
is a warning. Under `/**:` a key may be one of another node. Those marked *live* may be
changed while the node runs (`ros2 param set`). The values of a deployment are in `config/`.

`so101_driver`, `action_queue` and `policy_server` are lifecycle nodes and have `autostart` (bool, true) besides:
configure and activate by itself at start. That moves nothing; motion needs `action_queue/start`.
"""


def table(node: str, parameters: type[Any]) -> str:
    """Return one node's parameters as a Markdown table."""
    lines = [f"## {node}", "", "| Parameter | Type | Default | Accepts | Meaning |", "|---|---|---|---|---|"]
    hints = get_type_hints(parameters)
    for field in dataclasses.fields(parameters):
        rule: Rule = field.metadata["rule"]
        default = field.default_factory() if callable(field.default_factory) else field.default
        hint = hints[field.name]
        kind = hint.__name__ if isinstance(hint, type) and not hasattr(hint, "__args__") else str(hint)
        bounded = bool(rule.choices) or rule.lower is not None or rule.upper is not None
        accepts = ", ".join(map(_code, rule.choices)) if rule.choices else rule.accepted() if bounded else ""
        meaning = rule.description + ("" if rule.read_only else " (*live*)")
        lines.append(f"| `{field.name}` | {kind} | {_code(default)} | {accepts} | {_text(meaning)} |")
    return "\n".join(lines) + "\n"


def document() -> str:
    """Return the whole page."""
    tables = [table(node, getattr(importlib.import_module(module), name)) for node, module, name in NODES]
    return "\n".join([HEADER, *tables])


def _code(value: Any) -> str:
    text = str(value).replace("'", "") if isinstance(value, list) else "true" if value is True else str(value)
    text = "false" if value is False else text
    return f"`{_cell(text)}`" if text else '`""`'


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _text(text: str) -> str:
    return _cell(text).replace("<", "&lt;")


if __name__ == "__main__":
    sys.stdout.write(document())
