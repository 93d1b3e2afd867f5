# SPDX-License-Identifier: Apache-2.0
"""uv: found on PATH, or brought from the package index into `.tools`."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import sys
from pathlib import Path

from .failure import Failure
from .interpreter import candidates
from .layout import Layout
from .terminal import Outcome, run_quiet, run_shown, say

UV_VERSION = "0.13.9"
_OLDEST_UV = (0, 5)  # the first with every option used here

_NO_NETWORK = re.compile(
    r"dns error|Could not connect|error sending request|Failed to fetch|Connection refused|Network is unreachable"
    r"|Temporary failure in name resolution|operation timed out|ConnectTimeoutError|NewConnectionError|tunnel error",
    re.IGNORECASE,
)
_NO_SPACE = re.compile(r"No space left on device|os error 28|Disk quota exceeded|os error 122", re.IGNORECASE)


_COLOUR = rb"(\x1b\[[0-9;]*m)*"
_ERROR_LINE = re.compile(_COLOUR + rb" *(error|cause|Caused by|hint)\b")
# What uv prints of every single package, and its errors: `explain` makes one line of those.
HIDDEN = re.compile(_COLOUR + rb" +" + _COLOUR + rb"[+~-]" + _COLOUR + rb" |" + _ERROR_LINE.pattern)


def explain(outcome: Outcome, doing: str, folder: Path) -> Failure:
    """Turn the end of a failed installer's output into one line with a remedy."""
    if _NO_SPACE.search(outcome.tail):
        free = shutil.disk_usage(str(folder)).free / 1e9
        return Failure(
            f"disk full while {doing} ({free:.1f} GB free at {folder}); free about 8 GB there and in the cache of uv "
            "(`uv cache dir`), then try again"
        )
    if _NO_NETWORK.search(outcome.tail):
        return Failure(
            f"the package index cannot be reached while {doing}; connect to the network, or name a mirror in "
            "UV_DEFAULT_INDEX, then try again"
        )
    errors = [line.strip() for line in outcome.tail.splitlines() if _ERROR_LINE.match(line.encode())] or [
        outcome.last_line
    ]
    reason = " ".join(errors)[:400]
    return Failure(f"{doing} failed with exit code {outcome.code} ({reason}); try again, or remove .venv first")


def environment(layout: Layout) -> dict[str, str]:
    """Variables for uv: those of the shell, and pip's index if only pip was told about one."""
    env = dict(os.environ)
    env.pop("VIRTUAL_ENV", None)
    env.setdefault("UV_HTTP_TIMEOUT", "120")
    if not any(name in env for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL")):
        index = _index_of_pip()
        if index:
            env["UV_DEFAULT_INDEX"] = index
    return env


def find_uv(layout: Layout) -> str:
    """Return a uv that runs; install one below `.tools` if there is none."""
    own = layout.tools / "uv" / "bin" / "uv"
    for path in (str(own), shutil.which("uv")):
        if path and _version(path) >= _OLDEST_UV:
            return path
    say("fetching uv from the package index")
    shutil.rmtree(str(layout.tools / "uv"), ignore_errors=True)
    outcome = Outcome(1, "no Python with pip or venv found")
    for python in dict.fromkeys([sys.executable, *candidates(), "/usr/bin/python3"]):
        pip = [python, "-m", "pip"]
        if run_quiet([*pip, "--version"]).code != 0:
            bootstrap = layout.tools / "bootstrap"
            if run_quiet([python, "-m", "venv", "--clear", str(bootstrap)]).code != 0:
                continue
            pip = [str(bootstrap / "bin" / "python"), "-m", "pip"]
        wanted = ["--target", str(layout.tools / "uv"), "uv==" + UV_VERSION]
        # pip warns root of what it could do to the system; with --target it does nothing there.
        environment = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}
        outcome = run_shown([*pip, "install", "--quiet", "--disable-pip-version-check", *wanted], environment)
        if outcome.code == 0 and _version(str(own)) >= _OLDEST_UV:
            return str(own)
        if _NO_NETWORK.search(outcome.tail) or _NO_SPACE.search(outcome.tail):
            raise explain(outcome, "fetching uv", layout.root)
    raise Failure(
        f"uv could not be fetched ({outcome.last_line}); install it (pip install uv) or apt-get install python3-venv"
    )


def _version(path: str) -> tuple[int, ...]:
    outcome = run_quiet([path, "--version"], timeout_s=20.0)
    match = re.match(r"uv (\d+)\.(\d+)", outcome.tail) if outcome.code == 0 else None
    return tuple(int(part) for part in match.groups()) if match else (0, 0)


def _index_of_pip() -> str | None:
    """The index that pip was told to use; uv does not read pip's settings, and a mirror is often named only there."""
    if os.environ.get("PIP_INDEX_URL"):
        return os.environ["PIP_INDEX_URL"]
    home = Path.home()
    config = os.environ.get("XDG_CONFIG_HOME", str(home / ".config"))
    files = [
        os.environ.get("PIP_CONFIG_FILE", ""),
        str(home / ".pip/pip.conf"),
        config + "/pip/pip.conf",
        "/etc/pip.conf",
    ]
    for name in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(name)
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue
        for section in ("install", "global"):
            if parser.has_option(section, "index-url"):
                return parser.get(section, "index-url").strip()
    return None
