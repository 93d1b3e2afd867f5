# SPDX-License-Identifier: Apache-2.0
"""A ROS node inside a program that is no node: the program keeps its signal handlers and turns the node over itself."""

import time
from collections.abc import Callable

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from so101_node.process.log_folder import WITHOUT_FILES


class OwnNode:
    """`node`, in a context of its own; callbacks run inside `spin` and `wait` only."""

    def __init__(self, name: str, namespace: str = "") -> None:
        """Join the ROS graph; `namespace` empty: the one of the environment."""
        self._context = Context()
        rclpy.init(args=list(WITHOUT_FILES), context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node: Node = rclpy.create_node(
            name, context=self._context, namespace=namespace or None, enable_rosout=False
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)

    def spin(self, timeout_s: float) -> None:
        """Handle what arrives next, waiting for it for that long at most."""
        self._executor.spin_once(timeout_sec=timeout_s)

    def wait(self, condition: Callable[[], bool], timeout_s: float, check: Callable[[], None] = lambda: None) -> bool:
        """Spin until the condition holds; False if `timeout_s` passed first. `check` may raise to end the wait."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            check()
            if time.monotonic() > deadline_s:
                return False
            self.spin(0.02)
        return True

    def close(self) -> None:
        """Leave the ROS graph."""
        self._executor.remove_node(self.node)
        self.node.destroy_node()
        self._executor.shutdown(timeout_sec=0.5)
        rclpy.try_shutdown(context=self._context)
