# SPDX-License-Identifier: Apache-2.0
"""Where calibrations are looked for, and what is said of those that are found."""

import os
from pathlib import Path

import pytest
from so101_driver.configure.servo_backup import BackupError, default_folder
from so101_driver.core.errors import CalibrationError
from so101_driver.servos.calibration_files import find_calibration, known_files, only_id

FOLDERS = ("so_follower", "so101_follower", "so100_follower", "so100_follower_end_effector")


def place(root: Path, folder: str, robot_id: str = "arm", content: str = "{}", age_s: int = 0) -> Path:
    path = root / "robots" / folder / f"{robot_id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (1_700_000_000 - age_s, 1_700_000_000 - age_s))
    return path


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_file_is_found_in_every_folder_that_a_version_of_lerobot_used(tmp_path: Path, folder: str) -> None:
    path = place(tmp_path / ".cache/huggingface/lerobot/calibration", folder)
    found = find_calibration("arm", environ={}, home=tmp_path)
    assert (found.path, found.notes) == (path, ())


@pytest.mark.parametrize("newer", FOLDERS)
@pytest.mark.parametrize("older", FOLDERS)
def test_of_two_files_the_one_written_last_wins_and_both_are_named(tmp_path: Path, newer: str, older: str) -> None:
    if newer == older:
        return
    old = place(tmp_path, older, content="{}", age_s=1)
    new = place(tmp_path, newer, content="[]")
    found = find_calibration("arm", environ={"HF_LEROBOT_CALIBRATION": str(tmp_path)})
    assert found.path == new
    (note,) = found.notes
    assert "differ" in note
    assert note.index(str(new)) < note.index("is used") < note.index(str(old))


@pytest.mark.parametrize("how", ["the same bytes", "written otherwise", "a link"])
def test_a_copy_of_the_file_is_not_worth_a_word(tmp_path: Path, how: str) -> None:
    taken = place(tmp_path, "so_follower", content='{"gripper": {"id": 6}}')
    other = place(tmp_path, "so101_follower", content='{"gripper": {"id": 6}}', age_s=5)
    if how == "written otherwise":
        other.write_text('{\n "gripper": {\n  "id": 6}}\n')
        os.utime(other, (1, 1))
    elif how == "a link":
        other.unlink()
        other.symlink_to(taken)
    found = find_calibration("arm", environ={"HF_LEROBOT_CALIBRATION": str(tmp_path)})
    assert (found.path, found.notes) == (taken, ())


def test_a_damaged_file_is_refused_and_the_older_one_is_named(tmp_path: Path) -> None:
    place(tmp_path, "so101_follower", content="")
    old = place(tmp_path, "so100_follower", content="{}", age_s=5)
    with pytest.raises(CalibrationError, match=r"not JSON.*another calibration of arm") as caught:
        find_calibration("arm", environ={"HF_LEROBOT_CALIBRATION": str(tmp_path)}).load()
    assert str(old) in str(caught.value)


def test_of_two_files_of_the_same_age_that_of_the_newest_lerobot_wins(tmp_path: Path) -> None:
    for folder in reversed(FOLDERS):
        place(tmp_path, folder, content=f'"{folder}"')
    found = find_calibration("arm", environ={"HF_LEROBOT_CALIBRATION": str(tmp_path)})
    assert found.path.parent.name == "so_follower"
    assert len(found.notes) == len(FOLDERS) - 1
    assert all("of the same age" in note and "written last" not in note for note in found.notes)


@pytest.mark.parametrize(
    ("variable", "below"),
    [
        ("HF_LEROBOT_CALIBRATION", ""),
        ("HF_LEROBOT_HOME", "calibration"),
        ("HF_HOME", "lerobot/calibration"),
        ("XDG_CACHE_HOME", "huggingface/lerobot/calibration"),
    ],
)
@pytest.mark.parametrize("folder", ["so_follower", "so100_follower"])
def test_lerobots_environment_variables_move_the_place(tmp_path: Path, variable: str, below: str, folder: str) -> None:
    path = place(tmp_path / "elsewhere" / below, folder)
    environ = {variable: str(tmp_path / "elsewhere")}
    assert find_calibration("arm", environ=environ, home=tmp_path).path == path


def test_a_folder_of_ones_own_may_be_lerobots_whole_calibration_folder(tmp_path: Path) -> None:
    path = place(tmp_path, "so100_follower")
    for given in (path.parent, tmp_path / "robots", tmp_path):
        assert find_calibration("arm", str(given), environ={}, home=tmp_path).path == path


