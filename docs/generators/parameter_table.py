# SPDX-License-Identifier: Apache-2.0
"""Prints what the nodes declare.

`./so101 ros python docs/generators/parameter_table.py > docs/reference/parameters.md`
"""

import dataclasses
import importlib
import sys
from typing import Any, get_type_hints

from so101_node.parameters import Rule, item_type

NODES = (
    ("so101_driver", "so101_driver.ros.driver_parameters", "DriverParameters"),
    ("driver_pair", "so101_driver.ros.pair_parameters", "DriverPairParameters"),
    ("action_queue", "so101_action_queue.ros.parameters", "QueueParameters"),
    ("camera", "so101_camera.ros.camera_node", "CameraParameters"),
    ("frame_gate", "so101_camera.ros.frame_gate_node", "FrameGateParameters"),
    ("policy_server", "so101_policy_server.parameters", "ServerParameters"),
    ("link_robot", "so101_link.ros.parameters", "LinkRobotParameters"),
    ("link_server", "so101_link.ros.parameters", "LinkServerParameters"),
    ("virtual_cameras", "so101_sim.ros.parameters", "VirtualCamerasParameters"),
    ("judge", "so101_sim.ros.parameters", "JudgeParameters"),
    ("observer", "so101_demo.observer.observer_node", "ObserverParameters"),
    ("recorder", "so101_bag.record.recorder_parameters", "RecorderParameters"),
    ("queue_plot", "so101_viewer.queue_plot.queue_plot_node", "QueuePlotParameters"),
    ("view", "so101_viewer.view.view_parameters", "ViewParameters"),
    ("gripper_path", "so101_viewer.view.gripper_path_parameters", "GripperPathParameters"),
    ("numbers", "so101_viewer.view.numbers_node", "NumbersParameters"),
    ("film_recorder", "so101_demo.film.film_recorder_node", "FilmRecorderParameters"),
    ("late_wire", "so101_demo.late_wire_node", "LateWireParameters"),
)

HEADER = """# Parameters

Written by `./so101 ros python docs/generators/parameter_table.py` from what the nodes declare; a test keeps it current.
Each parameter is checked at start: a value that is not accepted ends the node with one line that names it, and so does
a name that the node does not have (exit code 78; `./so101 launch` then stops everything). A section of a YAML file that
reaches no node is a warning. Under `/**:` a key may belong to another node. Parameters marked *live* can be changed
while the node runs (`ros2 param set`). The values of a deployment are in `config/`.

`so101_driver`, `action_queue` and `policy_server` are lifecycle nodes. They also have `autostart` (bool, true):
configure and activate automatically at start. That moves nothing; motion needs `action_queue/start`.
"""


def table(node: str, parameters: type[Any]) -> str:
    """Return one node's parameters as a Markdown table."""
    lines = [f"## {node}", "", "| Parameter | Type | Default | Accepts | Meaning |", "|---|---|---|---|---|"]
    hints = get_type_hints(parameters)
    for field in dataclasses.fields(parameters):
        rule: Rule = field.metadata["rule"]
        default = field.default_factory() if callable(field.default_factory) else field.default
        hint = hints[field.name]
        item = item_type(hint)
        kind = hint.__name__ if item is None else f"list[{item.__name__}]"
        accepts = ", ".join(map(_code, rule.choices)) if rule.choices else rule.accepted() if rule.is_bounded else ""
        meaning = rule.description + ("" if rule.read_only else " (*live*)")
        lines.append(f"| `{field.name}` | {kind} | {_code(default)} | {accepts} | {_text(meaning)} |")
    return "\n".join(lines) + "\n"


def document() -> str:
    """Return the whole page."""
    tables = [table(node, getattr(importlib.import_module(module), name)) for node, module, name in NODES]
    return "\n".join([HEADER, *tables])


def _code(value: Any) -> str:
    value = list(value) if isinstance(value, tuple) else value
    text = str(value).replace("'", "") if isinstance(value, list) else "true" if value is True else str(value)
    text = "false" if value is False else text
    return f"`{_cell(text)}`" if text else '`""`'


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _text(text: str) -> str:
    return _cell(text).replace("<", "&lt;")


if __name__ == "__main__":
    sys.stdout.write(document())
