# SPDX-License-Identifier: Apache-2.0
import os
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from link_ends import make_keys
from so101_link.errors import KeysError, KeysTimeError
from so101_link.keys.__main__ import main
from so101_link.keys.certificates import KeyPair, new_authority, new_certificate
from so101_link.keys.folder import NAME_OF_SERVER, KeyFolder, cautions, peer_of

NOW_S = time.time()
YEAR_S = 365 * 86400.0


@pytest.fixture(scope="module")
def authority() -> KeyPair:
    return new_authority(NOW_S)


def lay(folder: Path, authority: KeyPair, pair: KeyPair, *, server: bool = False) -> Path:
    folder.mkdir()
    (folder / "ca.pem").write_bytes(authority.certificate_pem())
    (folder / "certificate.pem").write_bytes(pair.certificate_pem())
    (folder / "private.key").write_bytes(pair.private_key_pem())
    if server:
        (folder / "revoked.txt").write_text("# none\n")
    return folder


@pytest.fixture
def robot(tmp_path: Path, authority: KeyPair) -> Path:
    return lay(tmp_path / "arm1", authority, new_certificate(authority, "robot", "arm1", 365, NOW_S))


@pytest.fixture
def server(tmp_path: Path, authority: KeyPair) -> Path:
    return lay(tmp_path / "server", authority, new_certificate(authority, "server", "", 365, NOW_S), server=True)


def test_the_folders_say_whose_they_are(robot: Path, server: Path) -> None:
    arm, gpu = KeyFolder.read(robot), KeyFolder.read(str(server))
    assert (arm.name, arm.role, gpu.name, gpu.role) == ("arm1", "robot", "server", "server")
    assert arm.private_key == robot / "private.key"
    assert arm.not_after_s == pytest.approx(NOW_S + YEAR_S, abs=2)
    assert arm.not_before_s < NOW_S
    assert arm.revoked_serials() == gpu.revoked_serials() == frozenset()


def test_a_peer_is_known_by_the_certificate_that_ssl_hands_over(robot: Path) -> None:
    peer = peer_of(ssl.PEM_cert_to_DER_cert((robot / "certificate.pem").read_text()))
    assert (peer.name, peer.role, peer.serial) == ("arm1", "robot", KeyFolder.read(robot).serial)
    with pytest.raises(KeysError, match="cannot be read"):
        peer_of(b"garbage")


def test_the_authoritys_certificate_is_nobodys(authority: KeyPair) -> None:
    with pytest.raises(KeysError, match="neither a robot's nor a server's"):
        peer_of(ssl.PEM_cert_to_DER_cert(authority.certificate_pem().decode()))


def tls(server: Path, robot: Path) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends after a handshake in memory, with the roles and names that the link demands."""
    contexts = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context, folder in zip(contexts, (server, robot), strict=True):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(folder / "ca.pem")
        context.load_cert_chain(folder / "certificate.pem", folder / "private.key")
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        contexts[0].wrap_bio(up, down, server_side=True),
        contexts[1].wrap_bio(down, up, server_hostname=NAME_OF_SERVER),
    )
    waiting = set(ends)
    while waiting:
        for end in list(waiting):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.discard(end)
    return ends


def test_tls_takes_the_certificates_under_strict_rules(server: Path, robot: Path) -> None:
    at_server, at_robot = tls(server, robot)
    met = at_server.getpeercert(binary_form=True)
    assert met is not None
    assert peer_of(met).name == "arm1"
    assert at_robot.version() == "TLSv1.3"


def test_tls_refuses_swapped_roles(server: Path, robot: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="unsuitable certificate purpose"):
        tls(robot, server)


def test_tls_refuses_the_keys_of_another_authority(server: Path, tmp_path: Path) -> None:
    other = new_authority(NOW_S)
    stranger = lay(tmp_path / "x", other, new_certificate(other, "robot", "arm1", 365, NOW_S))
    with pytest.raises(ssl.SSLCertVerificationError):
        tls(server, stranger)


@pytest.mark.parametrize("file", ["ca.pem", "certificate.pem", "private.key"])
def test_a_file_that_is_missing_or_garbage_is_named(file: str, robot: Path) -> None:
    (robot / file).write_text("garbage")
    with pytest.raises(KeysError, match=rf"arm1/{file}: not a "):
        KeyFolder.read(robot)
    (robot / file).unlink()
    with pytest.raises(KeysError, match=rf"arm1/{file}: no such file"):
        KeyFolder.read(robot)
    (robot / file).mkdir()
    with pytest.raises(KeysError, match=rf"arm1/{file}: Is a directory"):
        KeyFolder.read(robot)


def test_a_folder_that_is_not_there_and_that_of_the_authority_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match=r"no such folder of keys; \./so101 link keys makes them"):
        KeyFolder.read(tmp_path / "none")
    (tmp_path / "authority").mkdir()
    with pytest.raises(KeysError, match=r"is the folder of the authority: name .*/server on the server"):
        KeyFolder.read(tmp_path)


@contextmanager
def no_root() -> Iterator[None]:
    """Root may read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_keys_that_this_user_may_not_read_are_named(
    robot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0)
    try:
        with no_root():
            with pytest.raises(KeysError, match=r"arm1: Permission denied: its owner must be the user that runs this"):
                KeyFolder.read(robot)
            assert main(["show", str(robot)]) == 1 == main(["keys", str(tmp_path / "keys")])
    finally:
        tmp_path.chmod(0o700)
    assert [line.rpartition(": ")[2] for line in capsys.readouterr().err.splitlines()] == ["Permission denied"] * 2


