# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
from so101_sim.arm.virtual_arm_options import parse_options


def test_defaults() -> None:
    options = parse_options(["--sim-dir", "/run/arm"])
    assert options.sim_dir == Path("/run/arm")
    assert (options.lockstep, options.torque_off, options.real_time_priority) == (False, False, False)
    assert (options.task, options.seed, options.wire_byte_us) == ("static", 0, 10.0)


def test_a_relative_folder_is_made_absolute() -> None:
    assert parse_options(["--sim-dir", "arm"]).sim_dir == Path.cwd() / "arm"


def test_what_ros_launch_appends_is_ignored() -> None:
    options = parse_options(["--sim-dir", "/a", "--lockstep", "--ros-args", "-r", "__node:=virtual_arm"])
    assert options.lockstep


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "--sim-dir"),
        (["--sim-dir", "/a", "--fast"], "--fast"),
        (["--sim-dir", "/a", "--seed", "-4"], "--seed -4: expected 0 to"),
        (["--sim-dir", "/a", "--seed", str(2**64)], "expected 0 to 18446744073709551615"),
        (["--sim-dir", "/a", "--seed", "x"], "invalid int value: 'x'"),
        (["--sim-dir", "/a", "--wire-byte-us", "nan"], "--wire-byte-us nan: expected 0 to 1000"),
    ],
)
def test_mistakes_are_one_line_and_a_failure(
    arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_options(arguments)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert len(said.splitlines()) == 1
    assert part in said