def test_a_missing_file_lists_the_ids_that_exist_before_it_says_how_to_make_one(tmp_path: Path) -> None:
    place(tmp_path, "so100_follower", "left_arm")
    place(tmp_path, "so_follower", "my_follower")
    with pytest.raises(CalibrationError) as caught:
        find_calibration("my_folower", port="/dev/ttyACM3", environ={"HF_LEROBOT_CALIBRATION": str(tmp_path)})
    text = str(caught.value)
    assert "the ids that exist are left_arm, my_follower" in text
    assert "nearest: my_follower" in text
    assert "moves the zero of policies" in text
    command = "lerobot-calibrate --robot.type=so101_follower --robot.port=/dev/ttyACM3 --robot.id=my_folower"
    assert text.index("left_arm") < text.index("nearest") < text.index(command)
    assert str(tmp_path / "robots/so_follower/my_folower.json") in text
    assert "\n" not in text


def test_where_no_calibration_exists_the_command_is_named_with_the_other_way_out(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError) as caught:
        find_calibration("arm", environ={}, home=tmp_path)
    text = str(caught.value)
    assert "lerobot-calibrate --robot.type=so101_follower --robot.port=/dev/ttyACM0 --robot.id=arm" in text
    assert "copy its file" in text


def test_the_id_of_a_leader_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "teleoperators/so101_leader/blue.json"
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(CalibrationError, match=r"it is the id of a leader arm .*blue\.json"):
        find_calibration("blue", environ={"HF_LEROBOT_CALIBRATION": str(tmp_path)})


def test_a_file_of_that_id_in_a_folder_that_is_not_searched_is_named_before_a_new_zero(tmp_path: Path) -> None:
    path = place(tmp_path, "so101_follower_of_a_fork")
    environ = {"HF_LEROBOT_CALIBRATION": str(tmp_path)}
    with pytest.raises(CalibrationError, match=r"set calibration_dir to .*fork") as caught:
        find_calibration("arm", environ=environ)
    assert "lerobot-calibrate" not in str(caught.value)
    assert find_calibration("arm", str(path.parent), environ=environ).path == path


@pytest.mark.parametrize(
    ("robot_id", "folder", "said"),
    [
        ("robots/so_follower/arm", "", "expected the id alone"),
        ("/etc/passwd", "", "expected the id alone"),
        ("arm", "robots/so_follower/arm.json", r"is a file: set calibration_dir to its folder.*robot_id to arm"),
        ("arm", "~no_such_user/x", "no such user"),
        ("gone", "", r"gone\.json is a link to a file that does not exist"),
    ],
)
def test_what_cannot_be_meant_is_said_to_be_that(tmp_path: Path, robot_id: str, folder: str, said: str) -> None:
    (place(tmp_path, "so_follower").parent / "gone.json").symlink_to("nowhere.json")
    given = str(tmp_path / folder) if folder.startswith("robots") else folder
    with pytest.raises(CalibrationError, match=said) as caught:
        find_calibration(robot_id, given, environ={"HF_LEROBOT_CALIBRATION": str(tmp_path)}, home=tmp_path)
    assert "lerobot-calibrate`" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_id_is_refused_even_where_a_file_could_be_guessed(tmp_path: Path) -> None:
    (tmp_path / "arm.json").touch()
    with pytest.raises(CalibrationError, match=r"robot_id is empty.*found there: arm"):
        find_calibration("", str(tmp_path))


def test_the_only_id_is_that_of_all_folders_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_LEROBOT_CALIBRATION", str(tmp_path))
    assert only_id() == ""
    place(tmp_path, "so100_follower")
    place(tmp_path, "so_follower")
    assert only_id() == "arm"
    place(tmp_path, "so_follower", "other")
    assert only_id() == ""


def test_known_files_are_those_of_all_arms_of_this_computer(tmp_path: Path) -> None:
    follower = place(tmp_path, "so_follower")
    leader = tmp_path / "teleoperators/so_leader/blue.json"
    leader.parent.mkdir(parents=True)
    leader.touch()
    own = tmp_path / "own"
    own.mkdir()
    (own / "arm.json").touch()
    found = known_files(str(own), {"HF_LEROBOT_CALIBRATION": str(tmp_path)})
    assert found == [own / "arm.json", follower, leader]


def test_a_place_that_cannot_be_looked_into_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"cannot be read: File name too long; run as the user that calibrated"):
        find_calibration("x" * 300, str(tmp_path))


def test_a_user_without_a_home_is_told_where_the_file_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(
        CalibrationError, match=r"~/\.cache/huggingface/lerobot/calibration/robots/so_follower/arm\.json"
    ):
        find_calibration("arm", environ={})
    with pytest.raises(BackupError, match=r"no place for a backup .* --backup-dir"):
        default_folder({})
