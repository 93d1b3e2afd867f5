# SPDX-License-Identifier: Apache-2.0
"""`./so101 link sros2`: only the robot commands the arm, and everything that nodes publish may be published."""

import re
import shutil
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rclpy.node import Node
from so101_link.keys.__main__ import main
from so101_link.sros2.rights import policy

ROOT = Path(__file__).parents[1]
CAMERAS = ("front", "top", "wrist")
OF_EVERY_NODE = {"/rosout", "/parameter_events"}
# Whose topics are of people, or of the virtual arm.
WATCHERS = {"queue_plot", "numbers", "gripper_path", "judge"}


def allowed(kind: str, verb: str, text: str) -> dict[str, set[str]]:
    """Full names by enclave: kind topic or service, verb publish, subscribe, reply or request."""
    found: dict[str, set[str]] = defaultdict(set)
    for enclave in ElementTree.fromstring(text).iterfind("enclaves/enclave"):
        for profile in enclave.iterfind("profiles/profile"):
            for group in profile.iterfind(f"{kind}s[@{verb}='ALLOW']"):
                found[enclave.get("path", "").removeprefix("/so101/")] |= {
                    full_name(str(one.text), str(profile.get("ns")), str(profile.get("node")))
                    for one in group.iterfind(kind)
                }
    return found


def beyond(node: Node, name: str, namespace: str, text: str) -> set[str]:
    """What the running node of that name has in the ROS graph and no profile of it allows."""
    profiles = [one for one in ElementTree.fromstring(text).iter("profile") if one.get("node") == name]
    assert profiles, f"no profile of {name}"
    found: set[str] = set()
    for kind, verb, ask in (
        ("topic", "publish", node.get_publisher_names_and_types_by_node),
        ("topic", "subscribe", node.get_subscriber_names_and_types_by_node),
        ("service", "reply", node.get_service_names_and_types_by_node),
        ("service", "request", node.get_client_names_and_types_by_node),
    ):
        groups = [group for profile in profiles for group in profile.iterfind(f"{kind}s[@{verb}='ALLOW']")]
        names = {full_name(str(one.text), namespace, name) for group in groups for one in group}
        found |= {f"{verb} {used}" for used, _types in ask(name, namespace) if used not in names}
    return found


def full_name(name: str, namespace: str, node: str) -> str:
    """As SROS2 resolves it."""
    if name.startswith("/"):
        return name
    namespace = f"{namespace.rstrip('/')}/"
    return f"{namespace}{node}/{name[2:]}" if name.startswith("~/") else namespace + name


def documented() -> dict[str, set[str]]:
    """Topics that each part publishes, as docs/reference/topics.md lists them."""
    found: dict[str, set[str]] = defaultdict(set)
    table = (ROOT / "docs/reference/topics.md").read_text(encoding="utf-8").partition("\n| Service |")[0]
    for names, sender in re.findall(r"^\| (`[^|]+`) \| [^|]+ \| ([\w ,]+) \|", table, re.MULTILINE):
        for topic in re.findall(r"`([^`]+)`", names):
            found[sender] |= {f"/{topic.lstrip('/')}".replace("<camera>", camera) for camera in CAMERAS}
    return found


def test_only_the_robot_may_command_the_arm_and_offer_its_services() -> None:
    text = policy(["root"])
    publish = allowed("topic", "publish", text)
    for name in ("/joint_command", "/left/joint_command", "/policy_spec"):
        assert [enclave for enclave, topics in publish.items() if name in topics] == ["robots/root"]
    assert [enclave for enclave, topics in publish.items() if "/action_chunk" in topics] == ["server"]
    for enclave, services in allowed("service", "reply", text).items():
        commands = [
            one for one in services if re.search(r"/(start|stop|pause|park|release|emergency_stop|reset)$", one)
        ]
        assert bool(commands) == (enclave == "robots/root")
    assert publish["server"] - OF_EVERY_NODE == {
        "/action_chunk", "/policy_status", "/diagnostics", "/policy_server/transition_event",
    }  # fmt: skip
    assert not {one for one in publish["person"] if one.rpartition("/")[2] in ("joint_command", "action_chunk")}
    assert "server" not in allowed("service", "request", text)


def test_all_that_nodes_publish_is_allowed() -> None:
    publish, senders = allowed("topic", "publish", policy(["root"])), documented()
    assert {"driver", "queue", "camera", "server"} <= set(senders)
    robot = senders["driver"] | senders["queue"] | senders["camera"] | senders["queue_plot"]
    assert robot - publish["robots/root"] == set()
    assert senders["server"] - publish["server"] == set()
    assert senders["numbers"] | senders["gripper_path"] | senders["queue_plot"] <= publish["person"]
    assert set(senders) - {"driver", "queue", "camera", "server", "driver, queue, server, cameras"} <= WATCHERS


def test_what_each_needs_of_the_others_it_may_hear_and_call() -> None:
    text = policy(["root"])
    subscribe = allowed("topic", "subscribe", text)
    assert {"/action_chunk", "/policy_status"} <= subscribe["robots/root"]
    assert {"/observation_request", "/policy_spec", *(f"/{one}/observation" for one in CAMERAS)} <= subscribe["server"]
    offered, requested = allowed("service", "reply", text)["robots/root"], allowed("service", "request", text)
    assert requested["person"] | requested["robots/root"] <= offered


def test_a_robot_may_nothing_in_the_namespace_of_another_and_its_cameras_are_those_it_has() -> None:
    text = policy(["arm1", "arm2"], ["hand"])
    for kind, verb in (("topic", "publish"), ("topic", "subscribe"), ("service", "reply"), ("service", "request")):
        for name in allowed(kind, verb, text)["robots/arm1"]:
            assert name.startswith("/arm1/") or "arm" not in name, name
    subscribe = allowed("topic", "subscribe", text)
    assert {"/arm1/hand/observation", "/arm2/hand/observation"} <= subscribe["server"]
    assert not any("front" in name for names in subscribe.values() for name in names)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--robot", "arm/1"], "is no name for a robot"),
        (["--camera", "my camera"], "is no name for a camera"),
        (["--robot", "arm1"], "sudo apt-get install ros-jazzy-sros2"),
    ],
)
def test_what_cannot_be_made_is_said_in_one_line(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["sros2", str(tmp_path / "keys"), *words]) == 1
    told = capsys.readouterr().err
    assert says in told and told.count("\n") == 1


def test_keys_of_the_link_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", str(tmp_path / "keys")]) == 0
    assert main(["sros2", str(tmp_path / "keys")]) == 1
    assert "holds the keys of the link, nothing was changed" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("ros2") is None, reason="ros2 security comes with ROS 2 from apt")
def test_sros2_itself_makes_a_folder_for_each_computer(tmp_path: Path) -> None:
    """It holds policy and permissions against their XML schemas. ROS from apt has it; the wheels do not."""
    pytest.importorskip("sros2")
    folder = tmp_path / "keys"
    assert main(["sros2", str(folder), "--robot", "arm1", "--camera", "hand", "--domain", "7"]) == 0
    for place, enclave in (("robots/arm1", "robots/arm1"), ("server", "server"), ("person", "person")):
        laid = folder / place / "enclaves" / "so101" / enclave
        assert {"cert.pem", "key.pem", "governance.p7s", "identity_ca.cert.pem", "permissions.p7s"} <= {
            one.name for one in laid.iterdir() if one.is_file() and not one.is_symlink()
        }
        assert "<id>7</id>" in (laid / "permissions.xml").read_text()
        assert not list((folder / place).rglob("*ca.key*"))
    assert main(["sros2", str(folder), "--domain", "8"]) == 1
