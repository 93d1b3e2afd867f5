# SPDX-License-Identifier: Apache-2.0
"""Running one node as one process: start, spin, stop on SIGINT or SIGTERM, and one line for every fatal error."""

import ctypes
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import NoReturn

import rclpy
from rclpy.duration import Duration
from rclpy.exceptions import InvalidNamespaceException, InvalidNodeNameException, InvalidParameterTypeException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.signals import SignalHandlerOptions

from so101_node import exit_codes
from so101_node.parameters import ParameterError
from so101_node.parameters import files as parameter_files
from so101_node.parameters.declaring import refuse_unknown
from so101_node.parameters.files import ParameterFileError
from so101_node.process import command_line
from so101_node.process.command_line import CommandLineError
from so101_node.process.last_line import name_in, say
from so101_node.process.log_folder import WITHOUT_FILES, why_not_writable
from so101_node.process.usage import reply_to_help
from so101_node.threads import NodeError
from so101_node.timing.timers import report_errors

SWITCH_INTERVAL_S = 0.0005
"""How long a thread that comes back from C (a decoded frame, a due tick) may wait for the Python code of another.

Python's own 5 ms is a sixth of a control tick.
"""

EXIT_LIMIT_S = 8
"""How long a node may take to leave after a signal; the kernel ends one that hangs, and it is seen to have failed."""

LAST_WORDS_S = 0.3
"""How long a leaving node waits until its last messages have arrived: what comes after its farewell is dropped."""

_CONFIGURATION = (
    ParameterError,
    ParameterFileError,
    CommandLineError,
    InvalidNodeNameException,
    InvalidNamespaceException,
    InvalidParameterTypeException,  # of use_sim_time, which rclpy declares itself
)
_FATAL = (
    *_CONFIGURATION,
    NodeError,
    rclpy_implementation.RCLError,
)


def run_process(
    factory: Callable[[], Node], args: Sequence[str] | None = None, *, events: bool = False, program: str = ""
) -> NoReturn:
    """`run_node`, and end the process with its code. Without `args`, words of the command line are answered first."""
    code = reply_to_help(factory, sys.argv) if args is None else None
    end_process(run_node(factory, args, events=events, program=program) if code is None else code)


def end_process(code: int) -> NoReturn:
    """End the process at once, its output written.

    Leaving through the interpreter takes Python's and Fast DDS's global objects down beside threads that still use them
    (torch's, a transport's); a driver that had already said why it could not start was seen to end by SIGSEGV instead.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)  # the log's, where it goes to a buffered stream
    os._exit(code)


def wait_until_heard(publishers: Iterable[Publisher]) -> list[str]:
    """Wait until reliable readers have all that was published, `LAST_WORDS_S` at most (one of them may be gone).

    Returns:
        The topics on which a reader has not acknowledged everything; empty where all is heard.
    """
    end_s = time.monotonic() + LAST_WORDS_S
    unheard = []
    for publisher in publishers:
        left_s = max(0.0, end_s - time.monotonic())
        if not publisher.wait_for_all_acked(Duration(nanoseconds=round(left_s * 1e9))):
            unheard.append(publisher.topic_name)
    return unheard


def run_node(
    factory: Callable[[], Node], args: Sequence[str] | None = None, *, events: bool = False, program: str = ""
) -> int:
    """Create the node, spin it on one thread until a signal, and leave cleanly.

    The node may define `on_exit()`: called once on every way out, before it is destroyed, to leave hardware safe and
    end threads. It must return within about a second.

    Args:
        factory: makes the node.
        args: in the place of the command line's.
        events: spin on rclpy's executor of events where it has one. For nodes of many messages whose callbacks are
            plain functions: upstream calls it experimental, it knows no guard conditions, and before rclpy 7.1.11 it
            served no coroutine.
        program: the verb that runs it, "so101 view"; the line of a fatal error begins with it. "": `[name] error`.

    Returns:
        0 after SIGINT or SIGTERM, 1 after NodeError, 78 after ParameterError (whose text goes to stderr as one line),
        for a `program` 2.
    """
    stop = threading.Event()

    def on_signal(_signum: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.alarm(EXIT_LIMIT_S)  # nobody may be there any more to send SIGKILL

    # Our own handlers from the first moment on, also while the node is made; rclpy's would raise inside callbacks.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    name = name_in(sys.argv if args is None else args)
    node: Node | None = None
    executor: Executor | None = None
    errors: list[NodeError] = []
    try:
        _start_ros(args)
        node = factory()
        name = node.get_name()
        refuse_unknown(node)
        report_errors(node, errors.append)
        executor = _make_executor(events)
        executor.add_node(node)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        # A full collection takes 4-8 ms with rclpy and cv2 loaded; what start-up made is never garbage.
        gc.collect()
        gc.freeze()
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)
            if errors:
                raise errors[0]
        return 0
    except _FATAL as error:
        hint = "; true or false, without quotes" if isinstance(error, InvalidParameterTypeException) else ""
        say(name, f"{error}{hint}", node, program)
        if not isinstance(error, _CONFIGURATION):
            return exit_codes.FAILURE
        return exit_codes.WRONG_OPTIONS if program else exit_codes.CONFIGURATION
    except ExternalShutdownException:
        return 0
    finally:
        _leave(node, executor)


def _make_executor(events: bool) -> Executor:
    """The executor of events is told what is ready; the other one asks all that it knows, each time something is.

    A message then takes 0.1 ms of a core instead of 0.43, and the action queue 0.06 of a core instead of 0.11. An older
    rclpy has only the one that asks.
    """
    if not events:
        return SingleThreadedExecutor()
    try:
        from rclpy.experimental.events_executor import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()
    return EventsExecutor()


def _start_ros(args: Sequence[str] | None) -> None:
    """Check the arguments and start ROS. What it does not accept is never accepted at another try: CommandLineError."""
    words = sys.argv if args is None else args
    command_line.check(words)
    command_line.check_domain()
    parameter_files.use(words)
    no_files = why_not_writable()
    if no_files:
        print(f"[{name_in(words)}] warning: {no_files}", file=sys.stderr, flush=True)
        args = [*words, *WITHOUT_FILES]
    try:
        rclpy.init(args=list(args) if args is not None else None, signal_handler_options=SignalHandlerOptions.NO)
    except rclpy_implementation.UnknownROSArgsError as error:
        raise CommandLineError(
            f"unknown ROS arguments {error}; known are -p, -r, --params-file, --log-level"
        ) from error
    except rclpy_implementation.RCLError as error:
        raise CommandLineError(str(error)) from error


def _leave(node: Node | None, executor: Executor | None) -> None:
    try:
        if node is not None:
            on_exit = getattr(node, "on_exit", None)
            if on_exit is not None:
                on_exit()
            unheard = wait_until_heard(node.publishers)
            if unheard:  # on stderr: /rosout is among what may not arrive
                print(
                    f"[{node.get_name()}] the last messages on {', '.join(unheard)} may be lost: a reader has not "
                    f"acknowledged them within {LAST_WORDS_S} s (it hangs, was killed, or its network is slow)",
                    file=sys.stderr,
                    flush=True,
                )
            if executor is not None:
                executor.remove_node(node)
            node.destroy_node()
        if executor is not None:
            executor.shutdown(timeout_sec=0.5)
    finally:
        rclpy.try_shutdown()