def test_the_home_of_a_user_who_is_not_there_is_named() -> None:
    with pytest.raises(KeysError, match=r"^~nobody_of_that_name/keys: .*: name the folder without ~$"):
        KeyFolder.read("~nobody_of_that_name/keys")


def test_a_key_that_others_read_and_that_of_the_authority_are_cautioned_of(tmp_path: Path) -> None:
    folder = make_keys(tmp_path / "keys", "arm1")
    (copied := tmp_path / "copied").mkdir()
    (folder / "robots" / "arm1").rename(copied / "arm1")
    assert cautions(KeyFolder.read(copied / "arm1")) == ()
    (copied / "arm1" / "private.key").chmod(0o640)
    (caution,) = cautions(KeyFolder.read(copied / "arm1"))
    assert caution.about == "keys" and caution.remedy == f"chmod 600 {copied}/arm1/private.key"
    (caution,) = cautions(KeyFolder.read(folder / "server"))
    assert caution.about == "authority" and str(folder / "authority" / "ca.key") in caution.text


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("private.key", "private.key is not that of certificate.pem"),
        ("ca.pem", "ca.pem has not signed certificate.pem"),
    ],
)
def test_files_of_two_folders_do_not_mix(file: str, says: str, robot: Path, tmp_path: Path) -> None:
    other = new_authority(NOW_S)
    stranger = lay(tmp_path / "x", other, new_certificate(other, "robot", "arm1", 365, NOW_S))
    (robot / file).write_bytes((stranger / file).read_bytes())
    with pytest.raises(KeysError, match=says):
        KeyFolder.read(robot)


def test_a_certificate_is_refused_outside_its_time_with_both_dates(robot: Path) -> None:
    with pytest.raises(KeysTimeError, match=r"expired on \d{4}-.*clock says .*link keys DIR --renew arm1"):
        KeyFolder.read(robot, now_s=NOW_S + 2 * YEAR_S)
    with pytest.raises(KeysTimeError, match=r"is valid from .* on, but .* clock says 1970-01-0.*timedatectl"):
        KeyFolder.read(robot, now_s=86400.0)
    assert KeyFolder.read_whatever_its_age(robot).name == "arm1"


def test_revoked_numbers_are_read_again_each_time(server: Path) -> None:
    gpu = KeyFolder.read(server)
    (server / "revoked.txt").write_text("# lost\nff  # arm1\n\n0A1\n")
    assert gpu.revoked_serials() == {0xFF, 0xA1}


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda file: file.unlink(), "revoked.txt: No such file"),
        (lambda file: file.write_text("arm1\n"), "revoked.txt, line 1: 'arm1' is no serial number"),
        (lambda file: file.write_bytes(b"\xff\xfe"), "revoked.txt: not a text"),
    ],
)
def test_a_list_of_revoked_numbers_that_cannot_be_read_admits_nobody(
    spoil: Callable[[Path], object], says: str, server: Path
) -> None:
    gpu = KeyFolder.read(server)
    spoil(server / "revoked.txt")
    with pytest.raises(KeysError, match=says):
        gpu.revoked_serials()
    with pytest.raises(KeysError, match=says):
        KeyFolder.read(server)


@pytest.mark.parametrize("name", ["", "1arm", "arm-1", "../arm", "arm/1", "server", "a" * 64])
def test_a_robots_name_is_a_namespace_of_one_word(name: str, authority: KeyPair) -> None:
    with pytest.raises(KeysError, match="is no name for a robot"):
        new_certificate(authority, "robot", name, 365, NOW_S)


def test_no_certificate_outlives_its_authority(authority: KeyPair) -> None:
    pair = new_certificate(authority, "robot", "arm1", 100_000, NOW_S + YEAR_S)
    assert pair.certificate.not_valid_after_utc <= authority.certificate.not_valid_after_utc
    with pytest.raises(KeysError, match="authority itself has expired"):
        new_certificate(authority, "robot", "arm1", 365, NOW_S + 11 * YEAR_S)
