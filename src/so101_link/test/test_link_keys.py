# SPDX-License-Identifier: Apache-2.0
"""`./so101 link keys`, `revoke` and `show`, as a person types them."""

import stat
import time
from pathlib import Path

import pytest
from so101_link.errors import KeysError
from so101_link.keys.__main__ import main
from so101_link.keys.authority import Authority
from so101_link.keys.folder import KeyFolder


@pytest.fixture
def keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Keys of a server and of the robots arm1 and arm2."""
    folder = tmp_path / "keys"
    assert main(["keys", str(folder), "--robot", "arm1", "--robot", "arm2"]) == 0
    capsys.readouterr()
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a refused command ends with."""
    assert main(arguments) == 1
    out, errors = capsys.readouterr()
    assert out == "" and errors.startswith("so101 link: ") and errors.count("\n") == 1
    return errors


def test_the_first_time_makes_an_authority_a_server_and_a_robot_without_namespace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "keys"
    begun_s = time.perf_counter()
    assert main(["keys", str(folder)]) == 0
    assert time.perf_counter() - begun_s < 5.0  # 0.02 s where it was written
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{folder}/server -> copy to the server's computer; valid until 20")
    assert lines[1].startswith(f"{folder}/robots/root -> copy to the computer of the robot that has no namespace")
    assert f"{folder}/authority stays on this computer" in lines[2]
    assert KeyFolder.read(folder / "server").role == "server"
    assert KeyFolder.read(folder / "robots" / "root").name == "root"


def test_what_is_copied_holds_neither_the_authoritys_key_nor_anothers(keys: Path) -> None:
    private = {name: data for name, data in content(keys).items() if b"PRIVATE KEY" in data}
    assert set(private) == {
        "authority/ca.key",
        "server/private.key",
        "robots/arm1/private.key",
        "robots/arm2/private.key",
    }
    assert len(set(private.values())) == 4
    assert sorted(path.name for path in (keys / "server").iterdir()) == [
        "ca.pem",
        "certificate.pem",
        "private.key",
        "revoked.txt",
    ]
    assert sorted(path.name for path in (keys / "robots" / "arm1").iterdir()) == [
        "ca.pem",
        "certificate.pem",
        "private.key",
    ]


def test_nobody_else_on_this_computer_can_read_a_key(keys: Path) -> None:
    for path in [keys, *keys.rglob("*")]:
        if path.parent != keys or path.is_dir():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_robot_added_later_changes_nothing_else(keys: Path) -> None:
    before = content(keys)
    assert main(["keys", str(keys), "--robot", "arm3"]) == 0
    after = content(keys)
    assert {name: after[name] for name in before} == before
    new = set(after) - set(before)
    assert {name for name in new if "issued" not in name} == {
        f"robots/arm3/{name}" for name in ("ca.pem", "certificate.pem", "private.key")
    }
    assert KeyFolder.read(keys / "robots" / "arm3").name == "arm3"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "holds keys already, nothing was changed: --robot NAME adds a robot"),
        (["--robot", "arm3", "--robot", "arm1"], "arm1 has keys already, nothing was changed: --renew arm1"),
        (["--robot", "server"], "server has keys already"),
        (["--robot", "left arm"], "'left arm' is no name for a robot"),
        (["--renew", "arm9"], "--renew arm9: there are no keys for arm9 yet; --robot arm9 makes them"),
    ],
)
def test_nothing_is_overwritten(
    arguments: list[str], says: str, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(keys)
    assert says in refused(["keys", str(keys), *arguments], capsys)
    assert content(keys) == before


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".gitignore").write_text("build/\n")
    assert "is not empty and holds no keys" in refused(["keys", str(tmp_path)], capsys)
    assert content(tmp_path) == {".gitignore": b"build/\n"}
    file = tmp_path / "file"
    file.write_text("")
    assert "is a file: name a folder" in refused(["keys", str(file)], capsys)
    assert "is no name for a robot" in refused(["keys", str(tmp_path / "new"), "--robot", "a/b"], capsys)
    assert not (tmp_path / "new").exists()


