"""The doctor at the virtual arm's bus, on this machine, among nodes of the test: faults are named, with a remedy."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from so101_msgs.msg import PolicyStatus
from so101_node.qos import LATCHED
from so101_sim.virtual_arm_client import RunningVirtualArm, running_virtual_arm
from so101_tools.doctor.__main__ import main
from so101_tools.doctor.check import Check, State
from so101_tools.doctor.network import check_network
from so101_tools.doctor.robot import RobotQuestion, check_robot
from so101_tools.doctor.server import check_server


@pytest.fixture(scope="module")
def arm() -> Iterator[RunningVirtualArm]:
    with running_virtual_arm() as running:
        yield running


def asked(arm: RunningVirtualArm) -> RobotQuestion:
    return RobotQuestion(port=str(arm.port), calibration_dir=str(arm.sim_dir / "calibration"))


def named(checks: list[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def test_a_sound_arm_is_green(arm: RunningVirtualArm) -> None:
    checks = list(check_robot(asked(arm)))
    for name in ("port", "calibration", "servos", "settings", "bus", "temperature"):
        assert named(checks, name).state is State.GREEN, named(checks, name)


def test_a_servo_that_does_not_answer_is_named(arm: RunningVirtualArm) -> None:
    arm.client.fault("servo_off", 3)
    try:
        servos = named(list(check_robot(asked(arm))), "servos")
    finally:
        arm.client.fault("servo_on", 3)
    assert servos.state is State.RED
    assert "elbow_flex (id 3) does not answer" in servos.text


def test_a_calibration_that_is_missing_is_named_with_the_command_that_makes_it(arm: RunningVirtualArm) -> None:
    question = RobotQuestion(port=str(arm.port), robot_id="other", calibration_dir=str(arm.sim_dir / "calibration"))
    calibration = named(list(check_robot(question)), "calibration")
    assert calibration.state is State.RED
    assert "lerobot-calibrate" in calibration.text


def test_a_port_that_is_not_there_is_red_and_the_exit_code_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report = tmp_path / "new" / "report.json"
    assert main(["robot", "--port", "/dev/no_such_port", "--report", str(report)]) == 1
    assert "red     robot: port: /dev/no_such_port does not exist -> plug in" in capsys.readouterr().out
    written = json.loads(report.read_text())
    assert written["ok"] is False
    assert {"part": "robot", "name": "port", "state": "red"}.items() <= next(
        check for check in written["checks"] if check["name"] == "port"
    ).items()


def test_a_folder_that_is_no_checkpoint_is_red(tmp_path: Path) -> None:
    checkpoint = named(list(check_server(str(tmp_path), expected=True)), "checkpoint")
    assert checkpoint.state is State.RED
    assert "not a LeRobot checkpoint" in checkpoint.text


def test_a_policy_server_is_heard_and_its_error_is_red(peer_in: Callable, domain: int) -> None:
    peer = peer_in(domain)
    publisher = peer.node.create_publisher(PolicyStatus, "arm_1/policy_status", LATCHED)
    publisher.publish(PolicyStatus(server_id=5, server_name="gpu", state=PolicyStatus.ERROR, message="no such folder"))
    server = named(list(check_network("", 5.0)), "policy server")
    assert server.state is State.RED
    assert server.text == "gpu: ERROR: no such folder"


def test_this_machine_answers_itself() -> None:
    peers = [check for check in check_network("127.0.0.1", 0.1) if check.name == "peer"]
    assert peers[0].state in (State.GREEN, State.YELLOW)  # yellow where ping is not installed
    assert "127.0.0.1" in peers[0].text


def test_the_robots_half_imports_no_torch() -> None:
    code = (
        "import sys; from so101_tools.doctor.__main__ import main; main(['robot', '--port', '/dev/none']);"
        "sys.exit('torch' in sys.modules or 'lerobot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
