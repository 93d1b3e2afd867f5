# SPDX-License-Identifier: Apache-2.0
"""ROS arguments of a process, checked before ROS reads them: it tells where its parser stopped, not what to type."""

import os
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from rclpy.exceptions import InvalidNamespaceException, InvalidNodeNameException
from rclpy.validate_namespace import validate_namespace
from rclpy.validate_node_name import validate_node_name

from so101_node.errors import So101NodeError
from so101_node.parameters.files import ros_words
from so101_node.ros_domain import LAST_DOMAIN, is_domain

_LEVELS = ("debug", "info", "warn", "error", "fatal", "unset")


class CommandLineError(So101NodeError, ValueError):
    """A ROS argument is not accepted. The message is one line for people."""


def check(arguments: Sequence[str]) -> None:
    """Refuse parameters, files, names and namespaces that ROS would refuse with a line for its developers.

    Raises:
        CommandLineError: naming the word and how it is written.
    """
    for option, value in pairwise([*ros_words(arguments)[0], ""]):
        if option in ("-p", "--param"):
            _check_parameter(option, value)
        if option == "--params-file" and not value:
            raise CommandLineError("--params-file: no file is named; it is written --params-file FILE")
        if option in ("-r", "--remap"):
            _check_rule(value)
        if option == "--log-level" and value.rpartition(":=")[2].lower() not in _LEVELS:
            raise CommandLineError(f"--log-level {value}: must be one of {', '.join(_LEVELS)}, or NODE:=LEVEL")


def check_domain(environ: Mapping[str, str] = os.environ) -> None:
    """Refuse a ROS_DOMAIN_ID that is none: ROS ends with a line of rcl's, and Fast DDS ends the process."""
    domain = environ.get("ROS_DOMAIN_ID", "")
    if domain and not is_domain(domain):
        raise CommandLineError(f"ROS_DOMAIN_ID={domain}: must be a whole number from 0 to {LAST_DOMAIN}, or unset")


def _check_parameter(option: str, text: str) -> None:
    name, separator, value = text.partition(":=")
    if not separator:
        meant = text.replace("=", ":=", 1) if "=" in text else f"{text or 'NAME'}:=VALUE"
        raise CommandLineError(f"{option} {text}: is written -p {meant}".replace(" :", ":"))
    if not value.strip():
        raise CommandLineError(f"{option} {text}: has no value; an empty text is written -p \"{name}:=''\"")
    if name != name.strip():
        raise CommandLineError(f"{option} {text}: is written without spaces, -p {name.strip()}:={value.strip()}")


def _check_rule(rule: str) -> None:
    name, separator, value = rule.partition(":=")
    if not separator:
        raise CommandLineError(f"-r {rule}: is written -r FROM:=TO")
    if name == "__ns":
        check_namespace(value)
    elif name in ("__node", "__name"):
        check_node_name(value)


def check_namespace(text: str) -> None:
    """Raise CommandLineError unless `text` is a namespace, with its leading slash."""
    _check(validate_namespace, text, "/left")


def check_node_name(text: str) -> None:
    """Raise CommandLineError unless `text` is a node's name."""
    _check(validate_node_name, text, "front_camera")


def _check(validate: Callable[[str], object], text: str, example: str) -> None:
    try:
        validate(text)
    except (InvalidNamespaceException, InvalidNodeNameException) as error:
        reason = str(error).splitlines()[0].partition(": ")[2].rstrip(":")
        raise CommandLineError(f"{text!r}: {reason}; letters, digits and _ are allowed, as in {example}") from error
