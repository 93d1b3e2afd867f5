# SPDX-License-Identifier: Apache-2.0
"""Every command in the docs exists: a dead one fails with the page, the line and what is wrong."""

import os
import re
import shutil
import subprocess
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml
from docs_commands import DeadCommandError, check, is_placeholder
from docs_pages import DOCS, ROOT, Block, blocks, code_spans, pages, shown_files

NEEDS = {
    "arm": "an SO-101",
    "camera": "a camera driver",
    "policy": "a trained policy",
    "apt": "ROS 2 from apt",
    "root": "the rights of root",
    "docker": "a container runtime",
    "gpu": "GPUs and Ray",
    "network": "an account or a host elsewhere",
}
TUTORIAL = DOCS / "tutorial/first_motion.md"


def bash(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language in ("bash", "sh", "console")]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_each_command_block_is_alive(page: Path, pytestconfig: pytest.Config) -> None:
    wrong = []
    for block in bash(page):
        if block.needs and not set(block.needs.split(", ")) <= set(NEEDS):
            wrong.append(f"{block.where}: needs: {block.needs}: one of {', '.join(NEEDS)}")
        needed: set[str] = set()
        for command in block.commands():
            if command.words[:2] == ("./so101", "launch") and command.words[2] in shown_files(page):
                continue  # a launch file of the page's own
            try:
                needed |= check(command.words, pytestconfig)
            except DeadCommandError as error:
                wrong.append(f"{command.where}: {' '.join(command.words)}: {error}")
        if needed and not block.needs:
            wrong.append(
                f"{block.where}: runs foreign programs: put <!-- needs: {', '.join(sorted(needed))} --> above it"
            )
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_each_command_within_the_text_is_alive(page: Path, pytestconfig: pytest.Config) -> None:
    wrong = []
    for where, text in code_spans(page):
        if not re.match(r"(ROS_DOMAIN_ID=\d+ )?(\./so101|ros2 (launch|run) so101_\w+) [a-z]", text):
            continue
        words = text.split(" ...")[0].replace("|", " ").split()
        if ":=" in words[-1] and words[-1].endswith(":="):
            words[-1] += "VALUE"
        try:
            check(words, pytestconfig)
        except DeadCommandError as error:
            if not is_placeholder(words, str(error)):
                wrong.append(f"{where}: {text}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("./so101 demmo", "no verb"),
        ("./so101 demo --epsodes 3", "--epsodes"),
        ("./so101 launch robt.launch.xml", "robt"),
        ("./so101 launch robot.launch.xml camera1:=top", "camera1"),
        ("ros2 launch so101_demo sim.launch.xml policy:=magic", "magic"),
        ("ros2 launch so101_bringup server.launch.xml", "so101_policy_server"),
        ("ros2 run so101_driver configure_servo", "configure_servo"),
        ("ros2 run so101_driver configure_servos --prot X", "--prot"),
        ("ros2 service call /action_queue/go std_srvs/srv/Trigger", "no service"),
        ("./so101 ros python -m so101_no_such.thing", "no module"),
        ("./so101 test -m fautls", "fautls"),
        ("pip install mcap==0.1", "constraints"),
        ("cp config/nothing.yaml mine.yaml", "config/nothing.yaml"),
        ("curl example.org", "curl"),
    ],
)
def test_a_dead_command_is_found(text: str, said: str, pytestconfig: pytest.Config) -> None:
    with pytest.raises(DeadCommandError, match=re.escape(said)):
        check(text.split(), pytestconfig)


def test_each_test_that_runs_a_block_is_there() -> None:
    named = [block for page in pages() for block in bash(page) if block.run_by]
    assert named
    for block in named:
        file, _, test = block.run_by.partition("::")
        found = [path for folder in ("test", "src") for path in (ROOT / folder).rglob(file)]
        assert found and f"def {test}(" in found[0].read_text(encoding="utf-8"), f"{block.where}: {block.run_by}"


@pytest.mark.long
def test_the_demo_of_the_tutorial() -> None:
    """What the tutorial's first block says, typed as it stands there."""
    [block] = [one for one in bash(TUTORIAL) if one.run_by.endswith("test_the_demo_of_the_tutorial")]
    done = subprocess.run(
        ["bash", "-ec", block.text], cwd=ROOT, capture_output=True, text=True, timeout=300, env={**os.environ}
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_files_of_the_tutorial(tmp_path: Path) -> None:
    """The copies that the tutorial makes, with the lines that it has a reader write into them."""
    [block] = [one for one in bash(TUTORIAL) if one.run_by.endswith("test_the_files_of_the_tutorial")]
    shutil.copytree(ROOT / "config", tmp_path / "config")
    subprocess.run(["bash", "-ec", block.text], cwd=tmp_path, check=True)
    made = {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in tmp_path.glob("my_*.yaml")}
    assert sorted(made) == ["my_cameras.yaml", "my_robot.yaml", "my_server.yaml"]
    declared = {point.name: point for point in entry_points(group="so101.parameters")}
    text = TUTORIAL.read_text(encoding="utf-8")
    for node, file, names in (
        ("so101_driver", "my_robot.yaml", ("port", "robot_id", "shadow", "max_joint_speed_rad_s")),
        ("action_queue", "my_robot.yaml", ("start_on_activate",)),
        ("policy_server", "my_server.yaml", ("pretrained_name_or_path",)),
    ):
        assert f"/**/{node}" in made[file]
        for name in names:
            assert f"`{name}" in text or f"{name}:" in text
            assert name in {field.name for field in fields(declared[node].load())}
