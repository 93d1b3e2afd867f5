# SPDX-License-Identifier: Apache-2.0
"""Entries of /diagnostics, and when they are published."""

import rclpy
import so101_node.diagnostics.publishing as diagnostics
from diagnostic_msgs.msg import DiagnosticStatus
from hypothesis import given
from hypothesis import strategies as st
from rclpy.context import Context
from so101_node.diagnostics import Cause, Level
from so101_node.diagnostics.publishing import DiagnosticsPublisher, entry

GOOD = Cause("RUNNING", Level.OK, "all is well")
BAD = Cause("SERVER_LOST", Level.WARN, "no heartbeat", "look at the network")


def test_an_entry_names_cause_and_remedy() -> None:
    made = entry("queue", BAD, "no heartbeat for 0.9 s", {"length": 3}, hardware_id="arm")
    assert made.level == DiagnosticStatus.WARN
    assert made.message == "SERVER_LOST: no heartbeat for 0.9 s"
    assert [(one.key, one.value) for one in made.values] == [
        ("cause", "SERVER_LOST"),
        ("remedy", "look at the network"),
        ("length", "3"),
    ]
    assert entry("queue", GOOD).message == "RUNNING: all is well"


def test_two_arms_in_namespaces_do_not_share_a_name() -> None:
    context = Context()
    rclpy.init(args=[], context=context)
    names = []
    for namespace in ("", "/left", "/lab/right"):
        node = rclpy.create_node("so101_driver", context=context, namespace=namespace, enable_rosout=False)
        names.append(diagnostics.node_name(node))
        node.destroy_node()
    rclpy.shutdown(context=context)
    assert names == ["so101_driver", "left/so101_driver", "lab/right/so101_driver"]


def test_the_same_is_published_once_a_second_and_a_change_at_once(monkeypatch) -> None:
    now_ns = 10**10
    monkeypatch.setattr(diagnostics.time, "monotonic_ns", lambda: now_ns)
    context = Context()
    rclpy.init(args=[], context=context)
    node = rclpy.create_node("diagnosed", context=context, enable_rosout=False)
    publisher = DiagnosticsPublisher(node)
    published: list[str] = []
    monkeypatch.setattr(
        publisher,
        "_publisher",
        type("Spy", (), {"publish": lambda _, array: published.append(array.status[0].message)})(),
    )
    for cause, detail, seconds in (
        (GOOD, "1", 0.0),
        (GOOD, "2", 0.5),
        (GOOD, "3", 0.6),
        (BAD, "4", 0.1),
        (BAD, "5", 0.1),
    ):
        now_ns += round(seconds * 1e9)
        publisher.offer([entry("queue", cause, detail)])
    assert published == ["RUNNING: 1", "RUNNING: 3", "SERVER_LOST: 4"]
    node.destroy_node()
    rclpy.shutdown(context=context)


@given(detail=st.text(), name=st.text(min_size=1), value=st.text())
def test_foreign_words_change_neither_cause_nor_level_nor_remedy(detail: str, name: str, value: str) -> None:
    made = entry(f"queue: {name}", BAD, detail, {"policy": value}, hardware_id=name)
    assert (made.level, made.values[0].value, made.values[1].value) == (
        DiagnosticStatus.WARN,
        "SERVER_LOST",
        "look at the network",
    )
    assert made.message.startswith("SERVER_LOST: ")
