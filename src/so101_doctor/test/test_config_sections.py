# SPDX-License-Identifier: Apache-2.0
"""What the doctor says about each section of a deployment's file is what the node says."""

import os
import subprocess
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_prefix
from so101_doctor.check import Light
from so101_doctor.config_sections import check_config

CONFIG = Path(__file__).parents[3] / "config"


def lines(file: Path, *looked_at: str, first: tuple[str, ...] = ()) -> list[tuple[Light, str]]:
    return [(one.state, one.text) for one in check_config(file, looked_at, first)]


def written(folder: Path, text: str) -> Path:
    file = folder / "deployment.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("section", "package", "executable", "keys"),
    [
        ("top", "so101_camera", "camera", '{device: x, width: "640"}'),
        ("wrist", "so101_camera", "camera", "{device: 0}"),
        ("so101_driver", "so101_driver", "so101_driver", "{robot_id: x, warn_temperature_c: 70}"),
        ("driver_pair", "so101_driver", "driver_pair", "{max_skew_s: 0.4, arm_silent_s: 0.2}"),
        ("action_queue", "so101_action_queue", "action_queue", "{request_timeout_s: 60.0}"),
        ("recorder", "so101_bag", "recorder", "{splitmb: 5}"),
        ("recorder", "so101_bag", "recorder", "{split_mb: 5, split_mb: 6}"),
    ],
)
def test_the_doctor_says_what_the_node_says(
    tmp_path: Path, section: str, package: str, executable: str, keys: str
) -> None:
    file = written(tmp_path, f"/**/{section}: {{ros__parameters: {keys}}}\n")
    program = Path(get_package_prefix(package)) / "lib" / package / executable
    command = [str(program), "--ros-args", "-r", f"__node:={section}", "--params-file", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ))
    (said,) = done.stderr.splitlines()
    assert lines(file) == [(Light.RED, f"--config: {said.removeprefix(f'[{section}] error: ')}")]


def test_a_misspelt_node_is_named_with_the_one_that_was_meant(tmp_path: Path) -> None:
    file = written(tmp_path, "/**/so101_drivr: {ros__parameters: {robot_id: x}}\n")
    text = f"section /**/so101_drivr of {file} does not reach /so101_driver: did you mean /**/so101_driver?"
    assert lines(file) == [(Light.YELLOW, f"--config: {text}")]


def test_a_whole_number_for_a_float_and_what_a_launch_file_gives_are_no_faults(tmp_path: Path) -> None:
    text = "/**/action_queue: {ros__parameters: {fps: 30}}\n/**/link_robot: {ros__parameters: {niceness: 0}}\n"
    assert lines(written(tmp_path, text)) == [
        (Light.GREEN, f"{tmp_path / 'deployment.yaml'}: action_queue, link_robot")
    ]


def test_what_another_part_reads_is_left_to_it(tmp_path: Path) -> None:
    file = written(tmp_path, "/**/so101_driver: {ros__parameters: {robot_id: yes}}\n")
    assert [state for state, _ in lines(file)] == [Light.RED]
    assert lines(file, "so101_driver") == []
    unreadable = written(tmp_path, "\t")
    assert [state for state, _ in lines(unreadable)] == [Light.RED]
    assert lines(unreadable, "so101_driver") == []


def test_of_several_queues_each_is_judged(tmp_path: Path) -> None:
    """Another part reads the first."""
    arm = "/arm{}/action_queue: {{ros__parameters: {{request_timeout_s: {}}}}}\n"
    right, wrong = arm.format(1, 1.0), arm.format(2, 60.0)
    assert [state for state, _ in lines(written(tmp_path, right + wrong), first=("action_queue",))] == [Light.RED]
    assert lines(written(tmp_path, right), first=("action_queue",)) == []


def test_what_is_no_camera_of_ours_is_not_judged_as_one(tmp_path: Path) -> None:
    assert lines(written(tmp_path, "/**/usb_cam: {ros__parameters: {pixel_format: yuyv}}\n")) == []
    assert lines(written(tmp_path, "/**/usb_cam: {ros__parameters: {}}\n")) == []


@pytest.mark.parametrize("file", sorted(CONFIG.glob("*.yaml")), ids=lambda file: file.name)
def test_the_shipped_files_are_green(file: Path) -> None:
    assert {state for state, _ in lines(file)} <= {Light.GREEN}  # none: it has no section for one node
