# SPDX-License-Identifier: Apache-2.0
"""One process, one node: signals end it quickly and cleanly, fatal errors are one line."""

import os
import signal
import subprocess
import sys
import time

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from std_msgs.msg import String

HEAD = """
import sys
from rclpy.node import Node
from lifecycle_msgs.msg import State
from so101_node.process.lifecycle import AutostartNode
from rclpy.lifecycle import TransitionCallbackReturn
from so101_node.process import NodeError, run_node, run_process
from so101_node.timing.timers import create_timer
"""


def start(body: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + body, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"},
    )


PLAIN = """
class Plain(Node):
    def __init__(self):
        super().__init__("plain")
        print("up", flush=True)
    def on_exit(self):
        print("left", flush=True)
sys.exit(run_node(Plain))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_node_cleanly(number: int) -> None:
    process = start(PLAIN)
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    time.sleep(0.3)
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "left\n", "")


def test_a_signal_during_start_up_ends_the_node_cleanly() -> None:
    process = start(PLAIN)
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (0, "")


def test_a_node_that_hangs_on_its_way_out_is_ended_by_the_kernel() -> None:
    hanging = PLAIN.replace('print("left", flush=True)', "__import__('time').sleep(600)")
    process = start(hanging.replace("sys.exit", "import so101_node.process.running as p; p.EXIT_LIMIT_S = 1; sys.exit"))
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGALRM


@pytest.mark.parametrize("events", [False, True])
def test_a_fatal_error_is_one_line_and_exit_code_1(events: bool) -> None:
    process = start(
        """
class Bad(Node):
    def __init__(self):
        super().__init__("bad")
        create_timer(self, 0.01, self.tick)
    def tick(self):
        raise NodeError("the thing is\\nmissing")
sys.exit(run_node(Bad, events=EVENTS))
""".replace("EVENTS", str(events))
    )
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (1, "[bad] error: the thing is missing\n")


def test_where_rclpy_has_no_executor_of_events_a_node_runs_on_the_other_one() -> None:
    body = PLAIN.replace("run_node(Plain)", "run_node(Plain, events=True)")
    process = start("import sys; sys.modules['rclpy.experimental'] = None" + body)
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "left\n", "")


def test_what_would_break_at_the_interpreters_exit_does_not_run() -> None:
    body = PLAIN.replace("sys.exit(run_node(Plain))", "run_process(Plain)").replace(
        'print("up", flush=True)',
        """
        import atexit, os, signal
        atexit.register(os.kill, os.getpid(), signal.SIGSEGV)
        print("up", flush=True)""",
    )
    process = start(body)
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10) == ("left\n", "")
    assert process.returncode == 0


LAST_WORDS = """
from rclpy.qos import QoSProfile
from std_msgs.msg import String
class Talker(Node):
    def __init__(self):
        super().__init__("talker")
        self.words = self.create_publisher(String, "words", QoSProfile(depth=200))
        self.create_timer(0.05, self.look)
    def look(self):
        if self.words.get_subscription_count():
            print("heard", flush=True)
    def on_exit(self):
        for number in range(60):
            self.words.publish(String(data=str(number) + 200_000 * "x"))
run_process(Talker)
"""


def test_what_a_node_says_last_still_arrives() -> None:
    """12 MB at once, which a busy machine takes longer for than a node waits: the limit is not what is tried here."""
    patient = LAST_WORDS.replace(
        "run_process", "import so101_node.process.running as p; p.LAST_WORDS_S = 7.0; run_process"
    )
    process = start(patient)
    context = Context()
    rclpy.init(args=[], context=context)
    node = rclpy.create_node("listener", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    heard: list[String] = []
    node.create_subscription(String, "words", heard.append, QoSProfile(depth=200))
    assert process.stdout is not None and process.stdout.readline() == "heard\n"
    process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + 20
    while len(heard) < 60 and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.05)
    _, err = process.communicate(timeout=20)
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)
    assert (process.returncode, err) == (0, "")
    assert [int(word.data.rstrip("x")) for word in heard] == list(range(60))


LISTENER = """
import rclpy
from rclpy.qos import QoSProfile
from std_msgs.msg import String
rclpy.init()
node = rclpy.create_node("listener")
node.create_subscription(String, "words", lambda word: None, QoSProfile(depth=200))
rclpy.spin(node)
"""


def test_a_node_whose_last_words_are_not_heard_says_so_and_ends() -> None:
    talker, listener = start(LAST_WORDS), start(LISTENER)
    try:
        assert talker.stdout is not None and talker.stdout.readline() == "heard\n"
        listener.send_signal(signal.SIGSTOP)
        talker.send_signal(signal.SIGTERM)
        _, err = talker.communicate(timeout=20)
    finally:
        listener.kill()
        listener.communicate()
    assert talker.returncode == 0
    assert err.startswith("[talker] the last messages on /words may be lost: ") and err.count("\n") == 1, err


AUTOSTART = """
class Auto(AutostartNode):
    def __init__(self):
        super().__init__("auto")
        create_timer(self, 0.3, self.look)
    def on_configure(self, state):
        if "fail" in sys.argv:
            self.failure = "no such port"
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)
    def may_autostart(self):
        self.asked = getattr(self, "asked", 0) + 1
        return self.asked > (1_000_000 if "absent" in sys.argv else 3 if "late" in sys.argv else 0)
    def look(self):
        print("active" if self.is_active else "inactive", flush=True)
        raise NodeError("done")
sys.exit(run_node(Auto))
"""


@pytest.mark.parametrize(
    ("arguments", "out", "err"),
    [
        ((), "active\n", "[auto] error: done\n"),
        (("--ros-args", "-p", "use_sim_time:=true"), "active\n", "[auto] error: done\n"),  # and nobody sends /clock
        (("--ros-args", "-p", "autostart:=false"), "inactive\n", "[auto] error: done\n"),
        (("fail",), "", "[auto] error: no such port\n"),
        (("late",), "active\n", "[auto] error: done\n"),
        (("absent",), "inactive\n", "[auto] error: done\n"),
    ],
)
def test_a_lifecycle_node_starts_itself_unless_told_not_to(arguments, out, err) -> None:
    process = start(AUTOSTART, *arguments)
    assert process.communicate(timeout=20) == (out, err)
    assert process.returncode == 1


def test_an_unreadable_parameter_file_ends_with_one_line_that_names_it() -> None:
    process = start(PLAIN, "--ros-args", "--params-file", "no_such_file.yaml")
    out, err = process.communicate(timeout=20)
    assert process.returncode == 78
    assert out == "" and "Traceback" not in err
    assert err.splitlines()[-1].startswith("[node] error: ") and "no_such_file.yaml" in err.splitlines()[-1], err


def test_a_node_that_declares_nothing_refuses_every_parameter() -> None:
    process = start(PLAIN, "--ros-args", "-p", "speed:=1", "-p", "use_sim_time:=false")
    _, err = process.communicate(timeout=20)
    assert process.returncode == 78
    assert err.startswith("[plain] error: unknown parameter speed (-p speed): ") and err.count("\n") == 1, err
