# SPDX-License-Identifier: Apache-2.0
"""Makes a keystore of SROS2 and, out of it, a folder for each computer, with `ros2 security` of ROS 2 from apt.

DIR/authority/    the keystore with the keys that sign: stays here
DIR/server/       for the server's computer
DIR/robots/NAME/  for the computer of robot NAME
DIR/person/       for people who start, stop, look and record
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from so101_link.errors import KeysError
from so101_link.keys.certificates import check_robot_name
from so101_link.keys.folder import AUTHORITY, CA
from so101_link.sros2.rights import CAMERAS, PERSON, SERVER, enclave_of, policy

INSTALL = "sudo apt-get install ros-jazzy-sros2"
_POLICY = "policy.xml"


def make(folder: Path, robots: Sequence[str], cameras: Sequence[str] = CAMERAS, domain: int = 0) -> dict[str, Path]:
    """Make, or make again, the folders of all computers; keys that are there stay, permissions are written again.

    Args:
        folder: DIR.
        robots: names of all robots, as of `./so101 link keys`.
        cameras: names of all cameras.
        domain: ROS_DOMAIN_ID for which the permissions hold.

    Returns:
        Enclave -> folder for the computer of that enclave.

    Raises:
        KeysError: a name is none, the folder is another's or cannot be written, or `ros2 security` fails.
    """
    for name in robots:
        check_robot_name(name)
    for camera in cameras:
        if not camera.isidentifier() or not camera.isascii():
            raise KeysError(f"{camera!r} is no name for a camera: a letter, then letters, digits and _")
    if (folder / AUTHORITY / CA).exists():
        raise KeysError(f"{folder} holds the keys of the link, nothing was changed: name another folder")
    made_for = _domain_of(folder)
    if made_for not in ("", str(domain)):
        raise KeysError(f"{folder} was made for ROS_DOMAIN_ID {made_for}, nothing was changed: name another folder")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        (folder / _POLICY).write_text(policy(robots, cameras), encoding="utf-8")
    except OSError as error:
        raise KeysError(f"{folder} cannot be written: {error.strerror}") from error
    _generate(folder, domain)
    places = {enclave_of(name): folder / "robots" / name for name in robots}
    places |= {SERVER: folder / "server", PERSON: folder / "person"}
    for enclave, place in places.items():
        _lay(folder / AUTHORITY / "enclaves" / enclave.lstrip("/"), place / "enclaves" / enclave.lstrip("/"))
    return places


def _domain_of(folder: Path) -> str:
    """The domain in governance.xml, which is written once; "" where there is none yet."""
    try:
        text = (folder / AUTHORITY / "enclaves" / "governance.xml").read_text(encoding="utf-8")
    except OSError:
        return ""
    return text.partition("<id>")[2].partition("</id>")[0]


def _generate(folder: Path, domain: int) -> None:
    command = ["ros2", "security", "generate_artifacts", "-k", str(folder / AUTHORITY), "-p", str(folder / _POLICY)]
    try:
        done = subprocess.run(
            command, env={**os.environ, "ROS_DOMAIN_ID": str(domain)}, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise KeysError(f"SROS2 comes with ROS 2 from apt, and ros2 cannot be run: {INSTALL}") from error
    with suppress(OSError):
        (folder / AUTHORITY).chmod(0o700)  # SROS2 lets everybody read the keys in it
    if done.returncode:
        last = " ".join((done.stderr or done.stdout).split("\n")[-2:]).strip() or f"exit code {done.returncode}"
        raise KeysError(f"ros2 security generate_artifacts: {last}; if it is not there: {INSTALL}")


def _lay(source: Path, target: Path) -> None:
    """Copy an enclave with the files that its links point to: a keystore of its own, without the keys that sign."""
    try:
        if target.exists():
            shutil.rmtree(target)
        shutil.copytree(source, target)
        for file in target.iterdir():
            file.chmod(0o600)
    except OSError as error:
        raise KeysError(f"{target} cannot be written: {error}") from error
