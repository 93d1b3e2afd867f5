# SPDX-License-Identifier: Apache-2.0
"""The runner starts, shows, restarts and, above all, ends processes. They are real."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from so101_launch_runner import ProcessSpec, Runner

WAIT_S = 30.0  # generous: the machine may be busy
STUBBORN = "import signal,time\nfor s in (2, 15): signal.signal(s, signal.SIG_IGN)\nprint('up')\ntime.sleep(600)"
OBEDIENT = "import signal,time,sys\nsignal.signal(2, lambda *a: sys.exit(0))\nprint('up')\ntime.sleep(600)"


class Lines(list[tuple[str, str]]):
    """What the processes printed."""

    def __call__(self, name: str, line: str) -> None:
        self.append((name, line))

    def wait_for(self, line: str, count: int = 1) -> None:
        end = time.monotonic() + WAIT_S
        while [text for _name, text in list(self)].count(line) < count:
            assert time.monotonic() < end, f"no {line!r} in {self}"
            time.sleep(0.02)


def python(name: str, code: str, **options: object) -> ProcessSpec:
    return ProcessSpec(None, None, sys.executable, ("-c", code), name=name, **options)  # type: ignore[arg-type]


def obedient_and(code: str, folder: Path) -> tuple[str, str]:
    """An obedient program, and one that does `code` once that is up: a SIGINT before Python is, is no obedient end."""
    up = str(folder / "up")
    wait = f"import pathlib, time\nwhile not pathlib.Path({up!r}).exists(): time.sleep(0.02)\n"
    return OBEDIENT.replace("print('up')", f"print('up'); open({up!r}, 'w').close()"), wait + code


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_lines_are_shown_under_the_name_of_their_process() -> None:
    lines = Lines()
    runner = Runner([python("a", "print('one'); print('two', end='')"), python("b", "print('three')")], lines)
    runner.start()
    assert runner.wait(WAIT_S)
    assert runner.stop() == 0
    assert {("a", "one"), ("a", "two"), ("b", "three")} <= set(lines)


def test_a_node_that_names_itself_is_not_named_twice() -> None:
    lines = Lines()
    said = "print('[front] error: no such camera'); print('[other] error: as it was'); print('[front] torn', end='')"
    runner = Runner(
        [python("front", said, namespace="/left"), python("front", "print('up')", namespace="/right")], lines
    )
    runner.start()
    assert runner.wait(WAIT_S)
    runner.stop()
    assert [line for name, line in lines if name == "left/front"][:3] == [
        "error: no such camera",
        "[other] error: as it was",
        "torn",
    ]


def test_a_process_that_fails_makes_the_run_fail() -> None:
    lines = Lines()
    with Runner([python("a", "raise SystemExit(3)")], lines) as runner:
        assert runner.wait(WAIT_S)
    assert runner.exit_code == 1
    assert runner.failures == ["a ended with exit code 3"]


def test_a_program_that_cannot_be_started_is_named() -> None:
    lines = Lines()
    spec = ProcessSpec(None, None, "/no/such/program", name="a", prefix=("/no/such/prefix",))
    with Runner([spec], lines) as runner:
        assert runner.wait(WAIT_S)
    assert runner.exit_code == 1
    assert len(runner.failures) == 1


def test_processes_get_their_environment_and_keep_the_runners() -> None:
    lines = Lines()
    code = "import os; print(os.environ['A'], os.environ['B'], 'PATH' in os.environ)"
    with Runner([python("a", code, environment={"A": "1"})], lines, environment={"A": "0", "B": "2"}) as runner:
        assert runner.wait(WAIT_S)
    assert ("a", "1 2 True") in lines


def test_stopping_is_an_interrupt_first_and_obedience_is_success() -> None:
    lines = Lines()
    with Runner([python("a", OBEDIENT)], lines) as runner:
        lines.wait_for("up")
        began = time.monotonic()
        assert runner.stop() == 0
    assert time.monotonic() - began < 5.0
    assert runner.failures == []


def test_a_process_that_ignores_signals_is_killed_in_the_end() -> None:
    lines = Lines()
    with Runner([python("a", STUBBORN)], lines, sigint_grace_s=0.2, sigterm_grace_s=0.2) as runner:
        lines.wait_for("up")
        (pid,) = runner.pids().values()
        assert runner.stop() == 1
    assert not is_alive(pid)
    assert ("a", "has not ended yet: sending SIGTERM") in lines
    assert ("a", "has not ended yet: sending SIGKILL") in lines


def test_a_process_comes_back_after_its_delay() -> None:
    lines = Lines()
    with Runner([python("a", "print('up')", respawn=True, respawn_delay_s=0.1)], lines) as runner:
        lines.wait_for("up", count=3)
        assert runner.running
        assert runner.stop() == 0


def test_nothing_comes_back_once_a_stop_was_requested() -> None:
    lines = Lines()
    with Runner([python("a", "print('up')", respawn=True, respawn_delay_s=60.0)], lines) as runner:
        lines.wait_for("ended with exit code 0; starting again in 60 s")
        began = time.monotonic()
        assert runner.stop() == 0
    assert time.monotonic() - began < 30.0  # not the delay
    assert lines.count(("a", "up")) == 1


def test_a_process_that_keeps_failing_makes_the_run_fail_though_it_is_started_again() -> None:
    lines = Lines()
    with Runner([python("a", "raise SystemExit(3)", respawn=True, respawn_delay_s=60.0)], lines) as runner:
        lines.wait_for("ended with exit code 3; starting again in 60 s")
        assert runner.failures == []  # nobody knows yet whether it recovers
        assert runner.stop() == 1
    assert runner.failures == ["a ended with exit code 3, and was not up again for 5 s"]


def test_a_node_that_refuses_its_parameters_is_not_started_again_and_stops_the_others(tmp_path: Path) -> None:
    lines = Lines()
    obedient, wrong = obedient_and("print('up'); raise SystemExit(78)", tmp_path)
    with Runner([python("a", wrong, respawn=True), python("b", obedient)], lines) as runner:
        assert runner.wait(WAIT_S)
    assert runner.exit_code == 1
    assert runner.failures == ["a ended with exit code 78"]
    assert lines.count(("a", "up")) == 1


def test_a_running_robot_goes_on_while_the_file_of_one_node_is_wrong(tmp_path: Path) -> None:
    lines = Lines()
    once = f"import pathlib; p = pathlib.Path({str(tmp_path / 'once')!r}); exit(78 if p.exists() else p.touch() or 3)"
    with Runner([python("a", once, respawn=True, respawn_delay_s=0.1), python("b", OBEDIENT)], lines) as runner:
        lines.wait_for("ended with exit code 78; starting again in 0.1 s")
        assert "b" in runner.pids()


@pytest.mark.parametrize(("recovered_after_s", "code"), [(0.2, 0), (600.0, 1)])
def test_a_process_that_failed_once_has_recovered_when_it_stays_up(
    tmp_path: Path, recovered_after_s: float, code: int
) -> None:
    lines = Lines()
    once = f"import pathlib; p = pathlib.Path({str(tmp_path / 'once')!r}); p.exists() or exit(p.touch() or 3)\n"
    process = python("a", once + OBEDIENT, respawn=True, respawn_delay_s=0.1)
    with Runner([process], lines, recovered_after_s=recovered_after_s) as runner:
        lines.wait_for("up")
        time.sleep(0.3)
        assert runner.stop() == code


def test_the_end_of_a_required_process_ends_the_others(tmp_path: Path) -> None:
    lines = Lines()
    obedient, required = obedient_and("", tmp_path)
    with Runner([python("a", obedient), python("b", required, shutdown_on_exit=True)], lines) as runner:
        assert runner.wait(WAIT_S)
    assert runner.exit_code == 0
    assert ("b", "was required: stopping everything") in lines


def test_what_a_process_started_itself_ends_with_it() -> None:
    lines = Lines()
    code = f"import subprocess,sys; p = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}]); print(p.pid); p.wait()"
    with Runner([python("a", code)], lines, sigint_grace_s=0.2, sigterm_grace_s=0.2) as runner:
        lines.wait_for("up")
        grandchild = next(int(line) for _name, line in lines if line.isdigit())
        runner.stop()
    assert wait_until(lambda: not is_alive(grandchild))


_MAIN = f"""
import sys
from so101_launch_runner import ProcessSpec, Runner
code = "import os; print('pid', os.getpid(), flush=True)\\n" + {OBEDIENT!r}
sys.exit(Runner([ProcessSpec(None, None, sys.executable, ("-c", code), name="a")]).run())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_however_the_runner_ends_no_process_is_left(number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", _MAIN], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = 0
    for line in process.stdout:
        if line.startswith("[a] pid "):
            pid = int(line.split()[-1])
        if line == "[a] up\n":
            break
    assert pid and is_alive(pid)
    os.kill(process.pid, number)
    code = process.wait(WAIT_S)
    process.stdout.close()
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    assert wait_until(lambda: not is_alive(pid))


_HASTY = """
import sys
from so101_launch_runner import ProcessSpec, Runner
print("now", flush=True)
sys.exit(Runner([ProcessSpec(None, None, "/bin/sleep", (sys.argv[1],), name="a")]).run())
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.001, 0.002, 0.003, 0.004, 0.006, 0.01, 0.02])
def test_a_runner_killed_while_it_starts_a_process_leaves_none(delay_s: float) -> None:
    duration = f"{600 + delay_s + os.getpid() * 1e-9:.9f}"  # nobody else sleeps as long
    process = subprocess.Popen([sys.executable, "-c", _HASTY, duration], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "now\n"
    time.sleep(delay_s)
    process.kill()
    process.wait(WAIT_S)
    process.stdout.close()
    time.sleep(0.1)  # what was not born yet
    assert wait_until(lambda: not any(duration in (process.info["cmdline"] or ()) for process in everybody()))


def everybody() -> Iterator[psutil.Process]:
    return psutil.process_iter(["cmdline"])


def test_a_run_that_finds_no_room_for_the_parameters_of_its_nodes_fails_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    lines = Lines()
    runner = Runner([python("a", "print('one')")], lines)
    runner.start()
    assert runner.wait(WAIT_S)
    assert runner.stop() == 1
    ((name, line),) = lines
    assert name == "launch" and line.startswith(f"cannot go on: No such file or directory: {tmp_path}/gone")


def test_a_node_whose_parameters_cannot_be_written_is_a_failure_and_the_others_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(_self: ProcessSpec, values: object, folder: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder))

    monkeypatch.setattr(ProcessSpec, "_write_parameters", full)
    lines = Lines()
    node = ProcessSpec("pkg", "node", sys.executable, name="node", parameters=({"fps": 30.0},))
    runner = Runner([node, python("a", "print('one')")], lines)
    runner.start()
    assert runner.wait(WAIT_S)
    assert runner.stop() == 1
    assert ("a", "one") in lines
    assert any(name == "node" and "cannot be started: No space left on device" in line for name, line in lines)


def test_a_program_that_is_stopped_while_it_starts_leaves_no_traceback() -> None:
    lines = Lines()
    runner = Runner([python("slow", "import time\nprint('starting')\ntime.sleep(600)")], lines)
    runner.start()
    lines.wait_for("starting")
    assert runner.stop() == 0
    assert lines == [("slow", "starting")]


def test_two_nodes_of_one_name_are_told_apart_by_their_namespaces() -> None:
    lines = Lines()
    both = [
        ProcessSpec("pkg", "node", "/bin/echo", ("here",), name="driver", namespace=f"/{arm}")
        for arm in ("left", "right")
    ]
    runner = Runner([*both, python("queue", "print('one')")], lines)
    runner.start()
    assert runner.wait(WAIT_S)
    assert runner.stop() == 0
    assert {name for name, _line in lines} == {"left/driver", "right/driver", "queue"}
