"""The images and what they need of the workspace; the health check runs for real. Images are not built here."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

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
    for line in re.findall(r"^COPY (.+)$", file.read_text(), re.MULTILINE):
        *sources, _target = [word for word in line.split() if not word.startswith("--")]
        for source in sources:
            assert (ROOT / source).exists(), source


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


def test_the_health_check_finds_silence_ill() -> None:
    check = health("driver_status")
    assert (check.returncode, check.stdout.strip()) == (1, "no driver_status within 5 s")


def health(topic: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "docker" / "healthcheck.py"), topic]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
