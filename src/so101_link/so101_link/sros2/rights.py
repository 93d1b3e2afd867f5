# SPDX-License-Identifier: Apache-2.0
"""What each node may publish, hear, offer and call under SROS2, and the policy file that says so.

One enclave for each computer, since all nodes of a launch file run with its keys: a robot's, the server's, and that
of people who start, stop, look and record. A name without a slash is in the robot's namespace, one with `~/` in the
node's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from xml.etree import ElementTree

from so101_link.core.hello import namespace_of_name

SERVER, PERSON = "/so101/server", "/so101/person"
CAMERAS = ("front", "top", "wrist")

_EVERY_NODE = ("/rosout", "/parameter_events")
_EVERY_NODE_HEARS = ("/clock", "/parameter_events")
_PARAMETERS = tuple(
    f"~/{name}"
    for name in (
        "describe_parameters", "get_parameter_types", "get_parameters", "list_parameters", "set_parameters",
        "set_parameters_atomically", "get_type_description",
    )
)  # fmt: skip
_LIFECYCLE = tuple(
    f"~/{name}"
    for name in (
        "change_state", "get_state", "get_available_states", "get_available_transitions", "get_transition_graph",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NodeRights:
    """Topics and services of one node.

    `below`: its namespace below the robot's. `has_lifecycle`: it is a managed node, which offers more services.
    """

    node: str
    publishes: tuple[str, ...] = ()
    hears: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    below: str = ""
    has_lifecycle: bool = False


_STATE = ("joint_states", "driver_status", "joint_limits", "servo_telemetry")
_DRIVER_SERVICES = tuple(f"so101_driver/{name}" for name in ("park", "release", "emergency_stop", "reset"))
_QUEUE_SERVICES = tuple(f"action_queue/{name}" for name in ("start", "stop", "pause"))
_OF_PAIR = tuple(f"{arm}/{name}" for arm in ("left", "right") for name in _STATE)
_OF_QUEUE = (
    "joint_command", "policy_spec", "observation_request", "action_queue/status", "action_queue/decisions",
    "action_plan",
)  # fmt: skip
_OF_SERVER = ("action_chunk", "policy_status")
_OF_CAMERA = ("{camera}/observation", "{camera}/image_raw", "{camera}/image_raw/compressed", "{camera}/camera_info")
_MODEL = ("robot_description", "tf", "tf_static")
_OF_VIEWERS = (
    "queue_plot/image", "numbers/queue", "numbers/servos", "gripper_path/measured", "gripper_path/planned", "episode",
)  # fmt: skip

_DRIVER = NodeRights(
    "so101_driver", (*_STATE, "/diagnostics"), ("joint_command",), _DRIVER_SERVICES, has_lifecycle=True
)
_QUEUE = NodeRights(
    "action_queue",
    (*_OF_QUEUE, "/diagnostics"),
    ("joint_states", "driver_status", "joint_limits", "frame_timing", *_OF_SERVER),
    _QUEUE_SERVICES,
    has_lifecycle=True,
)
_PAIR = NodeRights(
    "driver_pair",
    (*_STATE, "left/joint_command", "right/joint_command", "/diagnostics"),
    (*_OF_PAIR, "joint_command"),
    _DRIVER_SERVICES,
    tuple(f"{arm}/{service}" for arm in ("left", "right") for service in _DRIVER_SERVICES),
)
_POLICY_SERVER = NodeRights(
    "policy_server", (*_OF_SERVER, "/diagnostics"), ("policy_spec", "observation_request"), has_lifecycle=True
)


def enclave_of(robot: str) -> str:
    """The enclave of a robot; `root` is the one without a namespace."""
    return f"/so101/robots/{robot}"


def rights_of_robot(cameras: Sequence[str]) -> tuple[NodeRights, ...]:
    """Nodes of robot.launch.xml, those of a pair of arms among them."""
    frames = tuple(f"{camera}/image_raw/compressed" for camera in cameras)  # a correction reads them
    of_arms = [
        replace(_DRIVER, below=arm, offers=tuple(name.replace("so101_driver/", "~/") for name in _DRIVER_SERVICES))
        for arm in ("left", "right")
    ]
    return (
        _DRIVER,
        *of_arms,
        _PAIR,
        replace(_QUEUE, hears=(*_QUEUE.hears, *frames)),
        *(
            NodeRights(
                camera,
                (*(name.format(camera=camera) for name in _OF_CAMERA), "frame_timing", "/diagnostics"),
                ("policy_spec", "observation_request"),
            )
            for camera in cameras
        ),
        *_watchers(cameras, ("recorder", "queue_plot")),
    )


def rights_of_server(cameras: Sequence[str]) -> tuple[NodeRights, ...]:
    """The policy server, for one robot."""
    return (replace(_POLICY_SERVER, hears=(*_POLICY_SERVER.hears, *(f"{name}/observation" for name in cameras))),)


def rights_of_person(cameras: Sequence[str]) -> tuple[NodeRights, ...]:
    """What people start beside a robot: to call, check, look and record. None of it publishes a command or a chunk."""
    return (
        NodeRights("so101_call", calls=(*_QUEUE_SERVICES, *_DRIVER_SERVICES)),
        *_watchers(cameras, ("so101_doctor", "recorder", "view", "queue_plot", "numbers", "gripper_path")),
        *_watchers(cameras, ("robot_state_publisher", "rviz2", "rqt", "diagnostic_aggregator", "plotjuggler")),
    )


def _watchers(cameras: Sequence[str], names: Sequence[str]) -> Iterator[NodeRights]:
    frames = tuple(name.format(camera=camera) for camera in cameras for name in _OF_CAMERA)
    heard = (
        *_STATE, *_OF_PAIR, *_OF_QUEUE, *_OF_SERVER, *frames, *_MODEL, *_OF_VIEWERS, "/tf", "/tf_static",
        "/diagnostics", "/diagnostics_agg", "/diagnostics_toplevel_state", "/rosout",
    )  # fmt: skip
    shown = {
        "robot_state_publisher": _MODEL,
        "diagnostic_aggregator": ("/diagnostics_agg", "/diagnostics_toplevel_state"),
    }
    for name in names:
        own = tuple(topic for topic in _OF_VIEWERS if topic.startswith(f"{name}/"))
        yield NodeRights(name, (*own, *shown.get(name, ())), heard)


def policy(robots: Sequence[str], cameras: Sequence[str] = CAMERAS) -> str:
    """The policy file for `ros2 security generate_artifacts`.

    Args:
        robots: their names, as of `./so101 link keys`: the namespace, or root.
        cameras: those that any of them has.
    """
    root = ElementTree.Element("policy", version="0.2.0")
    enclaves = ElementTree.SubElement(root, "enclaves")
    for robot in robots:
        _enclave(enclaves, enclave_of(robot), [robot], rights_of_robot(cameras))
    _enclave(enclaves, SERVER, robots, rights_of_server(cameras))
    _enclave(enclaves, PERSON, robots, rights_of_person(cameras))
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _enclave(parent: ElementTree.Element, path: str, robots: Sequence[str], rights: Iterable[NodeRights]) -> None:
    profiles = ElementTree.SubElement(ElementTree.SubElement(parent, "enclave", path=path), "profiles")
    rights = tuple(rights)
    for robot in robots:
        for one in rights:
            _profile(profiles, namespace_of_name(robot), one)


def _profile(parent: ElementTree.Element, namespace: str, one: NodeRights) -> None:
    here = f"{namespace}{one.below}"
    profile = ElementTree.SubElement(parent, "profile", ns=here if here == "/" else here.rstrip("/"), node=one.node)
    groups = (
        ("topic", "publish", (*one.publishes, *_EVERY_NODE, *(["~/transition_event"] if one.has_lifecycle else []))),
        ("topic", "subscribe", (*one.hears, *_EVERY_NODE_HEARS)),
        ("service", "reply", (*one.offers, *_PARAMETERS, *(_LIFECYCLE if one.has_lifecycle else ()))),
        ("service", "request", one.calls),
    )
    for kind, verb, names in groups:
        if names:
            group = ElementTree.SubElement(profile, f"{kind}s", {verb: "ALLOW"})
            for name in dict.fromkeys(names):
                ElementTree.SubElement(group, kind).text = name
