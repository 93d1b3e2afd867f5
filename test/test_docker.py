# SPDX-License-Identifier: Apache-2.0
"""The images and what they need of the workspace; the health check runs for real. Images are not built here."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from so101_launch_runner.find_file import find_launch_file

ROOT = Path(__file__).parents[1]
DOCKERFILES = sorted((ROOT / "docker").glob("Dockerfile.*"))

# Publishes one latched status of the state given, then stays.
PUBLISHER = """
import sys, rclpy, so101_msgs.msg
from rclpy.qos import DurabilityPolicy, QoSProfile
rclpy.init()
node = rclpy.create_node("publisher")
status = getattr(so101_msgs.msg, sys.argv[2])
qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
node.create_publisher(status, sys.argv[1], qos).publish(status(state=getattr(status, sys.argv[3]), message="why"))
sys.stdin.read()
"""


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_an_image_runs_without_rights_and_stops_on_an_interrupt(file: Path) -> None:
    text = file.read_text()
    users = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    assert users and not users[-1].startswith(("0", "root"))
    assert "STOPSIGNAL SIGINT" in text
    assert "HEALTHCHECK" in text


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_everything_an_image_copies_exists(file: Path) -> None:
    for source in copied(file):
        assert source.exists(), source


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_what_a_copied_package_depends_on_is_copied_too(file: Path) -> None:
    """As rosdep and colcon in the image want it; test dependencies stay out."""
    manifests = manifests_in(file)
    names = {manifest.findtext("name") for manifest in manifests}
    assert "so101_bringup" in names
    needed = {
        (manifest.findtext("name"), element.text)
        for manifest in manifests
        for element in manifest.getroot()
        if element.tag.endswith("depend") and element.tag != "test_depend" and (element.text or "").startswith("so101_")
    }
    assert {(name, depends) for name, depends in needed if depends not in names} == set()


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_a_package_that_a_launch_file_starts_something_of_is_copied(file: Path) -> None:
    names = {manifest.findtext("name") for manifest in manifests_in(file)}
    launch_file = find_launch_file(f"{file.suffix.removeprefix('.')}.launch.xml")
    started = {node.attrib["pkg"] for node in ElementTree.parse(launch_file).iter("node")}
    assert started and started <= names


def test_the_robots_image_has_what_driver_and_recorder_import_beyond_rosdep() -> None:
    assert set(pinned(ROOT / "docker" / "Dockerfile.robot")) >= {"av", "feetech-servo-sdk", "mcap", "zstandard"}


@pytest.mark.parametrize(
    "path", ["docker/Dockerfile.robot", "docs/how-to/deployment.md", "requirements/system_ros.txt"]
)
def test_versions_for_pip_are_those_of_the_tests(path: str) -> None:
    tested = pinned(ROOT / "requirements" / "constraints.txt")
    found = pinned(ROOT / path)
    assert found and found == {name: tested[name] for name in found}


def test_the_robot_on_apts_ros_gets_from_pip_what_the_page_has_a_person_type() -> None:
    assert pinned(ROOT / "requirements" / "system_ros.txt") == pinned(ROOT / "docs" / "how-to" / "deployment.md")


def test_the_services_stop_gently_and_name_files_that_exist() -> None:
    services = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    assert set(services) == {"server", "robot"}
    for service in services.values():
        assert service["stop_signal"] == "SIGINT"
        assert service["network_mode"] == "host"
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        for name in re.findall(r"/config/\$\{\w+:-([\w.]+)\}", " ".join(service["command"])):
            assert (ROOT / "config" / name).is_file(), name


@pytest.mark.parametrize(
    ("topic", "message_type", "state", "code", "says"),
    [
        ("policy_status", "PolicyStatus", "READY", 0, "well"),
        ("policy_status", "PolicyStatus", "ERROR", 1, "ERROR: why"),
        ("driver_status", "DriverStatus", "HOLD", 0, "well"),
        ("driver_status", "DriverStatus", "LATCHED", 1, "LATCHED: why"),
    ],
)
def test_the_health_check_tells_well_from_ill(topic: str, message_type: str, state: str, code: int, says: str) -> None:
    command = [sys.executable, "-c", PUBLISHER, topic, message_type, state]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as publisher:
        try:
            check = health(topic)
        finally:
            publisher.communicate(timeout=60)
    assert (check.returncode, check.stdout.strip()) == (code, says), check.stderr


@pytest.mark.long
def test_the_health_check_finds_silence_ill() -> None:
    check = health("driver_status")
    assert (check.returncode, check.stdout.strip()) == (1, "no driver_status within 5 s")


def copied(dockerfile: Path) -> Iterator[Path]:
    """Files and folders of the workspace that an image gets."""
    for line in re.findall(r"^COPY (.+)$", dockerfile.read_text(), re.MULTILINE):
        *sources, _target = [word for word in line.split() if not word.startswith("--")]
        yield from (ROOT / source for source in sources)


def manifests_in(dockerfile: Path) -> list[ElementTree.ElementTree]:
    """The package.xml of each package that an image gets."""
    return [ElementTree.parse(path) for source in copied(dockerfile) for path in sorted(source.rglob("package.xml"))]


def pinned(file: Path) -> dict[str, str]:
    """The version of each name in the words `name==version` of a text."""
    return dict(re.findall(r"(?<!\S)([a-z][\w-]*)==(\d[\w.]*)(?!\S)", file.read_text()))


def health(topic: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "docker" / "healthcheck.py"), topic]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_robots_entry_point_leaves_out_arguments_without_a_value(tmp_path: Path) -> None:
    lines = (ROOT / "docker" / "robot_entrypoint.sh").read_text().splitlines()
    script = tmp_path / "entrypoint.sh"
    script.write_text("\n".join(line for line in lines if not line.startswith("source ")))
    said = subprocess.run(
        ["bash", script, "printf", "%s|", "config:=a b", "server_address:=", "record:=false"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said == "config:=a b|record:=false|"
