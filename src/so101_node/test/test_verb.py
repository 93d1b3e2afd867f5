# SPDX-License-Identifier: Apache-2.0
"""A verb of `./so101` as a process: Ctrl-C and a reader that has left end it without a traceback."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from so101_node import verb

WAIT_S = 30.0


def interrupted() -> int:
    raise KeyboardInterrupt


def refuses() -> int:
    sys.exit("no such thing")


def leaves(code: int | None) -> Callable[[], int]:
    def main() -> int:
        sys.exit(code)

    return main


@pytest.mark.parametrize(
    ("main", "code"),
    [
        (lambda: 0, 0),
        (lambda: None, 0),
        (lambda: 3, 3),
        (leaves(2), 2),
        (leaves(None), 0),
        (refuses, 1),
        (interrupted, 130),
    ],
)
def test_what_a_verb_ends_with_is_the_exit_code(main: Callable[[], int | None], code: int) -> None:
    assert verb.run(main) == code


def test_another_pipe_that_breaks_is_not_taken_for_a_reader_that_has_left() -> None:
    def main() -> int:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        verb.run(main)


@pytest.fixture
def start(tmp_path: Path) -> Callable[[str], subprocess.Popen[str]]:
    """Run a package `thing` whose `__main__` is the text, as a verb is run."""

    def starter(text: str) -> subprocess.Popen[str]:
        folder = tmp_path / "thing"
        folder.mkdir()
        (folder / "__init__.py").touch()
        (folder / "__main__.py").write_text(text)
        env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
        return subprocess.Popen(
            [sys.executable, "-m", "so101_node.verb", "thing", "a", "b c"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return starter


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_the_midst_of_the_imports_is_no_traceback(
    start: Callable[[str], subprocess.Popen[str]], number: signal.Signals, tmp_path: Path
) -> None:
    process = start(f"open({str(tmp_path / 'up')!r}, 'w').close()\nimport time\ntime.sleep(60)\n")
    end_s = time.monotonic() + WAIT_S
    while not (tmp_path / "up").exists():
        assert time.monotonic() < end_s
        time.sleep(0.01)
    process.send_signal(number)
    assert process.communicate(timeout=WAIT_S) == ("", "")
    assert process.returncode == 128 + number


def test_a_reader_that_leaves_after_a_line_ends_it_quietly(start: Callable[[str], subprocess.Popen[str]]) -> None:
    """As `./so101 VERB | head -1`."""
    process = start(
        "import sys\ndef main():\n    print(sys.argv[1:], flush=True)\n"
        "    while True:\n        print('line' * 1000, flush=True)\n"
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "['a', 'b c']\n"
    process.stdout.close()
    assert process.wait(WAIT_S) == 141
    assert process.stderr.read() == ""
    process.stderr.close()