def test_renewed_keys_take_the_place_of_the_old_ones_which_stay_valid(keys: Path) -> None:
    old = KeyFolder.read(keys / "robots" / "arm1")
    assert main(["keys", str(keys), "--renew", "arm1", "--days", "90"]) == 0
    new = KeyFolder.read(keys / "robots" / "arm1")
    assert new.serial != old.serial
    assert new.not_after_s == pytest.approx(time.time() + 90 * 86400, abs=60)
    assert KeyFolder.read(keys / "server").revoked_serials() == frozenset()
    assert [path.name for path in (keys / "robots").iterdir() if path.name.startswith(".")] == []


def test_a_revoked_robot_is_on_the_servers_list_with_all_it_ever_had(
    keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serials = {KeyFolder.read(keys / "robots" / "arm1").serial}
    main(["keys", str(keys), "--renew", "arm1"])
    serials.add(KeyFolder.read(keys / "robots" / "arm1").serial)
    capsys.readouterr()
    assert main(["revoke", str(keys), "arm1"]) == 0
    out = capsys.readouterr().out
    assert f"copy {keys}/server/revoked.txt into the folder of keys on the server" in out
    server = KeyFolder.read(keys / "server")
    assert server.revoked_serials() == serials
    before = content(keys)
    assert main(["revoke", str(keys), "arm1"]) == 0
    assert "arm1 was revoked before" in capsys.readouterr().out
    assert content(keys) == before
    assert main(["keys", str(keys), "--renew", "arm1"]) == 0
    assert KeyFolder.read(keys / "robots" / "arm1").serial not in server.revoked_serials()


def test_a_robot_can_be_revoked_after_its_folder_was_moved_away(keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    serial = KeyFolder.read(keys / "robots" / "arm1").serial
    (keys / "robots" / "arm1").rename(keys.parent / "stick")
    (keys / "server").rename(keys.parent / "server")
    assert main(["revoke", str(keys), "arm1"]) == 0
    assert f"copy {keys}/authority/revoked.txt" in capsys.readouterr().out
    assert main(["keys", str(keys), "--renew", "server"]) == 0
    assert KeyFolder.read(keys / "server").revoked_serials() == {serial}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("arm9", "there are no keys for 'arm9'; there are for arm1, arm2"),
        ("server", "make new keys for all computers in a new folder"),
    ],
)
def test_what_cannot_be_revoked_is_one_line(
    name: str, says: str, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in refused(["revoke", str(keys), name], capsys)


def test_show_lists_names_roles_and_ends(keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["keys", str(keys), "--robot", "arm3", "--days", "7"])
    main(["revoke", str(keys), "arm2"])
    capsys.readouterr()
    assert main(["show", str(keys)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:2] for row in rows[1:]] == [["server", "server"], *([f"arm{n}", "robot"] for n in (1, 2, 3))]
    assert [row[3] for row in rows[1:]] == ["valid", "valid", "revoked", "expires"]
    assert main(["show", str(keys / "robots" / "arm1")]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["arm1", "robot"]


def test_an_authority_that_is_damaged_is_one_line(keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = keys / "authority" / "ca.key"
    other = (keys / "server" / "private.key").read_bytes()
    key.write_bytes(other)
    assert "ca.key is not that of ca.pem" in refused(["keys", str(keys), "--robot", "arm3"], capsys)
    key.write_text("")
    assert "ca.pem or ca.key is damaged" in refused(["keys", str(keys), "--robot", "arm3"], capsys)
    key.unlink()
    assert "ca.key: No such file" in refused(["revoke", str(keys), "arm1"], capsys)
    assert "holds no authority" in refused(["revoke", str(keys / "server"), "arm1"], capsys)
    with pytest.raises(KeysError):
        Authority.open(keys)


@pytest.mark.parametrize("days", ["0", "3651", "-1", "a", "1.5"])
def test_days_are_a_number_from_1_to_3650(days: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["keys", str(tmp_path / "keys"), f"--days={days}"])
    assert error.value.code == 2
    assert f"--days: {days}: must be 1 to 3650, a whole number" in capsys.readouterr().err
    assert not (tmp_path / "keys").exists()
