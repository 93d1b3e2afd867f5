# SPDX-License-Identifier: Apache-2.0
"""The doctor at the virtual arm's bus, on this machine, among nodes of the test: faults are named, with a remedy."""

import importlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from so101_doctor.__main__ import _makers, _parser, main
from so101_doctor.check import Check, Light
from so101_doctor.network import check_network
from so101_doctor.robot import RobotOptions, check_robot
from so101_doctor.server import check_server
from so101_driver.core import registers as reg
from so101_driver.servos.feetech_bus import FeetechBus
from so101_msgs.msg import PolicyStatus
from so101_node.topics.qos import LATCHED
from so101_sim.virtual_arm_client import RunningVirtualArm, running_virtual_arm

from so101_doctor import network


@pytest.fixture(scope="module")
def arm() -> Iterator[RunningVirtualArm]:
    with running_virtual_arm() as running:
        yield running


def under_test(arm: RunningVirtualArm) -> RobotOptions:
    return RobotOptions(port=str(arm.port), calibration_dir=str(arm.sim_dir / "calibration"))


def named(checks: list[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def test_a_sound_arm_is_green(arm: RunningVirtualArm) -> None:
    checks = list(check_robot(under_test(arm)))
    for name in ("port", "calibration", "servos", "settings", "bus", "temperature"):
        assert named(checks, name).state is Light.GREEN, named(checks, name)


@pytest.mark.parametrize("permitted", [True, False])
def test_a_user_who_may_not_raise_priorities_reads_what_to_type(
    monkeypatch: pytest.MonkeyPatch, permitted: bool
) -> None:
    monkeypatch.setattr("so101_doctor.robot.may_use_realtime", lambda priority: permitted)
    priority = named(list(check_robot(RobotOptions(expected=False))), "priority")
    assert priority.state is (Light.GREEN if permitted else Light.YELLOW)
    assert permitted or "sudo tee /etc/security/limits.d/so101.conf" in priority.remedy


def test_a_servo_that_does_not_answer_is_named(arm: RunningVirtualArm) -> None:
    arm.client.fault("servo_off", 3)
    try:
        servos = named(list(check_robot(under_test(arm))), "servos")
    finally:
        arm.client.fault("servo_on", 3)
    assert servos.state is Light.RED
    assert "elbow_flex (id 3) does not answer" in servos.text


def write_to_all(arm: RunningVirtualArm, register: reg.Register, values: Sequence[int]) -> None:
    bus = FeetechBus(str(arm.port), reply_timeout_s=0.1)
    bus.open()
    for servo_id, value in enumerate(values, start=1):
        bus.write_register(servo_id, register, value)
    bus.close()


def test_gains_of_ones_own_are_yellow_with_the_parameter_that_keeps_them(arm: RunningVirtualArm) -> None:
    write_to_all(arm, reg.P_COEFFICIENT, [32] * 6)
    try:
        settings = named(list(check_robot(under_test(arm))), "settings")
    finally:
        write_to_all(arm, reg.P_COEFFICIENT, [16] * 6)
    assert settings.state is Light.YELLOW
    assert "position_p_coefficient: 32" in settings.remedy


def test_another_arm_is_red_and_nothing_is_advised_that_writes_into_it(arm: RunningVirtualArm) -> None:
    joints = json.loads(arm.calibration.read_text()).values()
    write_to_all(arm, reg.HOMING_OFFSET, [-777, 801, -33, 1555, -870, 402])
    try:
        settings = named(list(check_robot(under_test(arm))), "settings")
    finally:
        write_to_all(arm, reg.HOMING_OFFSET, [joint["homing_offset"] for joint in joints])
    assert settings.state is Light.RED
    assert "looks like another arm" in settings.text
    assert "--write" not in settings.text + settings.remedy
    assert "--port" in settings.remedy


def test_a_calibration_that_is_missing_is_named_with_the_command_that_makes_it(arm: RunningVirtualArm) -> None:
    robot = RobotOptions(port=str(arm.port), robot_id="other", calibration_dir=str(arm.sim_dir / "calibration"))
    calibration = named(list(check_robot(robot)), "calibration")
    assert calibration.state is Light.RED
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
    assert checkpoint.state is Light.RED
    assert "not a LeRobot checkpoint" in checkpoint.text


def test_a_policy_server_is_heard_and_its_error_is_red(peer_in: Callable, domain: int) -> None:
    peer = peer_in(domain)
    publisher = peer.node.create_publisher(PolicyStatus, "arm_1/policy_status", LATCHED)
    publisher.publish(PolicyStatus(server_id=5, server_name="gpu", state=PolicyStatus.ERROR, message="no such folder"))
    server = named(list(check_network("", 5.0)), "policy server")
    assert server.state is Light.RED
    assert server.text == "gpu: ERROR: no such folder"


def test_this_machine_replies_to_itself() -> None:
    peers = [check for check in check_network("127.0.0.1", 0.1) if check.name == "peer"]
    assert peers[0].state in (Light.GREEN, Light.YELLOW)  # yellow where ping is not installed
    assert "127.0.0.1" in peers[0].text


@pytest.mark.parametrize(
    ("part", "remedy"),
    [("robot", "./so101 setup robot"), ("server", "./so101 setup server"), ("network", "./so101 build")],
)
def test_a_half_that_is_not_installed_is_one_red_line(
    part: str, remedy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, f"so101_doctor.{part}", None)
    assert main([part]) == 1
    red = [line for line in capsys.readouterr().out.splitlines() if line.startswith("red")]
    assert len(red) == 1
    assert red[0].startswith(f"red     {part}: packages: ") and f"-> {remedy}" in red[0]


def test_a_robot_computer_without_the_policy_server_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "so101_policy_server" else find_spec(name)
    )
    monkeypatch.setitem(sys.modules, "so101_doctor.server", None)
    makers = _makers(_parser().parse_args([]))
    (server,) = [check for maker in makers if maker.args[0].name == "server" for check in maker()]
    assert (server.state, server.name) == (Light.YELLOW, "packages")
    assert "so101_policy_server is not built" in server.text


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("ROS_DOMAIN_ID", "abc", "domain"),
        ("ROS_DOMAIN_ID", "300", "domain"),
        ("ROS_STATIC_PEERS", "no address", "ROS"),
    ],
)
def test_an_environment_that_no_node_starts_with_is_one_red_line(
    variable: str, value: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    monkeypatch.setenv(variable, value)
    red = [check for check in check_network("", 0.1) if check.state is Light.RED]
    assert [check.name for check in red] == [name]
    assert value in red[0].text and red[0].remedy


def test_without_ping_a_peer_that_is_none_is_still_red(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("300.1.1.1", "127.0.0.1:11811"):
        peer = named(list(check_network(name, 0.1)), "peer")
        assert peer.state is Light.RED and "no address and no name" in peer.text
    assert named(list(check_network("127.0.0.1", 0.1)), "peer").state is Light.YELLOW


def test_a_ping_that_does_not_end_is_red(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ping = tmp_path / "ping"
    ping.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    ping.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(network, "_PING_LIMIT_S", 0.2)
    peer = named(list(check_network("gpu", 0.1)), "peer")
    assert peer.state is Light.RED
    assert peer.text == "gpu: ping has not ended within 0.2 s"


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.5, 2.0])
def test_an_interrupt_ends_the_doctor_without_a_word(after_s: float) -> None:
    """Wherever it is: joining the graph, or in the middle of listening."""
    command = [sys.executable, "-m", "so101_doctor", "network", "--listen", "600"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while "network: domain" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    _out, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")


@pytest.mark.parametrize("name", ["doctor", "cameras"])
def test_ros2_run_finds_it_where_ros_is_from_apt(name: str) -> None:
    setup = (Path(__file__).parents[1] / "setup.py").read_text()
    found = re.search(rf'"{name} = ([\w.]+):(\w+)"', setup)
    assert found is not None
    assert callable(getattr(importlib.import_module(found[1]), found[2]))


def test_the_robots_half_imports_no_torch() -> None:
    code = (
        "import sys; from so101_doctor.__main__ import main; main(['robot', '--port', '/dev/none']);"
        "sys.exit('torch' in sys.modules or 'lerobot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


def test_a_profile_that_keeps_to_this_computer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two halves on two computers with dds_profile udp never meet."""
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SYSTEM_DEFAULT")
    profile = named(list(network._check_settings()), "profile")
    assert profile.state is Light.YELLOW
    assert "fastdds_udp.xml keeps everything on this computer" in profile.text
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE")
    assert "profile" not in [check.name for check in network._check_settings()]


@pytest.mark.parametrize(
    ("rmem", "wmem", "state", "expected"),
    [
        (4194304, 4194304, Light.GREEN, "net.core.rmem_max 4194304, net.core.wmem_max 4194304 bytes"),
        (212992, 212992, Light.YELLOW, "sudo sysctl -w net.core.rmem_max=4194304 net.core.wmem_max=4194304"),
        (4194304, 212992, Light.YELLOW, "sudo sysctl -w net.core.wmem_max=4194304"),
        (212992, 4194304, Light.YELLOW, "less than one raw 640x480 image"),
    ],
)
def test_small_socket_buffers_are_named_with_the_line_to_type(
    rmem: int, wmem: int, state: Light, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "rmem_max").write_text(f"{rmem}\n")
    (tmp_path / "wmem_max").write_text(f"{wmem}\n")
    (buffers,) = network._check_buffers(tmp_path)
    assert buffers.state is state
    assert expected in f"{buffers.text} {buffers.remedy}"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy") / "static"
    shutil.copytree(Path(__file__).parents[2] / "so101_shipped_policies" / "policies" / "static", folder)
    return folder


def changed(source: Path, target: Path, **entries: object) -> Path:
    shutil.copytree(source, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | entries))
    return target


def deployment(folder: Path, **sections: dict) -> Path:
    file = folder / "deployment.yaml"
    file.write_text(json.dumps({f"/**/{name}": {"ros__parameters": values} for name, values in sections.items()}))
    return file


def test_installed_policy_libraries_are_listed_and_the_deployments_own_is_looked_at(tmp_path: Path) -> None:
    file = deployment(tmp_path, policy_server={"policy_library": "expert"})
    checks = list(check_server("", file, expected=True))
    assert "lerobot (so101_policy_server)" in named(checks, "policy libraries").text
    assert named(checks, "policy library").state is Light.GREEN
    file = deployment(tmp_path, policy_server={"policy_library": "wvae"})
    library = named(list(check_server("", file, expected=True)), "policy library")
    assert library.state is Light.RED
    assert library.text.startswith("policy_library = 'wvae': no installed package has it; known are ")


def test_a_sound_checkpoint_is_green_to_its_statistics_weights_and_units(checkpoint: Path) -> None:
    checks = list(check_server(str(checkpoint), expected=True))
    for name in ("checkpoint", "config.json", "statistics", "weights", "units", "task", "observation steps"):
        assert named(checks, name).state is Light.GREEN, named(checks, name)


def test_a_checkpoint_of_another_lerobot_is_red_with_the_offending_key_and_the_exit_code_1(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = changed(checkpoint, tmp_path / "other", sparkle=1)
    report = tmp_path / "report.json"
    assert main(["server", "--checkpoint", str(other), "--report", str(report)]) == 1
    red = [line for line in capsys.readouterr().out.splitlines() if line.startswith("red")]
    assert len(red) == 1
    assert "does not have field sparkle (1) of act" in red[0] and 'ignored_config_fields: ["sparkle"]' in red[0]
    written = json.loads(report.read_text())
    assert [check["name"] for check in written["checks"] if check["state"] == "red"] == ["config.json: sparkle"]


def test_the_doctor_says_what_the_server_says(checkpoint: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file
    from so101_policy_server.lerobot.lerobot_policy import load_policy
    from so101_policy_server.policy import PolicyLoadError, PolicySource

    foreign = changed(checkpoint, tmp_path / "foreign")
    for file in foreign.glob("*normalizer_processor.safetensors"):
        save_file({f"so100.{key}" if "images" not in key else key: v for key, v in load_file(file).items()}, file)
    red = named(list(check_server(str(foreign), expected=True)), "statistics")
    assert red.state is Light.RED
    with pytest.raises(PolicyLoadError) as error:
        load_policy(PolicySource(str(foreign)), lambda _text: None)
    assert f"{red.name}: {red.text} -> {red.remedy}" in str(error.value)


def test_a_deployment_is_held_against_its_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    file = deployment(
        tmp_path,
        policy_server={"pretrained_name_or_path": str(checkpoint), "units": "normalized", "policy_device": "cpu"},
        action_queue={"units": "degrees", "task": ""},
        top={"width": 1280, "height": 720},
        wrist={"width": 640, "height": 480},
    )
    checks = list(check_server("", file, expected=True))
    reds = {check.name: check.line() for check in checks if check.state is Light.RED}
    assert "units is DEGREES: the server's parameter units is NORMALIZED" in reds["action_queue"]
    assert "camera top: frames are 1280x720 (16:9), the policy was trained with 80x64" in reds["observation.images.top"]
    assert named(checks, "observation.images.wrist").state is Light.GREEN
    assert named(checks, "task").state is Light.GREEN  # ACT reads none


def test_a_turned_cameras_size_is_that_after_rotation_as_the_camera_has_it(checkpoint: Path, tmp_path: Path) -> None:
    file = deployment(
        tmp_path,
        policy_server={"pretrained_name_or_path": str(checkpoint), "policy_device": "cpu"},
        top={"width": 640, "height": 480, "rotation": 90},
        wrist={"width": 480, "height": 640, "rotation": 90},
        front={"width": "wide", "height": 480},
    )
    checks = list(check_server("", file, expected=True))
    assert "camera top gives 640x480" in named(checks, "observation.images.top").text
    assert "frames are 480x640 (3:4)" in named(checks, "observation.images.wrist").text


def test_a_deployment_that_cannot_be_read_is_one_red_line(tmp_path: Path) -> None:
    (tmp_path / "no.yaml").write_text("- a\n")
    for file in (tmp_path / "no.yaml", tmp_path / "none.yaml", deployment(tmp_path, policy_server={"fps": 500.0})):
        red = named(list(check_server("", file, expected=True)), "deployment")
        assert red.state is Light.RED and str(file) in red.text


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"unit": "normalized"}, "unknown parameter unit ("),
        ({"statistics_from": "so100.*"}, "expected a list, each text: write [so100.*]"),
        ({"allow_download": "true"}, "write true without quotes"),
    ],
)
def test_the_doctor_refuses_what_the_node_refuses(tmp_path: Path, values: dict, said: str) -> None:
    file = deployment(tmp_path, policy_server={"pretrained_name_or_path": "/x", **values})
    red = named(list(check_server("", file, expected=True)), "deployment")
    assert red.state is Light.RED and said in red.text and f"{file}:1, section /**/policy_server" in red.text


def test_the_doctor_reads_a_deployment_as_the_nodes_do(checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text(f"""\
/**: {{ros__parameters: {{units: normalized, fps: 30.0}}}}
/left:
  policy_server: {{ros__parameters: {{pretrained_name_or_path: {checkpoint}, policy_device: cpu}}}}
  action_queue: {{ros__parameters: {{cameras: [front, top], pretrained_name_or_path: elsewhere}}}}
""")
    checks = list(check_server("", file, expected=True))
    lines = [check.text for check in checks if check.state is Light.RED and check.name == "action_queue"]
    assert any(line.startswith("pretrained_name_or_path is 'elsewhere'") for line in lines)
    assert any(line.startswith("the policy reads camera wrist: the robot has front, top") for line in lines)
    assert not any("units" in line for line in lines), "both nodes have those of the section for all"
    tried = check_server(str(changed(checkpoint, tmp_path / "tried")), file, expected=True)
    lines = [check.text for check in tried if check.name == "action_queue"]
    assert len(lines) == 1 and "the policy reads camera wrist" in lines[0], (
        "the robot names no policy that is only tried"
    )


def test_a_folder_that_is_not_there_is_not_called_a_hub_id_alone(tmp_path: Path) -> None:
    found = named(list(check_server("outputs/my_rnu", expected=True)), "checkpoint")
    assert found.state is Light.YELLOW and found.text.startswith("no folder outputs/my_rnu here: taken for a hub id")


def test_the_arm_is_looked_at_with_its_deployments_port_calibration_and_gains(
    arm: RunningVirtualArm, tmp_path: Path
) -> None:
    folder = str(arm.sim_dir / "calibration")
    values = {"port": str(arm.port), "calibration_dir": folder, "robot_id": arm.calibration.stem}
    file = deployment(tmp_path, so101_driver={**values, "position_p_coefficient": 32})
    write_to_all(arm, reg.P_COEFFICIENT, [32] * 6)
    try:
        checks = list(check_robot(RobotOptions(config=file)))
    finally:
        write_to_all(arm, reg.P_COEFFICIENT, [16] * 6)
    assert named(checks, "port").text == str(arm.port)
    assert named(checks, "settings").state is Light.GREEN and "P 32, I 0, D 32" in named(checks, "settings").text
    file = deployment(tmp_path, so101_driver={"prot": "/dev/ttyACM1"})
    (red,) = [check for check in check_robot(RobotOptions(config=file)) if check.name == "deployment"]
    assert red.state is Light.RED and "did you mean port?" in red.text


def test_a_path_that_swallows_long_packets_in_silence_is_told_from_a_peer_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ping that replies up to 1280 bytes, behind an interface that takes 1500."""
    ping = tmp_path / "ping"
    ping.write_text(
        '#!/bin/sh\nwhile [ $# -gt 1 ]; do [ "$1" = -s ] && size=$2; shift; done\n'
        "[ $((size + 28)) -le 1280 ] || { echo '5 packets transmitted, 0 received'; exit 1; }\n"
        "echo '64 bytes: time=1.0 ms'; echo '5 packets transmitted, 5 received'\n"
    )
    ping.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    checks = list(check_network("127.0.0.1", 0.1))
    mtu, peer = named(checks, "MTU"), named(checks, "peer")
    assert mtu.state is Light.YELLOW
    assert "127.0.0.1 replies to packets of 1280 bytes and to none that is longer" in mtu.text
    assert mtu.remedy == "dds_profile:=vpn on both computers"
    assert peer.state is Light.GREEN
    assert "firewall" not in peer.remedy
