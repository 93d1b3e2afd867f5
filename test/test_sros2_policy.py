# SPDX-License-Identifier: Apache-2.0
"""config/sros2_policy.xml: only the robot commands the arm, and everything that nodes publish may be published."""

import re
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
POLICY = ROOT / "config" / "sros2_policy.xml"
CAMERAS = ("front", "top", "wrist")
OF_EVERY_NODE = {"/rosout", "/parameter_events", "/diagnostics"}
# Nodes that people start beside the robot, to watch; and topics of the virtual arm.
WATCHERS = {"queue_plot", "numbers", "gripper_path", "judge"}


def allowed(kind: str, verb: str) -> dict[str, set[str]]:
    """Names by enclave: kind topic or service, verb publish, subscribe, reply or request."""
    found: dict[str, set[str]] = defaultdict(set)
    for enclave in ElementTree.parse(POLICY).getroot().iterfind("enclaves/enclave"):
        for profile in enclave.iterfind("profiles/profile"):
            for group in profile.iterfind(f"{kind}s[@{verb}='ALLOW']"):
                names = {str(one.text).replace("~/", f"/{profile.get('node')}/") for one in group.iterfind(kind)}
                found[enclave.get("path", "").removeprefix("/so101/")] |= names
    return found


def documented() -> dict[str, set[str]]:
    """Topics that each part publishes, as docs/reference/topics.md lists them."""
    found: dict[str, set[str]] = defaultdict(set)
    table = (ROOT / "docs/reference/topics.md").read_text(encoding="utf-8").partition("\n| Service |")[0]
    for names, sender in re.findall(r"^\| (`[^|]+`) \| [^|]+ \| ([\w ,]+) \|", table, re.MULTILINE):
        for topic in re.findall(r"`([^`]+)`", names):
            found[sender] |= {topic.replace("<camera>", camera) for camera in CAMERAS}
    return found


def test_only_the_robot_may_command_the_arm_and_offer_its_services() -> None:
    publish = allowed("topic", "publish")
    assert [enclave for enclave, topics in publish.items() if "joint_command" in topics] == ["robot"]
    for enclave, services in allowed("service", "reply").items():
        assert enclave == "robot" or not any("so101_driver" in one or "action_queue" in one for one in services)
    assert publish["server"] - OF_EVERY_NODE == {"action_chunk", "policy_status"}
    assert publish["person"] - OF_EVERY_NODE == set()
    assert "server" not in allowed("service", "request")


def test_all_that_nodes_publish_is_allowed() -> None:
    publish, senders = allowed("topic", "publish"), documented()
    assert {"driver", "queue", "camera", "server"} <= set(senders)
    robot = senders["driver"] | senders["queue"] | senders["camera"]
    assert robot - publish["robot"] == set()
    assert senders["server"] - publish["server"] == set()
    assert set(senders) - {"driver", "queue", "camera", "server", "driver, queue, server, cameras"} <= WATCHERS


def test_what_each_needs_of_the_others_it_may_hear_and_call() -> None:
    subscribe = allowed("topic", "subscribe")
    assert {"action_chunk", "policy_status"} <= subscribe["robot"]
    assert {"observation_request", "policy_spec", *(f"{one}/observation" for one in CAMERAS)} <= subscribe["server"]
    offered = allowed("service", "reply")["robot"]
    assert allowed("service", "request")["person"] <= offered


def test_sros2_itself_reads_the_policy_where_it_is_installed() -> None:
    """It holds it against its XML schema. ROS from apt has it; the wheels do not."""
    policy = pytest.importorskip("sros2.policy")
    policy.load_policy(POLICY)
